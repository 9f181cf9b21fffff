//! Signs of life of a stage: whether anything came from it lately, be it a message in the middle of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::BodyExt;
use tokio::time::Instant;
use tonic::body::Body;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use unclip_service::Transport;

/// When something last came. Clones are the same pulse.
#[derive(Clone)]
pub(crate) struct Pulse {
    start: Instant,
    /// Nanoseconds from the start to the last sign.
    last: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { start: Instant::now(), last: Arc::default() }
    }
}

impl Pulse {
    /// Something came.
    pub(crate) fn beat(&self) {
        self.last.store(self.nanos(Instant::now()), Ordering::Relaxed);
    }

    /// Whether something came after `moment`.
    pub(crate) fn beat_since(&self, moment: Instant) -> bool {
        self.last.load(Ordering::Relaxed) > self.nanos(moment)
    }

    /// The same transport, with a beat for every response and every part of one.
    pub(crate) fn listen_to(&self, transport: Transport) -> Transport {
        let pulse = self.clone();
        BoxCloneSyncService::new(transport.map_response(move |response| {
            pulse.beat();
            let pulse = pulse.clone();
            response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    pulse.beat();
                    frame
                }))
            })
        }))
    }

    fn nanos(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
