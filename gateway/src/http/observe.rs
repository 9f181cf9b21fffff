//! What every HTTP request passes: its id, a line in the log, metrics. A request counts until its answer's body has ended.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use tracing::{Instrument, Span};
use unclip_service::{Code, REQUEST_ID_HEADER, RequestContext, at_end};

use super::metric_names;

/// Reads the request id or makes one, passes it on and sends it back. The log holds the route, never the path: that of a
/// picture is a secret.
pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let context = RequestContext::from_headers(request.headers());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let exchange = Exchange::begin(route, &context);
    let (id, span) = (context.id_header(), exchange.span.clone());
    request.extensions_mut().insert(context);
    let mut response = next.run(request).instrument(span).await;
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    let status = response.status();
    at_end(response, move |_| exchange.end(status))
}

/// A request under way. One that is dropped has lost its client.
struct Exchange {
    route: String,
    started: Instant,
    span: Span,
    ended: bool,
}

impl Exchange {
    fn begin(route: Option<String>, context: &RequestContext) -> Self {
        let route = route.unwrap_or_else(|| "other".to_owned());
        let span = tracing::info_span!("http", request_id = context.request_id, route);
        Self { route, started: Instant::now(), span, ended: false }
    }

    fn end(mut self, status: StatusCode) {
        self.record(status);
    }

    fn record(&mut self, status: StatusCode) {
        self.ended = true;
        let (status, seconds) = (status.as_u16(), self.started.elapsed().as_secs_f64());
        tracing::info!(parent: &self.span, status, seconds, "answered");
        let route = self.route.clone();
        metrics::histogram!(metric_names::REQUEST_DURATION_SECONDS, "route" => route.clone()).record(seconds);
        metrics::counter!(metric_names::REQUESTS, "route" => route, "status" => status.to_string())
            .increment(1);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.ended {
            self.record(Code::Cancelled.http());
        }
    }
}
