//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use super::activity::Activity;
use super::socket::Socket;
use super::table::Place;
use crate::limits::Limits;

/// What answers requests. Each carries the [`Activity`] of its connection as an extension.
pub(crate) type App = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The longest head of a request over HTTP/1, in bytes. A connection holds as much.
const MAX_HEAD: usize = 64 << 10;

/// Calls under way on one connection of HTTP/2.
const MAX_STREAMS: u32 = 200;

/// How long a connection has to take its goodbye once nothing is under way.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves a connection until its client, its limits or the drain end it.
pub(super) async fn serve(
    stream: TcpStream,
    place: Place,
    app: App,
    limits: Arc<Limits>,
    draining: CancellationToken,
) {
    let activity = Arc::clone(place.activity());
    let io = TokioIo::new(Socket::new(stream, Arc::clone(&activity)));
    let service = service_fn({
        let activity = Arc::clone(&activity);
        move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Arc::clone(&activity));
            app.clone().oneshot(request)
        }
    });
    let builder = builder(&limits);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    tokio::select! {
        result = connection.as_mut() => ended(result),
        () = activity.evicted() => tracing::debug!("closed a connection to make room"),
        () = farewell(&activity, &limits, &draining) => {
            // What still comes in time is served.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection.as_mut() => ended(result),
                () = activity.evicted() => {}
                () = without_work(&activity) => tracing::debug!("closed a silent connection"),
            }
        }
    }
}

/// Resolves when the connection has to end.
async fn farewell(activity: &Activity, limits: &Limits, draining: &CancellationToken) {
    tokio::select! {
        () = expired(activity, limits) => {}
        () = draining.cancelled() => {}
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Times are watched here: hyper's own begin only once it knows the version, and don't know idle from slow.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.ping)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

/// Clients that go away, or speak something else, are no news.
fn ended(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(error, "a connection ended");
    }
}

/// Resolves when the connection has waited for a request for as long as it may.
async fn expired(activity: &Activity, limits: &Limits) {
    // A head that begins in the meantime is noticed late by so much.
    let tick = limits.header.min(limits.idle) / 4;
    loop {
        let now = Instant::now();
        let next = match activity.deadline(limits) {
            Some(deadline) if deadline <= now => return,
            Some(deadline) => deadline.min(now + tick),
            None => now + tick,
        };
        sleep_until(next).await;
    }
}

/// Resolves when a connection that ends has had nothing to do for as long as a goodbye takes.
async fn without_work(activity: &Activity) {
    const TICK: Duration = Duration::from_millis(50);
    let mut idle_since = Instant::now();
    while idle_since.elapsed() < GOODBYE {
        tokio::time::sleep(TICK).await;
        if activity.has_work() {
            idle_since = Instant::now();
        }
    }
}
