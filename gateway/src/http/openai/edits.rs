//! `POST /v1/images/edits`, as a form or as JSON.

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use unclip_pictures::MAX_BYTES;
use unclip_proto::v1::EditImageRequest;
use unclip_service::RequestContext;

use super::answer::Wanted;
use super::api::Api;
use super::body::{Kind, Upload, kind};
use super::embedded::{first_image, picture};
use super::error::ApiError;
use super::extras::Extras;
use super::fields::Fields;
use super::generations::{respond, settle};
use super::news::{News, news};
use super::parameters::{Endpoint, Parameters};
use super::variations::first_file;

/// The longest body, in bytes: a picture, a mask and texts.
const MAX_BODY: usize = 2 * MAX_BYTES + (1 << 20);

/// What is repainted.
struct Canvas {
    image: Bytes,
    /// The parameter that brought it, and how many pictures that has.
    field: &'static str,
    count: usize,
    /// Empty: the picture's own alpha.
    mask: Bytes,
}

/// Repaints a picture where its mask is transparent.
pub(super) async fn edit(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (wanted, news) = begin(&api, request).await?;
    respond(&api, wanted, Endpoint::Edits, news).await
}

/// Reads the request and hands it to the gateway.
async fn begin(api: &Api, request: Request) -> Result<(Wanted, News), ApiError> {
    let (parts, body) = request.into_parts();
    let upload = Upload::new(body, MAX_BODY);
    let (fields, canvas) = match kind(&parts.headers)? {
        Kind::Form(boundary) => {
            let mut fields = upload.form(boundary).await?;
            let canvas = of_form(&mut fields)?;
            (fields, canvas)
        }
        Kind::Json => {
            let mut fields = upload.json().await?;
            let canvas = of_json(&mut fields)?;
            (fields, canvas)
        }
    };
    repaint(api, &parts, fields, canvas).await
}

fn of_form(fields: &mut Fields) -> Result<Canvas, ApiError> {
    let (image, count) = first_file(fields)?;
    let mask = fields.file("mask")?;
    // The gateway takes an empty mask for none; a client that sends a file means one.
    match mask {
        Some(mask) if mask.is_empty() => {
            Err(ApiError::value("mask", "no readable picture (0 bytes); send a PNG file"))
        }
        mask => Ok(Canvas { image, field: "image", count, mask: mask.unwrap_or_default() }),
    }
}

fn of_json(fields: &mut Fields) -> Result<Canvas, ApiError> {
    let (image, count) = first_image(fields)?;
    let mask = fields.any("mask").map(|mask| picture("mask", mask)).transpose()?;
    Ok(Canvas { image, field: "images", count, mask: mask.unwrap_or_default() })
}

async fn repaint(
    api: &Api,
    parts: &Parts,
    mut fields: Fields,
    canvas: Canvas,
) -> Result<(Wanted, News), ApiError> {
    let prompt = fields.text("prompt")?.ok_or_else(|| ApiError::missing("prompt"))?;
    let strict = api.settings().strict;
    let mut parameters = Parameters::take(&mut fields, Endpoint::Edits, strict)?;
    parameters.ignore_others(canvas.field, canvas.count, strict)?;
    let extras = Extras::take(&mut fields, Endpoint::Edits, strict)?;
    fields.finish()?;

    let context = RequestContext::of(&parts.extensions);
    let wanted = Wanted::new(api, parts, parameters, extras.return_embeddings)?;
    let every = settle(api, &context, &wanted.parameters, &extras).await?;
    let message = EditImageRequest {
        resample: extras.resample,
        mask_mode: extras.mask_mode as i32,
        generation: Some(extras.generation(prompt, &wanted.parameters, every)),
        image: canvas.image,
        mask: canvas.mask,
        // What a client that knows no masks means: the whole picture, by the prompt.
        vary_opaque: !strict,
    };
    let messages = api.client().edit_image(context.request(message)).await?.into_inner();
    Ok((wanted, news(messages)))
}
