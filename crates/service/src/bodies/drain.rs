//! Whether the server is shutting down, for what waits for clients.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::limits::DRAIN_PATIENCE;

/// Resolves when the server drains, and stays so.
pub(super) struct Draining {
    token: CancellationToken,
    waiting: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Draining {
    pub(super) fn new(token: CancellationToken) -> Self {
        Self { waiting: Box::pin(token.clone().cancelled_owned()), token }
    }

    /// Resolves when a client has been waited for long enough: `patience`, and a little while once the server drains.
    pub(super) async fn patience(self, patience: Duration) {
        let drained = async {
            self.token.cancelled().await;
            tokio::time::sleep(DRAIN_PATIENCE).await;
        };
        tokio::select! {
            () = tokio::time::sleep(patience) => {}
            () = drained => {}
        }
    }
}

impl Clone for Draining {
    fn clone(&self) -> Self {
        Self::new(self.token.clone())
    }
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.token.is_cancelled() {
            true => Poll::Ready(()),
            false => self.waiting.as_mut().poll(context),
        }
    }
}
