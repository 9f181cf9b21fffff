//! What every server of unclip shares: flags, logs and metrics, request context, errors, health, reflection, drain.

mod address;
mod args;
mod context;
mod error;
mod exit;
mod flags;
pub mod metric_names;
mod observe;
mod openmp;
mod pictures;
mod redact;
mod server;
mod telemetry;
mod transport;

pub use address::{listen_address, public_url, server_url};
pub use args::ServerArgs;
pub use context::{REQUEST_ID_HEADER, RequestContext};
pub use error::{Code, Error};
pub use exit::exit;
pub use flags::parse;
pub use observe::observe;
pub use openmp::wait_passively;
pub use pictures::PictureArgs;
pub use redact::redacted;
pub use server::{MAX_MESSAGE_BYTES, Services, shutdown_signal};
pub use telemetry::{LogFormat, TelemetryArgs};
pub use transport::{Transport, TransportError, connect, in_process};
