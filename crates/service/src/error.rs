//! The one error that leaves a handler, and its two mappings: to gRPC and to HTTP.

use std::error::Error as _;
use std::time::Duration;

use http::StatusCode;
use tonic::{Code as GrpcCode, Status};
use tonic_types::{ErrorDetails, StatusExt};
use unclip_proto::FieldError;

/// What went wrong, for a program to act on. A closed list: both mappings below are exhaustive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is wrong and stays wrong.
    InvalidArgument,
    /// No or bad credentials.
    Unauthenticated,
    /// No such thing.
    NotFound,
    /// The request is right, but not for this server as it is set up.
    FailedPrecondition,
    /// Full: try again later.
    ResourceExhausted,
    /// The caller's time ran out.
    DeadlineExceeded,
    /// The caller went away.
    Cancelled,
    /// A server that is needed can't be reached: try again.
    Unavailable,
    /// Our fault.
    Internal,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::InvalidArgument,
        Self::Unauthenticated,
        Self::NotFound,
        Self::FailedPrecondition,
        Self::ResourceExhausted,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The gRPC status code.
    pub fn grpc(self) -> GrpcCode {
        match self {
            Self::InvalidArgument => GrpcCode::InvalidArgument,
            Self::Unauthenticated => GrpcCode::Unauthenticated,
            Self::NotFound => GrpcCode::NotFound,
            Self::FailedPrecondition => GrpcCode::FailedPrecondition,
            Self::ResourceExhausted => GrpcCode::ResourceExhausted,
            Self::DeadlineExceeded => GrpcCode::DeadlineExceeded,
            Self::Cancelled => GrpcCode::Cancelled,
            Self::Unavailable => GrpcCode::Unavailable,
            Self::Internal => GrpcCode::Internal,
        }
    }

    /// Its name in gRPC, as `INVALID_ARGUMENT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::NotFound => "NOT_FOUND",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Cancelled => "CANCELLED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }

    /// The HTTP status code.
    pub fn http(self) -> StatusCode {
        match self {
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::FailedPrecondition => StatusCode::CONFLICT,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            // nginx's code for a client that closed the request: nobody reads it but the log.
            Self::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code of a status that a server of ours answered. Codes that none sends are internal errors.
    pub fn from_grpc(code: GrpcCode) -> Self {
        match code {
            GrpcCode::InvalidArgument | GrpcCode::OutOfRange => Self::InvalidArgument,
            GrpcCode::Unauthenticated | GrpcCode::PermissionDenied => Self::Unauthenticated,
            GrpcCode::NotFound => Self::NotFound,
            GrpcCode::FailedPrecondition => Self::FailedPrecondition,
            GrpcCode::ResourceExhausted => Self::ResourceExhausted,
            GrpcCode::DeadlineExceeded => Self::DeadlineExceeded,
            GrpcCode::Cancelled => Self::Cancelled,
            GrpcCode::Unavailable => Self::Unavailable,
            GrpcCode::Ok
            | GrpcCode::Unknown
            | GrpcCode::AlreadyExists
            | GrpcCode::Aborted
            | GrpcCode::Unimplemented
            | GrpcCode::Internal
            | GrpcCode::DataLoss => Self::Internal,
        }
    }
}

/// When to try again where a server is not there: a restart takes longer, another replica is there at once.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);

/// The longest text of an error, in bytes. It may repeat what a client sent, and travels in headers and into logs, where clients
/// and collectors have limits.
const MAX_TEXT: usize = 2048;

/// An error with a text for the client and, where that may not say all, one for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// For the program.
    pub code: Code,
    /// For the client.
    pub message: String,
    /// For the operator's log.
    pub detail: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error whose text the client may read. What is not there now is worth another try in a second.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let retry_after = (code == Code::Unavailable).then_some(RETRY_UNAVAILABLE);
        Self { code, message: bounded(message.into()), detail: None, retry_after }
    }

    /// Our fault: the client reads `message`, the log gets `detail` too.
    pub fn internal(message: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self { detail: Some(detail.to_string()), ..Self::new(Code::Internal, message) }
    }

    /// The caller's time ran out in `stage`.
    pub fn deadline(stage: &str) -> Self {
        Self::new(Code::DeadlineExceeded, format!("the deadline passed in the {stage}; allow more time"))
    }

    /// An embedding of another CLIP model.
    pub fn wrong_space(field: &str, found: &str, expected: &str) -> Self {
        let message = format!(
            "{field}: the embedding is of CLIP space `{found}`, this model takes `{expected}`; encode it with the text or \
             image encoder of the same bundle"
        );
        Self::new(Code::FailedPrecondition, message)
    }

    /// What a stage answered, or what became of the call, seen from its caller.
    pub fn from_status(stage: &str, status: &Status) -> Self {
        let message = match status.code() {
            GrpcCode::Unavailable => format!("the {stage} can't be reached; try again"),
            _ if is_lost(status) => format!("the {stage} went away before it was done; try again"),
            GrpcCode::Unauthenticated | GrpcCode::PermissionDenied => {
                format!("the {stage} does not take calls from here; the server's log says more")
            }
            _ => format!("{stage}: {}", status.message()),
        };
        let error = Self::new(code_of_stage(status), message);
        let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let retry_after = told.or(error.retry_after);
        Self { detail: Some(bounded(format!("{stage}: {status}"))), retry_after, ..error }
    }
}

/// A text without what goes beyond the limit of an error's.
pub fn bounded(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push_str("...");
    }
    text
}

/// Of a stage's troubles the client is never the cause: it neither cancelled the call, whose end is still waited for, nor did it
/// log in there.
fn code_of_stage(status: &Status) -> Code {
    match status.code() {
        _ if is_lost(status) => Code::Unavailable,
        GrpcCode::Unauthenticated | GrpcCode::PermissionDenied => Code::Internal,
        code => Code::from_grpc(code),
    }
}

/// Whether a call ended without a status of the stage's own: its process died, its connection broke, or it dropped the call.
/// tonic then makes a status from the connection's error, which is the source, or says UNKNOWN, which no stage says.
fn is_lost(status: &Status) -> bool {
    match status.code() {
        GrpcCode::Cancelled | GrpcCode::Unknown => true,
        GrpcCode::Internal | GrpcCode::ResourceExhausted => status.source().is_some(),
        _ => false,
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::new(Code::InvalidArgument, error.to_string())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        if error.code == Code::Internal {
            tracing::error!(detail = error.detail.as_deref(), "{}", error.message);
        } else if let Some(detail) = &error.detail {
            tracing::warn!(detail, "{}", error.message);
        }
        match error.retry_after {
            Some(delay) => {
                let details = ErrorDetails::with_retry_info(Some(delay));
                Self::with_error_details(error.code.grpc(), error.message, details)
            }
            None => Self::new(error.code.grpc(), error.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_through_grpc() {
        for code in Code::ALL {
            assert_eq!(Code::from_grpc(code.grpc()), code);
            assert!(code.http().is_client_error() || code.http().is_server_error());
        }
    }

    #[test]
    fn the_retry_delay_travels() {
        let mut error = Error::new(Code::ResourceExhausted, "full");
        error.retry_after = Some(Duration::from_millis(1500));
        let status = Status::from(error);
        let back = Error::from_status("prior", &status);
        assert_eq!(back.code, Code::ResourceExhausted);
        assert_eq!(back.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(back.message, "prior: full");
    }

    #[test]
    fn what_a_stage_did_is_never_the_clients_doing() {
        let broken = Status::from_error(Box::new(std::io::Error::other("broken pipe")));
        let (cancelled, nothing) = (Status::cancelled("h2"), Status::unknown("no trailers"));
        for status in [broken, cancelled, nothing, Status::unavailable("10.0.0.3 is down")] {
            let error = Error::from_status("decoder", &status);
            assert_eq!(error.code, Code::Unavailable, "{status}");
            assert_eq!(error.retry_after, Some(RETRY_UNAVAILABLE), "{status}");
            assert!(error.message.ends_with("; try again"), "{}", error.message);
        }
        for status in [Status::unauthenticated("no token"), Status::permission_denied("not you")] {
            assert_eq!(Error::from_status("decoder", &status).code, Code::Internal, "{status}");
        }
        let failed = Error::from_status("decoder", &Status::internal("the decoder failed"));
        assert_eq!((failed.code, failed.retry_after), (Code::Internal, None));
    }

    #[test]
    fn what_a_client_sent_is_not_repeated_without_end() {
        let error = Error::wrong_space("image_embedding", &"é".repeat(1 << 20), "a");
        assert!(error.message.len() <= MAX_TEXT + 3, "{}", error.message.len());
        assert!(error.message.starts_with("image_embedding: the embedding is of CLIP space `é"));
        assert_eq!(bounded("short".to_owned()), "short");
    }

    #[test]
    fn the_client_never_reads_the_detail() {
        let status = Status::from(Error::internal("the prior failed", "CUDA error at 0x7f"));
        assert_eq!(status.message(), "the prior failed");
    }
}
