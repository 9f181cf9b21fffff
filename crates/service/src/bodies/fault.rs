//! Why a body was not read to its end.

use std::time::Duration;

use http::StatusCode;
use tonic::{Code, Status};

use super::budget::NoRoom;
use crate::limits::Limits;
use crate::refusal::Refusal;

/// When to come again where there was no room: other bodies are done by then, or cut off.
const RETRY: Duration = Duration::from_secs(1);

/// A body that the server ended.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .refusal.message)]
pub(crate) struct Fault {
    pub(crate) refusal: Refusal,
    /// Whether nothing more is expected of the client.
    pub(super) is_silent: bool,
    /// What a gRPC server finds among the causes and answers.
    #[source]
    status: Status,
}

impl Fault {
    fn new(refusal: Refusal) -> Self {
        let status = refusal.status();
        Self { refusal, is_silent: false, status }
    }

    fn silent(self) -> Self {
        Self { is_silent: true, ..self }
    }

    /// It came too slowly.
    pub(super) fn slow(limits: &Limits) -> Self {
        let message = format!(
            "body: less than {} bytes came in {} seconds; send it faster",
            limits.body_quota,
            limits.body.as_secs()
        );
        let status = StatusCode::REQUEST_TIMEOUT;
        Self::new(Refusal::new(status, Code::DeadlineExceeded, "body_stalled", message)).silent()
    }

    /// The server ends, and the rest did not come.
    pub(super) fn draining() -> Self {
        let message = "body: the server is shutting down, and the rest did not come; try again";
        let refusal =
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "unavailable", message);
        Self::new(refusal.after(RETRY)).silent()
    }

    /// It came slowly while others waited for room.
    pub(super) fn evicted() -> Self {
        Self::full("body: it came slowly while others waited for room; send it faster, or try again").silent()
    }

    /// No memory is left for it.
    pub(super) fn no_room(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Now => Self::full("too many uploads at a time; try again"),
            NoRoom::Ever(limit) => {
                let message = format!("body: more than {limit} bytes, all that --uploads-mib allows");
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                Self::new(Refusal::new(status, Code::OutOfRange, "body_too_large", message))
            }
        }
    }

    fn full(message: &str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(Refusal::new(status, Code::ResourceExhausted, "overloaded", message).after(RETRY))
    }
}
