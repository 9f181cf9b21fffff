//! Failures as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt as _;
use unclip_proto::FieldError;
use unclip_service::Code;

use super::names;

/// When to try again where nobody said it: a stage that restarts is back soon.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);

/// A failure.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// The parameter that is at fault.
    pub(super) param: Option<String>,
    /// For programs.
    pub(super) code: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: Some(code), retry_after: None }
    }

    /// A parameter with a value that can't be taken.
    pub(super) fn value(param: &str, problem: impl std::fmt::Display) -> Self {
        let message = format!("{param}: {problem}");
        Self { param: Some(param.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, "invalid_value", message) }
    }

    /// A parameter that is required and not there.
    pub(super) fn missing(param: &str) -> Self {
        Self { code: Some("missing_required_parameter"), ..Self::value(param, "missing, it is required") }
    }

    /// A parameter that the endpoint does not have, and what was probably meant.
    pub(super) fn unknown(param: &str, meant: Option<&str>) -> Self {
        let problem = match meant {
            Some(meant) => format!("unknown here; did you mean {meant}?"),
            None => "unknown here; docs/api.md lists the parameters".to_owned(),
        };
        Self { code: Some("unknown_parameter"), ..Self::value(param, problem) }
    }

    /// More pictures than are worked on.
    pub(super) fn several(param: &str, count: usize) -> Self {
        Self::unsupported(param, format!("{count} pictures, this model takes one; send one"))
    }

    /// A parameter of the official API that this model can't honour.
    pub(super) fn unsupported(param: &str, problem: impl std::fmt::Display) -> Self {
        Self { code: Some("unsupported_parameter"), ..Self::value(param, problem) }
    }

    /// A body that can't be read.
    pub(super) fn body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", message)
    }

    /// A body of another kind.
    pub(super) fn content_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_type", message)
    }

    /// More bytes than are allowed.
    pub(super) fn too_large(param: Option<&str>, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message);
        Self { param: param.map(str::to_owned), ..error }
    }

    /// No such route or picture.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// No such model.
    pub(super) fn no_model(name: &str, own: &str) -> Self {
        let message = format!("model: `{}` is not here; use `{own}`", names::shortened(name));
        let error = Self::new(StatusCode::NOT_FOUND, "model_not_found", message);
        Self { param: Some("model".to_owned()), ..error }
    }

    /// A route that is there, but not for this method.
    pub(super) fn wrong_method(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// Our fault. The log says more.
    pub(super) fn internal(message: &str, detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "{message}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    /// The object as its clients expect it.
    pub(super) fn object(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind(),
            "param": self.param,
            "code": self.code,
        }})
    }

    fn kind(&self) -> &'static str {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// What the client's own retries should do where the status alone would mislead them: the official client repeats
    /// after every 409 and 5xx. A state that does not change and a time that ran out make the same answer again.
    fn should_retry(&self) -> Option<&'static str> {
        matches!(self.status, StatusCode::CONFLICT | StatusCode::GATEWAY_TIMEOUT).then_some("false")
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        let code = Code::from_grpc(status.code());
        if code == Code::InvalidArgument
            && let Some((param, problem)) = names::of_field(status.message())
        {
            return Self::value(&param, problem);
        }
        let name = match code {
            Code::InvalidArgument => "invalid_value",
            Code::Unauthenticated => "invalid_api_key",
            Code::NotFound => "not_found",
            Code::FailedPrecondition => "failed_precondition",
            Code::ResourceExhausted => "rate_limit_exceeded",
            Code::DeadlineExceeded => "deadline_exceeded",
            Code::Cancelled => "cancelled",
            Code::Unavailable => "unavailable",
            Code::Internal => "internal_error",
        };
        let given = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let retry_after = match code {
            Code::ResourceExhausted | Code::Unavailable => Some(given.unwrap_or(RETRY_UNAVAILABLE)),
            _ => given,
        };
        Self { retry_after, ..Self::new(code.http(), name, status.message()) }
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        Self::value(&error.field, error.problem)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, &self.object());
        let headers = response.headers_mut();
        if let Some(delay) = self.retry_after {
            // Whole seconds for everybody, and the exact time for OpenAI's clients.
            let seconds = delay.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                headers.insert(header::RETRY_AFTER, value);
            }
            if let Ok(value) = HeaderValue::from_str(&delay.as_millis().to_string()) {
                headers.insert("retry-after-ms", value);
            }
        }
        if let Some(value) = self.should_retry() {
            headers.insert("x-should-retry", HeaderValue::from_static(value));
        }
        response
    }
}

/// A JSON document.
pub(super) fn json_response(status: StatusCode, value: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], value.to_string()).into_response()
}
