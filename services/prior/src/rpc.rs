//! The prior's gRPC service.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument;
use unclip_engine::{Finished, Start};
use unclip_models::EmbeddingStatistics;
use unclip_proto::v1::prior_service_server::{PriorService, PriorServiceServer};
use unclip_proto::v1::sample_prior_response::Event;
use unclip_proto::v1::{
    Embedding, PriorResult, PriorResults, PriorServiceGetModelInfoRequest, PriorServiceGetModelInfoResponse,
    Progress, SamplePriorRequest, SamplePriorResponse,
};
use unclip_proto::{FieldError, Maker, PlainText};
use unclip_service::{Error, RequestContext, grpc_server};
use unclip_stage::{DiffusionStage, StageStream, noise_message};

use crate::captions::Captions;
use crate::denoiser::Condition;
use crate::items::{self, Item};
use crate::run::Jobs;

/// Messages that may wait for a slow client; progress beyond that is dropped.
const CAPACITY: usize = 4;

/// The prior.
pub struct Prior(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) stage: DiffusionStage<Condition>,
    pub(crate) statistics: EmbeddingStatistics,
    pub(crate) captions: Captions,
}

/// A request on its way: per item its text and the jobs of its candidates.
struct Batch {
    texts: Vec<Arc<PlainText>>,
    jobs: Jobs,
    candidates: usize,
}

impl Prior {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// The gRPC service.
    pub fn into_service(self) -> PriorServiceServer<Self> {
        grpc_server!(PriorServiceServer::new(self))
    }
}

impl Shared {
    async fn submit(&self, context: &RequestContext, request: SamplePriorRequest) -> Result<Batch, Error> {
        let candidates = items::candidates(&request)?;
        let info = self.stage.info();
        let sampling = self.stage.sampling(request.options.as_ref())?;
        let options = self.stage.options(sampling, info.model.embedding_dim as usize, None, context)?;
        let resolved = items::resolve(request.items, info, &self.captions, context).await?;
        let negative = match sampling.is_guided() {
            true => Some(items::negative(request.negative.as_ref(), info, &self.captions, context).await?),
            false => None,
        };
        check_places(resolved.len(), candidates, self.stage.places())?;
        let (mut texts, mut jobs) = (Vec::new(), Vec::new());
        for Item { text, mut noise } in resolved {
            for _ in 0..candidates {
                let start = Start::Noise(noise.clone());
                options.skip_run(&mut noise)?;
                let condition = Condition { text: Arc::clone(&text), negative: negative.clone() };
                jobs.push(options.job(condition, start));
            }
            texts.push(text);
        }
        Ok(Batch { texts, jobs: Jobs::start(&self.stage, jobs)?, candidates })
    }

    /// Follows a batch to its end and picks the best candidate of every item.
    async fn finish(&self, batch: Batch, progress: impl FnMut(Progress)) -> Result<PriorResults, Error> {
        let Batch { texts, jobs, candidates } = batch;
        let finished = jobs.run(&self.stage, progress).await?;
        let results =
            texts.iter().zip(finished.chunks(candidates)).map(|(text, samples)| self.best(text, samples));
        let Maker { fingerprint, dtype } = self.stage.info().maker();
        Ok(PriorResults {
            results: results.collect::<Result<_, _>>()?,
            model_fingerprint: fingerprint,
            dtype,
        })
    }

    /// The candidate with the largest dot product with the text embedding (paper, section 2.2). The generator goes on
    /// from where the last candidate left it.
    fn best(&self, text: &PlainText, samples: &[Finished]) -> Result<PriorResult, Error> {
        let failed =
            |detail: &dyn std::fmt::Display| Error::internal("the prior failed; its log says why", detail);
        let embeddings = samples
            .iter()
            .map(|sample| self.statistics.denormalise(&sample.sample).map_err(|error| failed(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        let scores: Vec<f32> = embeddings.iter().map(|embedding| dot(embedding, &text.embedding)).collect();
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let (best, last) = best.zip(samples.last()).ok_or_else(|| failed(&"no samples"))?;
        Ok(PriorResult {
            embedding: Some(Embedding::new(&self.stage.info().model.space, &embeddings[best])),
            scores,
            noise: Some(noise_message(last.noise)),
        })
    }
}

/// Refuses for good what would find the queue full however often it came again.
fn check_places(items: usize, candidates: usize, places: usize) -> Result<(), FieldError> {
    match items * candidates > places {
        false => Ok(()),
        true => {
            let problem = format!(
                "{candidates} of each of {items} items, but this server has room for {places} samples; ask for fewer, or \
                 raise --max-queue"
            );
            Err(FieldError::new("candidates", problem))
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tonic::async_trait]
impl PriorService for Prior {
    type SamplePriorStream = StageStream<SamplePriorResponse>;

    async fn sample_prior(
        &self,
        request: Request<SamplePriorRequest>,
    ) -> Result<Response<Self::SamplePriorStream>, Status> {
        let context = RequestContext::of(request.extensions());
        let batch = self.0.submit(&context, request.into_inner()).await?;
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let shared = Arc::clone(&self.0);
        let work = async move {
            let progress = |progress| drop(sender.try_send(Ok(message(Event::Progress(progress)))));
            let results = tokio::select! {
                results = shared.finish(batch, progress) => results,
                () = sender.closed() => return,
            };
            let last = results.map(|results| message(Event::Results(results))).map_err(Status::from);
            // A client that is gone by now is nobody to tell.
            let _ = sender.send(last).await;
        };
        tokio::spawn(work.in_current_span());
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn get_model_info(
        &self,
        _: Request<PriorServiceGetModelInfoRequest>,
    ) -> Result<Response<PriorServiceGetModelInfoResponse>, Status> {
        let model_info = Some(self.0.stage.info().model.clone());
        Ok(Response::new(PriorServiceGetModelInfoResponse { model_info }))
    }
}

fn message(event: Event) -> SamplePriorResponse {
    SamplePriorResponse { event: Some(event) }
}
