//! What the door refuses, told as each interface's clients expect it.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::door::Wire;

/// How an answer has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A status in headers.
    Grpc(Wire),
    /// The error object of OpenAI's API.
    OpenAi,
    /// The error object of the JSON calls.
    JsonCall,
    /// A line of text.
    Text,
}

impl Dialect {
    /// Of the client that sent this.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path();
        let is_below =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if let Some(wire) = Wire::of(request.headers()) {
            Self::Grpc(wire)
        } else if is_below("/v1") {
            Self::OpenAi
        } else if is_below("/api") {
            Self::JsonCall
        } else {
            Self::Text
        }
    }
}

/// A refusal in every dialect.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    http: StatusCode,
    grpc: Code,
    /// For programs that speak OpenAI's API.
    name: &'static str,
    pub(crate) message: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(http: StatusCode, grpc: Code, name: &'static str, message: impl Into<String>) -> Self {
        Self { http, grpc, name, message: message.into(), retry_after: None }
    }

    /// The same, with a time to come again.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { retry_after: Some(delay), ..self }
    }

    /// As gRPC's clients read it.
    pub(crate) fn status(&self) -> Status {
        match self.retry_after {
            Some(delay) => {
                let details = ErrorDetails::with_retry_info(Some(delay));
                Status::with_error_details(self.grpc, self.message.clone(), details)
            }
            None => Status::new(self.grpc, self.message.clone()),
        }
    }

    /// Its name, for logs, metrics and programs.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The HTTP status, for the log.
    pub(crate) fn http(&self) -> u16 {
        self.http.as_u16()
    }

    /// The answer.
    pub(crate) fn answer(&self, dialect: Dialect) -> Response<Body> {
        let mut response = match dialect {
            Dialect::Grpc(wire) => return self.call(wire),
            Dialect::OpenAi => self.document("application/json", self.openai().to_string()),
            Dialect::JsonCall => self.document("application/json", format!("{}\n", self.json_call())),
            Dialect::Text => self.document("text/plain; charset=utf-8", format!("{}\n", self.message)),
        };
        self.add_headers(response.headers_mut(), dialect);
        response
    }

    fn call(&self, wire: Wire) -> Response<Body> {
        let mut response: Response<Body> = self.status().into_http();
        response.headers_mut().insert(header::CONTENT_TYPE, wire.content_type());
        response
    }

    fn document(&self, content_type: &'static str, text: String) -> Response<Body> {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.http;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    fn add_headers(&self, headers: &mut HeaderMap, dialect: Dialect) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let Some(delay) = self.retry_after else { return };
        let seconds = delay.as_millis().div_ceil(1000).max(1);
        if let Ok(seconds) = HeaderValue::from_str(&seconds.to_string()) {
            if dialect == Dialect::Text {
                // A browser that opened the page comes again by itself.
                headers.insert(header::REFRESH, seconds.clone());
            }
            headers.insert(header::RETRY_AFTER, seconds);
        }
    }

    fn openai(&self) -> Value {
        let kind = if self.http.is_server_error() { "server_error" } else { "invalid_request_error" };
        json!({"error": {"message": self.message, "type": kind, "param": null, "code": self.name}})
    }

    fn json_call(&self) -> Value {
        let mut error = json!({"code": code_name(self.grpc), "message": self.message});
        if let Some(delay) = self.retry_after {
            error["retryAfterSeconds"] = delay.as_secs_f64().into();
        }
        json!({ "error": error })
    }
}

/// The name of a code that the door refuses with.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        code => crate::Code::from_grpc(code).name(),
    }
}
