//! The end of an answer's body: only there a stream says whether it succeeded.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// How a body ended that was read to its end.
#[derive(Debug)]
pub enum Ended<'a> {
    /// Whole, with these trailers, if any.
    Complete(Option<&'a HeaderMap>),
    /// With an error of its own.
    Failed,
}

/// The same answer, which calls `at_end` when its body has been read. A body that is dropped before, because its client is
/// gone, drops `at_end` uncalled.
pub fn at_end(response: Response, at_end: impl FnOnce(Ended<'_>) + Send + 'static) -> Response {
    response.map(|body| {
        if body.is_end_stream() {
            // Nobody will ask it for more.
            at_end(Ended::Complete(None));
            return body;
        }
        Body::new(Watched { body, at_end: Some(Box::new(at_end)) })
    })
}

type AtEnd = Box<dyn FnOnce(Ended<'_>) + Send>;

struct Watched {
    body: Body,
    at_end: Option<AtEnd>,
}

impl Watched {
    fn end(&mut self, ended: Ended<'_>) {
        if let Some(at_end) = self.at_end.take() {
            at_end(ended);
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            None => self.end(Ended::Complete(None)),
            Some(Err(_)) => self.end(Ended::Failed),
            Some(Ok(frame)) => match frame.trailers_ref() {
                Some(trailers) => self.end(Ended::Complete(Some(trailers))),
                // A body that knows its end is not asked again.
                None if self.body.is_end_stream() => self.end(Ended::Complete(None)),
                None => {}
            },
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
