//! The middleware of every server: request id, span, counters.

use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tracing::Instrument;

use crate::context::REQUEST_ID_HEADER;
use crate::{RequestContext, metric_names};

/// Adds the middleware to a router.
pub fn observe(router: Router) -> Router {
    router.layer(from_fn(handle))
}

async fn handle(mut request: Request, next: Next) -> Response {
    let context = RequestContext::from_headers(request.headers());
    let method = Method::of(request.uri().path());
    request.extensions_mut().insert(context.clone());
    metrics::counter!(metric_names::REQUESTS, &method.labels()).increment(1);
    let span = tracing::info_span!("request", request_id = context.request_id, method = method.name);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    // A refusal has its status in the headers; a stream that fails later has it in the trailers and logs for itself.
    let code = response.headers().get("grpc-status").and_then(|value| value.to_str().ok()).map(str::to_owned);
    if let Some(code) = code.as_ref().filter(|code| *code != "0") {
        let labels = [method.labels(), vec![("code", code.clone())]].concat();
        metrics::counter!(metric_names::REQUEST_ERRORS, &labels).increment(1);
    }
    let seconds = started.elapsed().as_secs_f64();
    // Health checks and reflection would drown the rest.
    if method.service.starts_with("grpc.") {
        tracing::debug!(parent: &span, code, seconds, "answered");
    } else {
        tracing::info!(parent: &span, code, seconds, "answered");
    }
    if let Some(id) = context.id_header() {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    response
}

struct Method {
    service: String,
    name: String,
}

impl Method {
    /// Splits `/package.Service/Method`. A path that no server has would make labels without bound: it is named "other".
    fn of(path: &str) -> Self {
        let known = path.strip_prefix('/').and_then(|rest| rest.split_once('/')).filter(|(service, name)| {
            (service.starts_with("unclip.v1.") || service.starts_with("grpc."))
                && name.len() <= 64
                && name.chars().all(char::is_alphanumeric)
        });
        let (service, name) = known.unwrap_or(("other", "other"));
        Self { service: service.to_owned(), name: name.to_owned() }
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![("service", self.service.clone()), ("method", self.name.clone())]
    }
}
