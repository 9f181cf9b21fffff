//! `POST /v1/images/generations`.

use axum::extract::{Request, State};
use axum::response::Response;
use unclip_service::RequestContext;

use super::answer::{self, Wanted};
use super::api::Api;
use super::body::{Upload, expect_json};
use super::error::ApiError;
use super::events::{self, preview_every};
use super::extras::Extras;
use super::news::{News, news};
use super::parameters::{Endpoint, Parameters};

/// The longest body, in bytes: texts and numbers alone.
const MAX_BODY: usize = 1 << 20;

/// Draws pictures of a caption.
pub(super) async fn generate(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (wanted, news) = begin(&api, request).await?;
    respond(&api, wanted, Endpoint::Generations, news).await
}

/// Reads the request and hands it to the gateway.
async fn begin(api: &Api, request: Request) -> Result<(Wanted, News), ApiError> {
    let (parts, body) = request.into_parts();
    expect_json(&parts.headers)?;
    let mut fields = Upload::new(body, MAX_BODY).json().await?;
    let prompt = fields.text("prompt")?.ok_or_else(|| ApiError::missing("prompt"))?;
    let parameters = Parameters::take(&mut fields, Endpoint::Generations, api.settings().strict)?;
    let extras = Extras::take(&mut fields, Endpoint::Generations, api.settings().strict)?;
    fields.finish()?;

    let context = RequestContext::of(&parts.extensions);
    let wanted = Wanted::new(api, &parts, parameters, extras.return_embeddings)?;
    let every = settle(api, &context, &wanted.parameters, &extras).await?;
    let message = extras.generation(prompt, &wanted.parameters, every);
    let messages = api.client().generate_image(context.request(message)).await?.into_inner();
    Ok((wanted, news(messages)))
}

/// Checks what depends on the model, and says after how many steps previews are wanted.
pub(super) async fn settle(
    api: &Api,
    context: &RequestContext,
    parameters: &Parameters,
    extras: &Extras,
) -> Result<u32, ApiError> {
    api.check_model(parameters.model.as_deref())?;
    // Any other size is drawn at the model's own and resized.
    if api.settings().strict
        && let Some(size) = parameters.size
    {
        check_size(api, context, size).await?;
    }
    let steps = match (parameters.partial_images, extras.decoder.steps) {
        (0, _) => 0,
        (_, Some(steps)) => steps,
        (_, None) => {
            api.stage(context, "decoder").await?.sampling_defaults.map_or(25, |defaults| defaults.steps)
        }
    };
    Ok(preview_every(parameters.partial_images, steps))
}

async fn check_size(
    api: &Api,
    context: &RequestContext,
    (width, height): (u32, u32),
) -> Result<(), ApiError> {
    let model = api.stage(context, "upsampler").await?;
    match (width, height) == (model.width, model.height) {
        true => Ok(()),
        false => {
            let own = format!("{}x{}", model.width, model.height);
            let problem = format!("{width}x{height} is no size of this model; use {own} or auto");
            Err(ApiError::unsupported("size", problem))
        }
    }
}

/// Answers at once or as events.
pub(super) async fn respond(
    api: &Api,
    wanted: Wanted,
    endpoint: Endpoint,
    news: News,
) -> Result<Response, ApiError> {
    match wanted.parameters.stream {
        true => Ok(events::respond(wanted, endpoint, news)),
        false => answer::respond(api, &wanted, news).await,
    }
}
