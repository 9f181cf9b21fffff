//! Failures, as the client reads them.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use http::StatusCode;
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt;
use unclip_service::{Code, Error, bounded};

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: bounded(message.into()), retry_after: None }
    }

    /// A body that is not what it should be.
    pub(super) fn body(problem: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, problem.to_string())
    }

    /// A body that could not be read to its end.
    pub(super) fn unread(rejection: &BytesRejection, limit: usize) -> Self {
        let status = rejection.status();
        let message = match status {
            StatusCode::PAYLOAD_TOO_LARGE => format!("body: more than {limit} bytes; send smaller pictures"),
            _ => format!("body: {}", rejection.body_text()),
        };
        Self::new(status, Code::InvalidArgument, message)
    }

    /// A body that does not say that it is JSON.
    pub(super) fn content_type(given: &str) -> Self {
        let message = format!("content-type: `{given}`, it must be application/json");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message)
    }

    /// The error object.
    pub(super) fn object(&self) -> Value {
        let mut error = json!({"code": self.code.name(), "message": self.message});
        if let Some(delay) = self.retry_after {
            error["retryAfterSeconds"] = delay.as_secs_f64().into();
        }
        json!({ "error": error })
    }
}

/// What the gateway answered.
impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let code = Code::from_grpc(status.code());
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        Self { retry_after, ..Self::new(code.http(), code, status.message()) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { retry_after: error.retry_after, ..Self::new(error.code.http(), error.code, error.message) }
    }
}
