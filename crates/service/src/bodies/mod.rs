//! Bodies of requests and answers, within limits of time and memory, whatever interface they belong to.

mod budget;
mod download;
mod drain;
mod fault;
mod pace;
mod upload;

use std::sync::{Arc, OnceLock};

use axum::body::{Body, HttpBody as _};
use http::{Request, Response, Version, header};
use tokio_util::sync::CancellationToken;

use crate::connections::OpenRequest;
use crate::limits::Limits;
use crate::refusal::Refusal;
use budget::Budget;
use drain::Draining;
use upload::{Terms, Upload};

/// What all bodies of a port share.
#[derive(Clone)]
pub(crate) struct Bodies {
    limits: Arc<Limits>,
    budget: Arc<Budget>,
    draining: CancellationToken,
}

impl Bodies {
    pub(crate) fn new(limits: Arc<Limits>, draining: CancellationToken) -> Self {
        Self { budget: Budget::new(limits.uploads), limits, draining }
    }

    /// Lets `answer` read and answer a request within the limits. The memory of its body is free again once the answer
    /// begins.
    ///
    /// # Errors
    /// The body was ended: why, whatever was answered.
    pub(crate) async fn within_limits<A>(
        &self,
        request: Request<Body>,
        open: OpenRequest,
        answer: impl FnOnce(Request<Body>) -> A,
    ) -> Result<Response<Body>, Refusal>
    where
        A: Future<Output = Response<Body>>,
    {
        let open = Arc::new(open);
        let response = if request.body().is_end_stream() {
            answer(request).await
        } else {
            let share = self.budget.share();
            let fault = Arc::new(OnceLock::new());
            let terms = Terms {
                limits: Arc::clone(&self.limits),
                request: Arc::clone(&open),
                share: Arc::clone(&share),
                fault: Arc::clone(&fault),
                draining: Draining::new(self.draining.clone()),
                is_stream: request.uri().path().starts_with("/grpc.reflection."),
                discards: request.version() <= Version::HTTP_11
                    && !request.headers().contains_key(header::EXPECT),
            };
            let response = answer(request.map(|body| Body::new(Upload::new(body, terms)))).await;
            if let Some(fault) = fault.get() {
                return Err(fault.refusal.clone());
            }
            drop(share);
            response
        };
        let draining = Draining::new(self.draining.clone());
        Ok(response.map(|body| download::paced(body, open, draining, self.limits.body)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::{Stream, StreamExt as _, stream};
    use http::StatusCode;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::connections::Activity;
    use crate::refusal::Dialect;

    fn limits() -> Limits {
        Limits { body: Duration::from_secs(20), body_quota: 1000, uploads: 10_000, ..Limits::for_metrics() }
    }

    /// Pieces of so many bytes, one after each pause.
    fn drops(length: usize, pause: Duration) -> impl Stream<Item = Result<Bytes, axum::Error>> {
        stream::repeat(()).then(move |()| async move {
            sleep(pause).await;
            Ok(Bytes::from(vec![0; length]))
        })
    }

    /// What becomes of a body that a handler reads whole.
    async fn read(bodies: &Bodies, body: Body) -> Result<usize, Refusal> {
        let request = Request::post("/").body(body).unwrap();
        let length = Arc::new(OnceLock::new());
        let seen = Arc::clone(&length);
        let answer = async move |request: Request<Body>| {
            let bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await;
            let _ = seen.set(bytes.map_or(0, |bytes| bytes.len()));
            Response::new(Body::empty())
        };
        bodies.within_limits(request, Activity::new().request(true), answer).await?;
        Ok(*length.get().unwrap())
    }

    fn bodies() -> Bodies {
        Bodies::new(Arc::new(limits()), CancellationToken::new())
    }

    fn status(refusal: &Refusal) -> StatusCode {
        refusal.answer(Dialect::Text).status()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_its_pace_is_read() {
        // 1000 bytes in 20 seconds.
        let body = Body::from_stream(drops(100, Duration::from_secs(1)).take(90));
        assert_eq!(read(&bodies(), body).await.unwrap(), 9000);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_drips_are_ended_after_the_same_time() {
        let start = Instant::now();
        for body in [
            Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>()),
            Body::from_stream(drops(1, Duration::from_secs(1))),
            Body::from_stream(drops(400, Duration::ZERO).take(2).chain(drops(1, Duration::from_secs(1)))),
        ] {
            let before = start.elapsed();
            let refusal = read(&bodies(), body).await.unwrap_err();
            assert_eq!(status(&refusal), StatusCode::REQUEST_TIMEOUT);
            assert!(refusal.message.contains("less than 1000 bytes came in 20 seconds"), "{refusal:?}");
            assert_eq!((start.elapsed() - before).as_secs(), 20);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_too_large_for_all_memory_is_refused_for_good() {
        let body = Body::from(vec![0; 10_001]);
        assert_eq!(status(&read(&bodies(), body).await.unwrap_err()), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_makes_room_for_another() {
        let bodies = bodies();
        let silent = Body::from_stream(
            stream::iter([Ok::<_, axum::Error>(Bytes::from(vec![0; 9000]))]).chain(stream::pending()),
        );
        let other = async {
            sleep(Duration::from_secs(2)).await;
            read(&bodies, Body::from(vec![0; 5000])).await
        };
        let (silent, other) = tokio::join!(read(&bodies, silent), other);
        assert_eq!(other.unwrap(), 5000);
        assert_eq!(status(&silent.unwrap_err()), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_drains_waits_for_no_silent_body() {
        let draining = CancellationToken::new();
        let bodies = Bodies::new(Arc::new(limits()), draining.clone());
        let start = Instant::now();
        let (silent, ()) = tokio::join!(
            read(&bodies, Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>())),
            async {
                sleep(Duration::from_secs(1)).await;
                draining.cancel();
            }
        );
        assert!(silent.unwrap_err().message.contains("shutting down"));
        assert_eq!(start.elapsed().as_secs(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_handler_does_not_want_is_read_away() {
        let (sent, mut sends) = tokio::sync::mpsc::unbounded_channel();
        let pieces = stream::iter(0..50).map(move |at| {
            let _ = sent.send(at);
            Ok::<_, axum::Error>(Bytes::from(vec![0; 1000]))
        });
        let request = Request::post("/").version(Version::HTTP_11).body(Body::from_stream(pieces)).unwrap();
        let answer = async |_| Response::new(Body::empty());
        bodies().within_limits(request, Activity::new().request(true), answer).await.unwrap();
        for expected in 0..50 {
            assert_eq!(sends.recv().await, Some(expected));
        }
    }
}
