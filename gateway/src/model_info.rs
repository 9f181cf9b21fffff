//! What a stage serves, remembered.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use unclip_proto::v1::ModelInfo;
use unclip_service::Error;

/// How long an answer counts. Cache keys hold the fingerprint, so this bounds how long an old model's results are still
/// served after a roll-out.
const FRESH: Duration = Duration::from_secs(30);

/// The last answer of one stage.
#[derive(Default)]
pub(crate) struct ModelInfoCell {
    known: Mutex<Option<(Instant, ModelInfo)>>,
}

impl ModelInfoCell {
    /// The info, fetched when it is unknown or old. When the fetch fails, an old answer still serves, so that cached
    /// results outlive their stage.
    pub(crate) async fn get(
        &self,
        fetch: impl Future<Output = Result<ModelInfo, Error>>,
    ) -> Result<ModelInfo, Error> {
        let known = self.lock().clone();
        if let Some((at, info)) = &known
            && at.elapsed() < FRESH
        {
            return Ok(info.clone());
        }
        match (fetch.await, known) {
            (Ok(info), _) => {
                *self.lock() = Some((Instant::now(), info.clone()));
                Ok(info)
            }
            (Err(error), Some((_, old))) => {
                tracing::warn!(%error, stage = old.stage, "going on with what the stage said before");
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Forgets the answer when a result came from another model.
    pub(crate) fn saw(&self, fingerprint: &str) {
        let mut known = self.lock();
        if known.as_ref().is_some_and(|(_, info)| info.fingerprint != fingerprint) {
            *known = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, ModelInfo)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use unclip_service::Code;

    use super::*;

    fn info(fingerprint: &str) -> ModelInfo {
        ModelInfo { fingerprint: fingerprint.to_owned(), ..Default::default() }
    }

    #[tokio::test]
    async fn it_is_fetched_once_and_again_after_another_model_was_seen() {
        let cell = ModelInfoCell::default();
        assert_eq!(cell.get(async { Ok(info("a")) }).await.unwrap().fingerprint, "a");
        assert_eq!(cell.get(async { Ok(info("b")) }).await.unwrap().fingerprint, "a");
        cell.saw("a");
        assert_eq!(cell.get(async { Ok(info("b")) }).await.unwrap().fingerprint, "a");
        cell.saw("b");
        assert_eq!(cell.get(async { Ok(info("b")) }).await.unwrap().fingerprint, "b");
    }

    #[tokio::test]
    async fn an_unknown_stage_that_is_down_is_an_error() {
        let cell = ModelInfoCell::default();
        let down = async { Err(Error::new(Code::Unavailable, "down")) };
        assert_eq!(cell.get(down).await.unwrap_err().code, Code::Unavailable);
    }
}
