//! The step scheduler: jobs, rows, admission, cancellation and events.
