//! The body of a request, as handlers read it: at the client's pace, if it is a fair one, and within the memory for bodies.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt as _;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::BoxError;

use super::budget::{Growth, Share};
use super::drain::Draining;
use super::fault::Fault;
use super::pace::Pace;
use crate::connections::{OpenRequest, Waiting};
use crate::limits::{DRAIN_PATIENCE, Limits};

/// What is read and thrown away of a body that nobody wanted, in bytes.
const DISCARDED: usize = 64 << 20;

/// What an upload needs to know.
pub(super) struct Terms {
    pub(super) limits: Arc<Limits>,
    pub(super) request: Arc<OpenRequest>,
    pub(super) share: Arc<Share>,
    /// Filled when the server ends the body.
    pub(super) fault: Arc<OnceLock<Fault>>,
    pub(super) draining: Draining,
    /// A stream of requests, which may rest between them.
    pub(super) is_stream: bool,
    /// Whether to read what nobody wanted, for clients that send first and listen later.
    pub(super) discards: bool,
}

/// A body under way.
pub(super) struct Upload {
    inner: Body,
    terms: Terms,
    pace: Pace,
    growth: Growth,
    /// What came and has no room yet.
    arrived: Option<Frame<Bytes>>,
    is_complete: bool,
    waiting: Option<Waiting>,
    timer: Pin<Box<Sleep>>,
    /// Once the server drains: when the client has to have sent something.
    drained: Option<Instant>,
}

impl Upload {
    pub(super) fn new(inner: Body, terms: Terms) -> Self {
        let limits = &terms.limits;
        let pace = match terms.is_stream {
            true => Pace::new(1, limits.idle),
            false => Pace::new(limits.body_quota, limits.body),
        };
        Self {
            is_complete: inner.is_end_stream(),
            inner,
            pace,
            growth: Growth::default(),
            arrived: None,
            waiting: None,
            timer: Box::pin(sleep_until(Instant::now())),
            drained: None,
            terms,
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BoxError>> {
        if self.terms.share.is_evicted() && (!self.is_complete || self.arrived.is_some()) {
            return Poll::Ready(Err(self.fail(Fault::evicted())));
        }
        if self.arrived.is_none() {
            match Pin::new(&mut self.inner).poll_frame(context) {
                Poll::Pending => return self.poll_patience(context).map(|fault| Err(self.fail(fault))),
                Poll::Ready(frame) => self.arrived = frame.transpose()?,
            }
            self.came();
        }
        let bytes = self.arrived.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
        if bytes > 0 {
            let grown = ready!(self.growth.poll(context, &self.terms.share, bytes));
            grown.map_err(|no_room| self.fail(Fault::no_room(no_room)))?;
        }
        Poll::Ready(Ok(self.arrived.take()))
    }

    /// Something came, or the end.
    fn came(&mut self) {
        self.is_complete = self.arrived.is_none() || self.inner.is_end_stream();
        self.pace.came(self.arrived.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len));
        (self.waiting, self.drained) = (None, None);
        self.terms.share.works();
    }

    /// Nothing came: resolves when the client's time is over.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        let mut until = self.pace.waits();
        self.waiting.get_or_insert_with(|| self.terms.request.wait());
        let (since, bytes) = self.pace.slow();
        self.terms.share.waits(since, bytes, context.waker());
        if self.terms.draining.poll_unpin(context).is_ready() {
            until = until.min(*self.drained.get_or_insert_with(|| Instant::now() + DRAIN_PATIENCE));
        }
        self.timer.as_mut().reset(until);
        ready!(self.timer.poll_unpin(context));
        Poll::Ready(match self.drained {
            Some(_) => Fault::draining(),
            None => Fault::slow(&self.terms.limits),
        })
    }

    fn fail(&self, fault: Fault) -> BoxError {
        Box::new(self.terms.fault.get_or_init(|| fault).clone())
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(fault) = self.terms.fault.get() {
            return Poll::Ready(Some(Err(Box::new(fault.clone()))));
        }
        self.poll_next(context).map(Result::transpose)
    }

    fn is_end_stream(&self) -> bool {
        self.arrived.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let wanted = self.is_complete || self.terms.fault.get().is_some_and(|fault| fault.is_silent);
        if wanted || !self.terms.discards {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (body, request) = (std::mem::take(&mut self.inner), Arc::clone(&self.terms.request));
            let patience = self.terms.draining.clone().patience(self.terms.limits.body);
            runtime.spawn(async move {
                let _waiting = request.wait();
                tokio::select! {
                    () = discard(body) => {}
                    () = patience => {}
                }
            });
        }
    }
}

async fn discard(mut body: Body) {
    let mut read = 0;
    while read < DISCARDED
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}
