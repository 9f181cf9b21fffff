//! The middleware of every server: request id, span, metrics. A call counts until its stream has ended.

use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http::HeaderMap;
use tonic::Code;
use tracing::{Instrument, Span};

use crate::context::REQUEST_ID_HEADER;
use crate::contracts::Method;
use crate::ended::{Ended, at_end};
use crate::{CutOff, RequestContext, compression, grpc_web, metric_names};

/// Adds the middleware to a router of gRPC services, whose calls end at the latest when they are cut off. gRPC-Web is translated
/// before anything counts.
pub fn observe(router: Router, cut_off: CutOff) -> Router {
    let observed = router.layer(from_fn_with_state(cut_off, handle));
    observed.layer(from_fn(compression::in_kind)).layer(from_fn(grpc_web::translate))
}

async fn handle(State(cut_off): State<CutOff>, mut request: Request, next: Next) -> Response {
    let context = RequestContext::from_headers(request.headers());
    let call = Call::begin(Method::at(request.uri().path()), &context);
    let (id, span) = (context.id_header(), call.span.clone());
    request.extensions_mut().insert(context);
    let mut response = cut_off.bound(next.run(request)).instrument(span).await;
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    match refusal(&response) {
        Some(code) => {
            call.end(code);
            response
        }
        None => at_end(response, |ended| call.end(code_of(&ended))),
    }
}

/// The code of an answer that ends with its headers.
fn refusal(response: &Response) -> Option<Code> {
    let told = code_in(response.headers());
    told.or_else(|| (!response.status().is_success()).then_some(Code::Unknown))
}

/// The code that a stream ended with. gRPC sends it in the trailers.
fn code_of(ended: &Ended<'_>) -> Code {
    match ended {
        Ended::Complete(Some(trailers)) => code_in(trailers).unwrap_or(Code::Unknown),
        Ended::Complete(None) | Ended::Failed => Code::Unknown,
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

/// A call under way. One that is dropped has lost its client.
struct Call {
    method: &'static Method,
    started: Instant,
    deadline: Option<Instant>,
    span: Span,
    ended: bool,
}

impl Call {
    fn begin(method: &'static Method, context: &RequestContext) -> Self {
        let span = tracing::info_span!("request", request_id = context.request_id, method = method.name);
        metrics::counter!(metric_names::REQUESTS, &method.labels()).increment(1);
        metrics::gauge!(metric_names::REQUESTS_IN_FLIGHT, &method.labels()).increment(1);
        Self { method, started: Instant::now(), deadline: context.deadline, span, ended: false }
    }

    fn end(mut self, code: Code) {
        self.record(code);
    }

    fn record(&mut self, code: Code) {
        self.ended = true;
        let (labels, code) = (self.method.labels(), i32::from(code));
        let seconds = self.started.elapsed().as_secs_f64();
        metrics::gauge!(metric_names::REQUESTS_IN_FLIGHT, &labels).decrement(1);
        metrics::histogram!(metric_names::REQUEST_DURATION_SECONDS, &labels).record(seconds);
        if code != i32::from(Code::Ok) {
            let [service, method] = labels;
            let labels = [service, method, ("code", code.to_string())];
            metrics::counter!(metric_names::REQUEST_ERRORS, &labels).increment(1);
        }
        // Health checks, reflection and gateways that ask all the time would drown the rest.
        if self.method.is_asked_all_the_time() {
            tracing::debug!(parent: &self.span, code, seconds, "answered");
        } else {
            tracing::info!(parent: &self.span, code, seconds, "answered");
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // A client whose time is up hangs up before it can be told.
        let late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        self.record(if late { Code::DeadlineExceeded } else { Code::Cancelled });
    }
}

impl Method {
    fn labels(&'static self) -> [(&'static str, String); 2] {
        [("service", self.service.clone()), ("method", self.name.clone())]
    }
}
