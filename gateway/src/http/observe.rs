//! What every HTTP request passes: its id, a line in the log, a counter.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use unclip_service::{REQUEST_ID_HEADER, RequestContext};

/// Counts answers, by route and status.
const REQUESTS: &str = "unclip_http_requests_total";

/// Reads the request id or makes one, passes it on and sends it back. The log holds the route, never the path: that of a
/// picture is a secret.
pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let context = RequestContext::from_headers(request.headers());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    request.extensions_mut().insert(context.clone());
    let route = route.unwrap_or_else(|| "other".to_owned());
    let span = tracing::info_span!("http", request_id = context.request_id, route);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, seconds) = (response.status().as_u16(), started.elapsed().as_secs_f64());
    tracing::info!(parent: &span, status, seconds, "answered");
    metrics::counter!(REQUESTS, "route" => route, "status" => status.to_string()).increment(1);
    if let Some(id) = context.id_header() {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    response
}
