//! The gateway's gRPC service.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::try_join_all;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument;
use unclip_proto::v1::unclip_service_server::{UnclipService, UnclipServiceServer};
use unclip_proto::v1::{
    ClassifyRequest, ClassifyResponse, ComputeBasisRequest, ComputeBasisResponse, DiffImageRequest,
    DiffImageResponse, EditImageRequest, EditImageResponse, GenerateImageRequest, InterpolateImagesRequest,
    InterpolateImagesResponse, InvertImageRequest, InvertImageResponse, ListModelsRequest,
    ListModelsResponse, ReconstructImageRequest, ReconstructImageResponse, UnclipServiceEncodeImageRequest,
    UnclipServiceEncodeImageResponse, UnclipServiceEncodeTextRequest, UnclipServiceEncodeTextResponse,
    VaryImageRequest, VaryImageResponse,
};
use unclip_service::{Error, MAX_MESSAGE_BYTES, RequestContext, Services, in_process};

use crate::HttpArgs;
use crate::cache::{Cache, CacheConfig};
use crate::events::{Events, Message};
use crate::http;
use crate::pipeline::Pipeline;
use crate::plan::{Plan, StageFacts};
use crate::stages::Stages;
use crate::toolbox::{self, EventStream};

/// The gateway.
pub struct Gateway {
    pipeline: Pipeline,
}

impl Gateway {
    /// A gateway to these stages.
    ///
    /// # Errors
    /// A Redis address that does not parse. A Redis that is down is no error.
    pub fn new(stages: Stages, cache: CacheConfig) -> Result<Self, Error> {
        Ok(Self { pipeline: Pipeline { stages, cache: Arc::new(Cache::new(cache)?) } })
    }

    /// Adds the gateway to a server: its gRPC service, and the HTTP interfaces that call it.
    ///
    /// # Errors
    /// A flag whose value can't be used.
    pub fn add_to(self, services: Services, http: &HttpArgs) -> Result<Services, Error> {
        let service = UnclipServiceServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let gateway = in_process(Services::new().with(service.clone()));
        Ok(services.with(service).with_http(http::routes(&gateway, http)?))
    }
}

#[tonic::async_trait]
impl UnclipService for Gateway {
    type GenerateImageStream = ReceiverStream<Message>;

    async fn generate_image(
        &self,
        request: Request<GenerateImageRequest>,
    ) -> Result<Response<Self::GenerateImageStream>, Status> {
        let context = RequestContext::of(request.extensions());
        let request = request.into_inner();
        // What no stage needs to be asked for is refused at once.
        let asks_prior = Plan::new(&request, &StageFacts::UNKNOWN).map_err(Error::from)?.asks_prior();
        let (events, receiver) = Events::channel();
        let work = generate(self.pipeline.clone(), context, request, asks_prior, events);
        tokio::spawn(work.in_current_span());
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn encode_text(
        &self,
        request: Request<UnclipServiceEncodeTextRequest>,
    ) -> Result<Response<UnclipServiceEncodeTextResponse>, Status> {
        let context = RequestContext::of(request.extensions());
        let encoded = toolbox::encode_texts(&self.pipeline, &context, request.get_ref()).await?;
        Ok(Response::new(encoded))
    }

    async fn encode_image(
        &self,
        request: Request<UnclipServiceEncodeImageRequest>,
    ) -> Result<Response<UnclipServiceEncodeImageResponse>, Status> {
        let context = RequestContext::of(request.extensions());
        let encoded = toolbox::encode_images(&self.pipeline, &context, request.into_inner()).await?;
        Ok(Response::new(encoded))
    }

    async fn classify(
        &self,
        request: Request<ClassifyRequest>,
    ) -> Result<Response<ClassifyResponse>, Status> {
        let context = RequestContext::of(request.extensions());
        Ok(Response::new(toolbox::classify(&self.pipeline, &context, request.into_inner()).await?))
    }

    async fn compute_basis(
        &self,
        request: Request<ComputeBasisRequest>,
    ) -> Result<Response<ComputeBasisResponse>, Status> {
        Ok(Response::new(toolbox::compute_basis(request.into_inner()).await?))
    }

    type ReconstructImageStream = EventStream<ReconstructImageResponse>;

    async fn reconstruct_image(
        &self,
        request: Request<ReconstructImageRequest>,
    ) -> Result<Response<Self::ReconstructImageStream>, Status> {
        let context = RequestContext::of(request.extensions());
        Ok(Response::new(toolbox::reconstruct(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type VaryImageStream = EventStream<VaryImageResponse>;

    async fn vary_image(
        &self,
        request: Request<VaryImageRequest>,
    ) -> Result<Response<Self::VaryImageStream>, Status> {
        let context = RequestContext::of(request.extensions());
        Ok(Response::new(toolbox::vary(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type InvertImageStream = EventStream<InvertImageResponse>;

    async fn invert_image(
        &self,
        request: Request<InvertImageRequest>,
    ) -> Result<Response<Self::InvertImageStream>, Status> {
        let context = RequestContext::of(request.extensions());
        Ok(Response::new(toolbox::invert(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type InterpolateImagesStream = EventStream<InterpolateImagesResponse>;

    async fn interpolate_images(
        &self,
        request: Request<InterpolateImagesRequest>,
    ) -> Result<Response<Self::InterpolateImagesStream>, Status> {
        let context = RequestContext::of(request.extensions());
        Ok(Response::new(toolbox::interpolate(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type DiffImageStream = EventStream<DiffImageResponse>;

    async fn diff_image(
        &self,
        request: Request<DiffImageRequest>,
    ) -> Result<Response<Self::DiffImageStream>, Status> {
        let context = RequestContext::of(request.extensions());
        Ok(Response::new(toolbox::diff(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type EditImageStream = EventStream<EditImageResponse>;

    async fn edit_image(
        &self,
        request: Request<EditImageRequest>,
    ) -> Result<Response<Self::EditImageStream>, Status> {
        let context = RequestContext::of(request.extensions());
        Ok(Response::new(toolbox::edit(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let context = RequestContext::of(request.extensions());
        let stages = &self.pipeline.stages;
        let (text_encoder, prior, decoder, upsampler) = tokio::try_join!(
            stages.text_encoder_info(&context),
            stages.prior_info(&context),
            stages.decoder_info(&context),
            stages.upsampler_info(&context),
        )?;
        Ok(Response::new(ListModelsResponse { models: vec![text_encoder, prior, decoder, upsampler] }))
    }
}

/// Draws all pictures until the client is gone; then everything that was under way is dropped, down to the stages.
async fn generate(
    pipeline: Pipeline,
    context: RequestContext,
    request: GenerateImageRequest,
    asks_prior: bool,
    events: Events,
) {
    let result = tokio::select! {
        result = draw_all(pipeline, context, request, asks_prior, &events) => result,
        () = events.closed() => {
            tracing::info!("the client is gone");
            return;
        }
    };
    if let Err(error) = result {
        events.fail(error).await;
    }
}

async fn draw_all(
    pipeline: Pipeline,
    context: RequestContext,
    request: GenerateImageRequest,
    asks_prior: bool,
    events: &Events,
) -> Result<(), Error> {
    let facts = pipeline.stages.facts(&context, asks_prior).boxed().await?;
    let plan = Plan::new(&request, &facts)?;
    tracing::info!(images = plan.images, seed = plan.seed, "drawing");
    let texts = pipeline.encode(&context, &plan).await?;
    let draws = (0..plan.images).map(|index| {
        let (pipeline, context, plan, texts) = (&pipeline, &context, &plan, &texts);
        async move {
            let drawn = pipeline.draw(context, plan, texts, index, events, None).boxed();
            let image = context.run("pipeline", drawn).await?;
            events.image(image).await;
            Ok::<_, Error>(())
        }
    });
    try_join_all(draws).await?;
    Ok(())
}
