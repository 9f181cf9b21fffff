//! The port that Prometheus scrapes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{StatusCode, header};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use crate::connections::Acceptor;
use crate::limits::Limits;
use crate::port::Port;
use crate::recorder::Recorder;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Records all metrics of the process from now on, and serves them until it ends.
///
/// # Errors
/// The address can't be bound, or metrics are recorded already.
pub(crate) fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let port = Port::bind("--metrics-listen", address)?;
    let recorder = Recorder::install()?;
    let app = BoxCloneSyncService::new(routes(recorder).map_request(|request: http::Request<Body>| request));
    // It ends with the process: a drain is worth watching.
    Acceptor::start(port.listener, app, Arc::new(Limits::for_metrics()), CancellationToken::new());
    Ok(())
}

fn routes(recorder: Recorder) -> Router {
    let metrics = async move || ([(header::CONTENT_TYPE, CONTENT_TYPE)], recorder.render());
    Router::new()
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, "there is nothing here; metrics are at /metrics\n"))
}
