//! What every server of unclip shares: flags, logs and metrics, request context, errors, health, reflection, drain.

mod args;
mod context;
mod error;
mod exit;
pub mod metric_names;
mod observe;
mod openmp;
mod server;
mod telemetry;
mod transport;

pub use args::ServerArgs;
pub use context::{REQUEST_ID_HEADER, RequestContext};
pub use error::{Code, Error};
pub use exit::exit;
pub use observe::observe;
pub use openmp::wait_passively;
pub use server::{MAX_MESSAGE_BYTES, Services, shutdown_signal};
pub use telemetry::{LogFormat, TelemetryArgs};
pub use transport::{Transport, TransportError, connect, in_process};
