//! Bodies, read within limits: no more is ever held than the endpoint takes and the server has room for.

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use multer::{Field, Multipart};
use serde_json::Value;
use unclip_pictures::MAX_BYTES;

use super::error::ApiError;
use super::fields::Fields;
use super::names::shortened;

/// The longest text of a form, in bytes. The gateway takes shorter captions still, and says so.
const MAX_TEXT: usize = 128 << 10;

/// The most parts of a form.
const MAX_PARTS: usize = 64;

/// Parts that are files even without a file name.
const FILES: [&str; 4] = ["image", "image[]", "mask", "markup"];

/// What kind of body it is.
pub(super) enum Kind {
    /// JSON.
    Json,
    /// A form with this boundary.
    Form(String),
}

/// Reads the content type.
pub(super) fn kind(headers: &HeaderMap) -> Result<Kind, ApiError> {
    let text = headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or(""));
    let essence = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Kind::Json),
        "multipart/form-data" => multer::parse_boundary(text).map(Kind::Form).map_err(|_| {
            ApiError::content_type("multipart/form-data without a boundary; let the client make the header")
        }),
        "" => Err(ApiError::content_type("no content type; send application/json or multipart/form-data")),
        other => {
            let message = format!(
                "`{}` is no content type of this API; send application/json or multipart/form-data",
                shortened(other)
            );
            Err(ApiError::content_type(message))
        }
    }
}

/// Holds when the body is JSON.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), ApiError> {
    match kind(headers)? {
        Kind::Json => Ok(()),
        Kind::Form(_) => Err(ApiError::content_type("this endpoint takes application/json, not a form")),
    }
}

/// The boundary of a body that is a form.
pub(super) fn expect_form(headers: &HeaderMap) -> Result<String, ApiError> {
    match kind(headers)? {
        Kind::Form(boundary) => Ok(boundary),
        Kind::Json => Err(ApiError::content_type("this endpoint takes multipart/form-data, not JSON")),
    }
}

/// A body under way. How fast it comes, and how much memory all of them take, is watched where the server takes it in.
pub(super) struct Upload {
    stream: BodyDataStream,
    limit: usize,
    read: usize,
}

impl Upload {
    /// A body of at most `limit` bytes.
    pub(super) fn new(body: Body, limit: usize) -> Self {
        Self { stream: body.into_data_stream(), limit, read: 0 }
    }

    /// The next piece.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let chunk = self.stream.next().await.transpose();
        let Some(chunk) = chunk.map_err(|_| ApiError::body("the body was cut off"))? else { return Ok(None) };
        self.read += chunk.len();
        if self.read > self.limit {
            let message = format!("the body is too large, at most {} bytes are allowed", self.limit);
            return Err(ApiError::too_large(None, message));
        }
        Ok(Some(chunk))
    }

    /// The parameters of a JSON object.
    pub(super) async fn json(mut self) -> Result<Fields, ApiError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            body.extend_from_slice(&chunk);
        }
        match serde_json::from_slice(&body) {
            Ok(Value::Object(values)) => Ok(Fields::of_json(values)),
            Ok(_) => Err(ApiError::body("the body must be a JSON object")),
            Err(error) => Err(ApiError::body(format!("the body is no JSON: {error}"))),
        }
    }

    /// The parameters of a form.
    pub(super) async fn form(mut self, boundary: String) -> Result<Fields, ApiError> {
        let chunks = futures::stream::try_unfold(&mut self, async |upload| {
            Ok::<_, ApiError>(upload.next().await?.map(|chunk| (chunk, upload)))
        });
        let mut parts = Multipart::new(chunks, boundary);
        let mut fields = Fields::form();
        let mut count = 0;
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            count += 1;
            if count > MAX_PARTS {
                return Err(ApiError::body(format!("more than {MAX_PARTS} parts in the form")));
            }
            add(&mut fields, part).await?;
        }
        Ok(fields)
    }
}

async fn add(fields: &mut Fields, part: Field<'_>) -> Result<(), ApiError> {
    let Some(name) = part.name().map(str::to_owned) else {
        return Err(ApiError::body("a part of the form has no name"));
    };
    if part.file_name().is_some() || FILES.contains(&name.as_str()) {
        let file = content(part, &name, MAX_BYTES).await?;
        fields.add_file(&name, file);
        return Ok(());
    }
    let text = content(part, &name, MAX_TEXT).await?;
    let text =
        String::from_utf8(text.into()).map_err(|_| ApiError::value(&shortened(&name), "no UTF-8 text"))?;
    fields.add_text(name, text)
}

/// All of a part, at most `limit` bytes.
async fn content(mut part: Field<'_>, name: &str, limit: usize) -> Result<Bytes, ApiError> {
    let mut content = BytesMut::new();
    while let Some(chunk) = part.chunk().await.map_err(broken)? {
        if content.len() + chunk.len() > limit {
            let name = shortened(name);
            let message = format!("{name}: too large, at most {limit} bytes are allowed");
            return Err(ApiError::too_large(Some(&name), message));
        }
        content.extend_from_slice(&chunk);
    }
    Ok(content.freeze())
}

/// What is wrong with a form: our own limits come through the parser.
fn broken(error: multer::Error) -> ApiError {
    match error {
        multer::Error::StreamReadFailed(inner) => match inner.downcast::<ApiError>() {
            Ok(error) => *error,
            Err(_) => ApiError::body("the body was cut off"),
        },
        error => ApiError::body(format!("the form can't be read: {error}")),
    }
}
