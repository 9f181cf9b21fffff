//! The body of an answer, as clients take it: at their pace, if it is a fair one. A client that takes nothing ends the work
//! behind it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tower::BoxError;

use super::drain::Draining;
use crate::connections::OpenRequest;

/// An answer is handed over in pieces of so many bytes, so that a slow client is seen to take it.
const PIECE: usize = 64 << 10;

/// An answer whose client has to keep taking it.
///
/// What is small is handed over at once. All else passes through a task, because nobody asks the body of an answer for more
/// while its client takes nothing.
pub(super) fn paced(body: Body, request: Arc<OpenRequest>, draining: Draining, patience: Duration) -> Body {
    let size = body.size_hint();
    if body.is_end_stream() || size.exact().is_some_and(|size| size <= PIECE as u64) {
        return body;
    }
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(hand_over(body, request, draining, patience, sender));
    Body::new(Download { pieces, size, handed: 0, is_over: false })
}

enum Piece {
    Frame(Frame<Bytes>),
    Failed(axum::Error),
    End,
}

async fn hand_over(
    mut body: Body,
    request: Arc<OpenRequest>,
    draining: Draining,
    patience: Duration,
    taker: mpsc::Sender<Piece>,
) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = taker.closed() => return,
        };
        let is_last = !matches!(frame, Some(Ok(_)));
        for piece in pieces(frame) {
            let Err(mpsc::error::TrySendError::Full(piece)) = taker.try_send(piece) else { continue };
            let _waiting = request.wait();
            tokio::select! {
                _ = taker.send(piece) => {}
                () = draining.clone().patience(patience) => {
                    tracing::info!(seconds = patience.as_secs(), "a client took nothing of its answer; giving it up");
                    return;
                }
            }
        }
        if is_last {
            return;
        }
    }
}

fn pieces(frame: Option<Result<Frame<Bytes>, axum::Error>>) -> Vec<Piece> {
    match frame {
        None => vec![Piece::End],
        Some(Err(error)) => vec![Piece::Failed(error)],
        Some(Ok(frame)) => match frame.into_data() {
            Ok(mut data) => {
                let mut pieces = Vec::new();
                while data.len() > PIECE {
                    pieces.push(Piece::Frame(Frame::data(data.split_to(PIECE))));
                }
                pieces.push(Piece::Frame(Frame::data(data)));
                pieces
            }
            Err(trailers) => vec![Piece::Frame(trailers)],
        },
    }
}

/// The other end of [`hand_over`].
struct Download {
    pieces: mpsc::Receiver<Piece>,
    /// What the body said of its size at first.
    size: SizeHint,
    handed: u64,
    is_over: bool,
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(context));
        self.is_over = !matches!(piece, Some(Piece::Frame(_)));
        Poll::Ready(match piece {
            Some(Piece::Frame(frame)) => {
                self.handed += frame.data_ref().map_or(0, |data| data.len() as u64);
                Some(Ok(frame))
            }
            Some(Piece::Failed(error)) => Some(Err(error.into())),
            Some(Piece::End) => None,
            None => Some(Err("the client took nothing for too long".into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        match self.size.exact() {
            Some(size) => SizeHint::with_exact(size.saturating_sub(self.handed)),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::connections::Activity;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// An answer, whether what is behind it was dropped, and its connection.
    fn answer(pieces: usize, length: usize) -> (Body, Arc<()>, Arc<Activity>) {
        let work = Arc::new(());
        let held = Arc::clone(&work);
        let pieces = stream::iter(0..pieces).map(move |_| {
            let _ = &held;
            Ok::<_, axum::Error>(Bytes::from(vec![7; length]))
        });
        let activity = Activity::new();
        let request = Arc::new(activity.request(true));
        let draining = Draining::new(CancellationToken::new());
        (paced(Body::from_stream(pieces), request, draining, PATIENCE), work, activity)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_arrives_whole() {
        let (body, work, activity) = answer(3, 200_000);
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len(), 600_000);
        assert!(bytes.iter().all(|byte| *byte == 7));
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&work), 1);
        assert!(!activity.has_work());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_ends_the_work() {
        let (mut body, work, activity) = answer(1000, 100_000);
        body.frame().await.unwrap().unwrap();
        tokio::time::sleep(PATIENCE / 2).await;
        assert!(activity.has_work() && activity.waiting_since().is_some());
        tokio::time::sleep(PATIENCE).await;
        assert_eq!(Arc::strong_count(&work), 1, "what is behind the answer is dropped");
        assert!(!activity.has_work());
        let rest = body.collect().await;
        assert!(rest.unwrap_err().to_string().contains("took nothing"), "the answer is no whole one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_gone_ends_the_work_at_once() {
        let (body, work, activity) = answer(1000, 100_000);
        drop(body);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&work), 1);
        assert!(!activity.has_work());
    }

    #[tokio::test]
    async fn what_is_small_keeps_its_length() {
        let activity = Activity::new();
        let request = Arc::new(activity.request(true));
        let draining = Draining::new(CancellationToken::new());
        let body = paced(Body::from("short"), request, draining, PATIENCE);
        assert_eq!(body.size_hint().exact(), Some(5));
    }
}
