//! The gateway's gRPC service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::try_join_all;
use tonic::{Extensions, Request, Response, Status};
use unclip_pictures::Pool;
use unclip_proto::v1::unclip_service_server::{UnclipService, UnclipServiceServer};
use unclip_proto::v1::{
    ClassifyRequest, ClassifyResponse, ComputeBasisRequest, ComputeBasisResponse, DiffImageRequest,
    DiffImageResponse, EditImageRequest, EditImageResponse, GenerateImageRequest, GenerateImageResponse,
    InterpolateImagesRequest, InterpolateImagesResponse, InvertImageRequest, InvertImageResponse,
    ListModelsRequest, ListModelsResponse, ReconstructImageRequest, ReconstructImageResponse,
    UnclipServiceEncodeImageRequest, UnclipServiceEncodeImageResponse, UnclipServiceEncodeTextRequest,
    UnclipServiceEncodeTextResponse, VaryImageRequest, VaryImageResponse,
};
use unclip_service::{Error, RequestContext, Services, grpc_server, in_process};

use crate::cache::{Cache, CacheConfig};
use crate::events::Events;
use crate::http::{self, Public};
use crate::pipeline::Pipeline;
use crate::plan::{Plan, StageFacts};
use crate::stages::{Stages, names};
use crate::toolbox::{self, EventStream};
use crate::{HttpArgs, RequestArgs};

/// The gateway.
pub struct Gateway {
    pipeline: Pipeline,
    default_deadline: Option<Duration>,
}

impl Gateway {
    /// A gateway to these stages, whose pictures go through `pictures`.
    ///
    /// # Errors
    /// A Redis address that does not parse. A Redis that is down is no error.
    pub fn new(
        stages: Stages,
        cache: CacheConfig,
        requests: &RequestArgs,
        pictures: Pool,
    ) -> Result<Self, Error> {
        let (cache, waiting) = (Arc::new(Cache::new(cache)?), Arc::default());
        let pipeline = Pipeline { stages, cache, pictures, waiting };
        Ok(Self { pipeline, default_deadline: requests.default_deadline() })
    }

    /// A request's context, with a deadline where it brought none.
    fn context(&self, extensions: &Extensions) -> RequestContext {
        let context = RequestContext::of(extensions);
        let default = || Instant::now().checked_add(self.default_deadline?);
        RequestContext { deadline: context.deadline.or_else(default), ..context }
    }

    /// Adds the gateway to a server: its gRPC service, and the HTTP interfaces that call it.
    ///
    /// # Errors
    /// A flag whose value can't be used.
    pub fn add_to(self, services: Services, http: &HttpArgs) -> Result<Services, Error> {
        let service = grpc_server!(UnclipServiceServer::new(self));
        let gateway = in_process(services.sibling().with(service.clone()));
        let public = Public::new(http)?;
        let routes = http::routes(&gateway, &public, http);
        let services = services.with(service).with_http(routes, http::paths());
        Ok(match public.url() {
            Some(url) => services.reached_at(url),
            None => services,
        })
    }
}

#[tonic::async_trait]
impl UnclipService for Gateway {
    type GenerateImageStream = EventStream<GenerateImageResponse>;

    async fn generate_image(
        &self,
        request: Request<GenerateImageRequest>,
    ) -> Result<Response<Self::GenerateImageStream>, Status> {
        let context = self.context(request.extensions());
        let request = request.into_inner();
        // What no stage needs to be asked for is refused at once.
        let asks_prior = Plan::new(&request, &StageFacts::UNKNOWN).map_err(Error::from)?.asks_prior();
        let (pipeline, whole) = (self.pipeline.clone(), context.clone());
        let work = |events| draw_all(pipeline, context, request, asks_prior, events);
        Ok(Response::new(toolbox::run(&whole, work, |()| None).await?))
    }

    async fn encode_text(
        &self,
        request: Request<UnclipServiceEncodeTextRequest>,
    ) -> Result<Response<UnclipServiceEncodeTextResponse>, Status> {
        let context = self.context(request.extensions());
        let encoded = toolbox::encode_texts(&self.pipeline, &context, request.get_ref()).boxed();
        Ok(Response::new(context.run(names::TEXT_ENCODER, encoded).await?))
    }

    async fn encode_image(
        &self,
        request: Request<UnclipServiceEncodeImageRequest>,
    ) -> Result<Response<UnclipServiceEncodeImageResponse>, Status> {
        let context = self.context(request.extensions());
        let encoded = toolbox::encode_images(&self.pipeline, &context, request.into_inner()).boxed();
        Ok(Response::new(context.run(names::IMAGE_ENCODER, encoded).await?))
    }

    async fn classify(
        &self,
        request: Request<ClassifyRequest>,
    ) -> Result<Response<ClassifyResponse>, Status> {
        let context = self.context(request.extensions());
        let classified = toolbox::classify(&self.pipeline, &context, request.into_inner()).boxed();
        Ok(Response::new(context.run("pipeline", classified).await?))
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
        let context = self.context(request.extensions());
        Ok(Response::new(toolbox::reconstruct(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type VaryImageStream = EventStream<VaryImageResponse>;

    async fn vary_image(
        &self,
        request: Request<VaryImageRequest>,
    ) -> Result<Response<Self::VaryImageStream>, Status> {
        let context = self.context(request.extensions());
        Ok(Response::new(toolbox::vary(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type InvertImageStream = EventStream<InvertImageResponse>;

    async fn invert_image(
        &self,
        request: Request<InvertImageRequest>,
    ) -> Result<Response<Self::InvertImageStream>, Status> {
        let context = self.context(request.extensions());
        Ok(Response::new(toolbox::invert(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type InterpolateImagesStream = EventStream<InterpolateImagesResponse>;

    async fn interpolate_images(
        &self,
        request: Request<InterpolateImagesRequest>,
    ) -> Result<Response<Self::InterpolateImagesStream>, Status> {
        let context = self.context(request.extensions());
        Ok(Response::new(toolbox::interpolate(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type DiffImageStream = EventStream<DiffImageResponse>;

    async fn diff_image(
        &self,
        request: Request<DiffImageRequest>,
    ) -> Result<Response<Self::DiffImageStream>, Status> {
        let context = self.context(request.extensions());
        Ok(Response::new(toolbox::diff(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    type EditImageStream = EventStream<EditImageResponse>;

    async fn edit_image(
        &self,
        request: Request<EditImageRequest>,
    ) -> Result<Response<Self::EditImageStream>, Status> {
        let context = self.context(request.extensions());
        Ok(Response::new(toolbox::edit(self.pipeline.clone(), context, request.into_inner()).await?))
    }

    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let context = self.context(request.extensions());
        let stages = &self.pipeline.stages;
        let prior = async {
            match stages.has_prior() {
                true => stages.prior_info().await.map(Some),
                false => Ok(None),
            }
        };
        let infos = async {
            tokio::try_join!(
                stages.text_encoder_info(),
                prior,
                stages.decoder_info(),
                stages.upsampler_info(),
            )
        };
        let (text_encoder, prior, decoder, upsampler) = context.run("pipeline", infos).await?;
        let models = [Some(text_encoder), prior, Some(decoder), Some(upsampler)];
        Ok(Response::new(ListModelsResponse { models: models.into_iter().flatten().collect() }))
    }
}

/// Draws all pictures.
async fn draw_all(
    pipeline: Pipeline,
    context: RequestContext,
    request: GenerateImageRequest,
    asks_prior: bool,
    events: Events,
) -> Result<(), Error> {
    let facts = pipeline.stages.facts(&context, asks_prior).boxed().await?;
    let plan = Plan::new(&request, &facts)?;
    tracing::info!(images = plan.images, seed = plan.seed, "drawing");
    let texts = pipeline.encode(&context, &plan).await?;
    let draws = (0..plan.images).map(|index| {
        let (pipeline, context, plan, texts, events) = (&pipeline, &context, &plan, &texts, &events);
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
