//! The end of a drain: what still runs is told so, instead of losing its connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use crate::{Code, Error};

/// Ends all calls of a server at once, with UNAVAILABLE. Clones end together.
#[derive(Clone, Debug, Default)]
pub struct CutOff(CancellationToken);

impl CutOff {
    /// Ends them. New calls are refused.
    pub fn cut(&self) {
        self.0.cancel();
    }

    /// The answer of a gRPC call, which ends at the cut if not before.
    pub(crate) async fn bound(&self, answer: impl Future<Output = Response>) -> Response {
        tokio::select! {
            biased;
            () = self.0.cancelled() => stopping().into_http(),
            response = answer => {
                let cut = Box::pin(self.0.clone().cancelled_owned());
                response.map(|body| Body::new(Bounded { body, cut, ended: false }))
            }
        }
    }
}

fn stopping() -> Status {
    Error::new(Code::Unavailable, "the server is shutting down; try again").into()
}

struct Bounded {
    body: Body,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // What is finished already goes out first.
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.ended = frame.as_ref().is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers));
            return Poll::Ready(frame);
        }
        ready!(self.cut.as_mut().poll(context));
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let told = stopping().add_header(&mut trailers);
        Poll::Ready(told.is_ok().then(|| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    fn code(headers: &HeaderMap) -> tonic::Code {
        Status::from_header_map(headers).unwrap().code()
    }

    #[tokio::test]
    async fn a_running_stream_ends_with_a_status() {
        let cut_off = CutOff::default();
        let endless = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let response = cut_off.bound(async { Response::new(endless) }).await;
        let read = tokio::spawn(response.into_body().collect());
        cut_off.cut();
        let body = read.await.unwrap().unwrap();
        assert_eq!(code(body.trailers().unwrap()), tonic::Code::Unavailable);
    }

    #[tokio::test]
    async fn a_call_without_an_answer_yet_and_a_new_one_are_refused() {
        let cut_off = CutOff::default();
        let waiting = tokio::spawn({
            let cut_off = cut_off.clone();
            async move { cut_off.bound(std::future::pending()).await }
        });
        cut_off.cut();
        assert_eq!(code(waiting.await.unwrap().headers()), tonic::Code::Unavailable);
        let new = cut_off.bound(std::future::pending()).await;
        assert_eq!(code(new.headers()), tonic::Code::Unavailable);
    }

    #[tokio::test]
    async fn what_is_finished_arrives() {
        let cut_off = CutOff::default();
        let response = cut_off.bound(async { Response::new(Body::from("done")) }).await;
        cut_off.cut();
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "done");
    }
}
