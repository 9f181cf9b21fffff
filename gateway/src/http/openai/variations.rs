//! `POST /v1/images/variations`.

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use unclip_pictures::MAX_BYTES;
use unclip_proto::v1::latent::Source;
use unclip_proto::v1::{Latent, VaryImageRequest};
use unclip_service::RequestContext;

use super::answer::Wanted;
use super::api::Api;
use super::body::{Upload, expect_form};
use super::error::ApiError;
use super::extras::Extras;
use super::fields::Fields;
use super::generations::{respond, settle};
use super::news::{News, news};
use super::parameters::{Endpoint, Parameters};

/// The longest body, in bytes: a picture and texts.
const MAX_BODY: usize = MAX_BYTES + (1 << 20);

/// Draws variations of a picture.
pub(super) async fn vary(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (wanted, news) = begin(&api, request).await?;
    respond(&api, wanted, Endpoint::Variations, news).await
}

/// The first file of `image`, and how many there are.
pub(super) fn first_file(fields: &mut Fields) -> Result<(Bytes, usize), ApiError> {
    let images = fields.files("image")?;
    let count = images.len();
    let first = images.into_iter().next().ok_or_else(|| ApiError::missing("image"))?;
    Ok((first, count))
}

/// Reads the request and hands it to the gateway.
async fn begin(api: &Api, request: Request) -> Result<(Wanted, News), ApiError> {
    let (parts, body) = request.into_parts();
    let boundary = expect_form(&parts.headers)?;
    let mut fields = Upload::new(body, MAX_BODY).form(boundary).await?;
    let strict = api.settings().strict;
    let (image, count) = first_file(&mut fields)?;
    let mut parameters = Parameters::take(&mut fields, Endpoint::Variations, strict)?;
    parameters.ignore_others("image", count, strict)?;
    let extras = Extras::take(&mut fields, Endpoint::Variations, strict)?;
    fields.finish()?;

    let context = RequestContext::of(&parts.extensions);
    let wanted = Wanted::new(api, &parts, parameters, extras.return_embeddings)?;
    settle(api, &context, &wanted.parameters, &extras).await?;
    let message = VaryImageRequest {
        latent: Some(Latent { source: Some(Source::Image(image)), ..Default::default() }),
        n: wanted.parameters.n,
        options: Some(extras.drawing(&wanted.parameters)),
    };
    let messages = api.client().vary_image(context.request(message)).await?.into_inner();
    Ok((wanted, news(messages)))
}
