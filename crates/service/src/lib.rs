//! What every server shares: config, telemetry, health, errors, drain.
