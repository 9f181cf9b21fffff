//! Noise schedules, samplers, guidance and torch-compatible noise.
