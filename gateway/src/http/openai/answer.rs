//! Answers with all pictures at once.

use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use serde_json::{Map, Value, json};
use unclip_proto::v1::generate_image_response::Event;
use unclip_proto::v1::{GeneratedImage, Tensor};

use super::api::{Api, now};
use super::error::{ApiError, json_response};
use super::files::extension;
use super::news::News;
use super::parameters::{Delivery, Parameters};

/// How a request wants its pictures.
pub(super) struct Wanted {
    pub(super) parameters: Parameters,
    pub(super) embeddings: bool,
    /// Where the client reaches this server; absent where it did not say.
    base_url: Option<String>,
}

impl Wanted {
    /// Checks it against what the server can do.
    pub(super) fn new(
        api: &Api,
        parts: &Parts,
        parameters: Parameters,
        embeddings: bool,
    ) -> Result<Self, ApiError> {
        let base_url = api.base_url(parts);
        if parameters.delivery == Delivery::Url && base_url.is_none() {
            let problem =
                "the request names no host, so there is no address; send a Host header or use b64_json";
            return Err(ApiError::value("response_format", problem));
        }
        Ok(Self { parameters, embeddings, base_url })
    }
}

/// Waits for all pictures.
pub(super) async fn respond(api: &Api, wanted: &Wanted, mut news: News) -> Result<Response, ApiError> {
    let mut images = Vec::new();
    while let Some(event) = news.try_next().await? {
        if let Event::Image(image) = event {
            images.push(image);
        }
    }
    images.sort_by_key(|image| image.image_index);
    let first =
        images.first().ok_or_else(|| ApiError::internal("the gateway sent no picture", "no image"))?;
    let (size, drawn_size) = (size(first), drawn_size(first));
    let mut data = Vec::with_capacity(images.len());
    for image in images {
        data.push(Value::Object(picture(api, wanted, image).await?));
    }
    let answer = json!({
        "created": now(),
        "data": data,
        "background": "opaque",
        "output_format": extension(wanted.parameters.format),
        "size": size,
        "usage": usage(),
        "drawn_size": drawn_size,
        "ignored_parameters": wanted.parameters.ignored,
    });
    Ok(json_response(StatusCode::OK, &answer))
}

/// A picture and what this API says of it beyond the official one.
async fn picture(api: &Api, wanted: &Wanted, image: GeneratedImage) -> Result<Map<String, Value>, ApiError> {
    let mut members = about(&image, wanted.embeddings)?;
    match (wanted.parameters.delivery, &wanted.base_url) {
        (Delivery::Url, Some(base_url)) => {
            let name = api.settings().files.keep(image.image, wanted.parameters.format).await?;
            members.insert("url".to_owned(), format!("{base_url}/v1/images/files/{name}").into());
        }
        _ => {
            members.insert("b64_json".to_owned(), STANDARD.encode(&image.image).into());
        }
    }
    Ok(members)
}

/// The seed, the receipt and, where they are wanted, the embeddings.
pub(super) fn about(image: &GeneratedImage, embeddings: bool) -> Result<Map<String, Value>, ApiError> {
    let mut members = Map::new();
    if let Some(receipt) = &image.receipt {
        members.insert("seed".to_owned(), receipt.seed.into());
        let receipt = receipt.to_json();
        let failed = |error| ApiError::internal("the receipt can't be written", &error);
        members.insert("receipt".to_owned(), receipt.map_err(failed)?);
    }
    if embeddings {
        members.insert("embeddings".to_owned(), self::embeddings(image)?);
    }
    Ok(members)
}

fn embeddings(image: &GeneratedImage) -> Result<Value, ApiError> {
    let tensors = image.tensors.as_ref();
    let values = |tensor: Option<&Tensor>| -> Result<Value, ApiError> {
        let Some(tensor) = tensor else { return Ok(Value::Null) };
        let damaged = |error| ApiError::internal("an embedding is damaged", error);
        let shape = tensor.checked_shape("embedding").map_err(damaged)?;
        Ok(tensor.floats("embedding", &shape).map_err(damaged)?.into())
    };
    Ok(json!({
        "text": values(tensors.and_then(|tensors| tensors.text_embedding.as_ref()))?,
        "image": values(tensors.and_then(|tensors| tensors.image_embedding.as_ref()))?,
    }))
}

/// As the API writes sizes.
pub(super) fn size(image: &GeneratedImage) -> String {
    format!("{}x{}", image.width, image.height)
}

/// The size before the picture was resized.
pub(super) fn drawn_size(image: &GeneratedImage) -> String {
    image.drawn_size.map_or_else(|| size(image), |drawn| format!("{}x{}", drawn.width, drawn.height))
}

/// Clients count on it. Nothing is measured in tokens here, so that the honest sum is none.
pub(super) fn usage() -> Value {
    json!({
        "input_tokens": 0,
        "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
        "output_tokens": 0,
        "total_tokens": 0,
    })
}
