//! A model that answers at once, on a thread of its own: the encoders.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::{mpsc, oneshot};
use unclip_engine::{ComputePermit, OwnedThread};
use unclip_service::{Code, Error};

/// Owns a model on a thread. Calls wait in a bounded queue; a call whose caller is gone is skipped.
pub struct Worker<I, O> {
    stage: &'static str,
    /// Dropped first: that ends the thread.
    calls: mpsc::Sender<Call<I, O>>,
    _thread: OwnedThread,
}

struct Call<I, O> {
    input: I,
    answer: oneshot::Sender<Result<O, Error>>,
}

impl<I: Send + 'static, O: Send + 'static> Worker<I, O> {
    /// Starts the thread, which builds its model there, and returns once it is built. Every call holds `permit`.
    ///
    /// # Errors
    /// Those of `build`, or no thread.
    pub async fn start<M, E>(
        stage: &'static str,
        queue: usize,
        permit: ComputePermit,
        build: impl FnOnce() -> Result<M, E> + Send + 'static,
        run: impl Fn(&mut M, I) -> Result<O, Error> + Send + 'static,
    ) -> Result<Self, E>
    where
        M: 'static,
        E: From<std::io::Error> + Send + 'static,
    {
        let (calls, receiver) = mpsc::channel(queue);
        let (built, is_built) = oneshot::channel();
        let thread =
            OwnedThread::spawn(&format!("unclip-{stage}").replace(' ', "-"), move || match build() {
                Err(error) => drop(built.send(Err(error))),
                Ok(model) => {
                    drop(built.send(Ok(())));
                    serve(stage, model, receiver, &permit, run);
                }
            })?;
        is_built
            .await
            .unwrap_or_else(|_| Err(std::io::Error::other("building the model panicked").into()))?;
        Ok(Self { stage, calls, _thread: thread })
    }

    /// Runs the model on `input`.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when the queue is full, and the model's own.
    pub async fn call(&self, input: I) -> Result<O, Error> {
        let (answer, answered) = oneshot::channel();
        self.calls.try_send(Call { input, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error {
                retry_after: Some(std::time::Duration::from_secs(1)),
                ..Error::new(
                    Code::ResourceExhausted,
                    format!("the {}'s queue is full; try again later", self.stage),
                )
            },
            mpsc::error::TrySendError::Closed(_) => {
                Error::new(Code::Unavailable, format!("the {} is shutting down; try again", self.stage))
            }
        })?;
        let gone = || Error::new(Code::Unavailable, format!("the {} stopped; try again", self.stage));
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn serve<M, I, O>(
    stage: &str,
    mut model: M,
    mut calls: mpsc::Receiver<Call<I, O>>,
    permit: &ComputePermit,
    run: impl Fn(&mut M, I) -> Result<O, Error>,
) {
    while let Some(Call { input, answer }) = calls.blocking_recv() {
        if answer.is_closed() {
            continue;
        }
        let turn = permit.acquire();
        let result = catch_unwind(AssertUnwindSafe(|| run(&mut model, input)));
        drop(turn);
        let result = result.unwrap_or_else(|panic| {
            Err(Error::internal(format!("the {stage} failed; its log says why"), panic_text(panic.as_ref())))
        });
        // A caller that is gone by now is nobody to tell.
        let _ = answer.send(result);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn worker(queue: usize) -> Worker<u32, u32> {
        let build = || Ok::<_, std::io::Error>(0_u32);
        Worker::start("test", queue, ComputePermit::new(), build, |calls, input| {
            *calls += 1;
            assert!(input != 13, "unlucky");
            Ok(input + *calls)
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn it_answers_and_outlives_a_panic() {
        let worker = worker(4).await;
        assert_eq!(worker.call(10).await.unwrap(), 11);
        let error = worker.call(13).await.unwrap_err();
        assert_eq!(error.code, Code::Internal);
        assert!(error.detail.unwrap().contains("unlucky"));
        assert_eq!(worker.call(10).await.unwrap(), 13);
    }

    #[tokio::test]
    async fn a_model_that_can_not_be_built_is_an_error() {
        let build = || Err::<(), _>(std::io::Error::other("no model"));
        let started =
            Worker::<u32, u32>::start("test", 1, ComputePermit::new(), build, |(), input| Ok(input)).await;
        assert_eq!(started.err().unwrap().to_string(), "no model");
    }
}
