//! Pictures that are fetched by their address: held in memory for a while.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use unclip_proto::v1::ImageFormat;

use super::api::Api;
use super::error::ApiError;

/// How long OpenAI's addresses live.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A picture's file.
#[derive(Clone, Debug)]
struct File {
    bytes: Bytes,
    mime: &'static str,
}

/// The pictures, by name. When memory is short the oldest go first.
#[derive(Clone)]
pub(super) struct Files(Cache<String, File>);

impl Files {
    /// Room for so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let weigh = |_: &String, file: &File| u32::try_from(file.bytes.len()).unwrap_or(u32::MAX);
        Self(
            Cache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .time_to_live(LIFETIME)
                // The default policy may refuse a new entry in favour of old ones.
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        )
    }

    /// Keeps a picture and gives its name, which nobody can guess: 122 random bits.
    pub(super) async fn keep(&self, bytes: Bytes, format: ImageFormat) -> Result<String, ApiError> {
        let name = format!("{}.{}", uuid::Uuid::new_v4().simple(), extension(format));
        self.0.insert(name.clone(), File { bytes, mime: mime(format) }).await;
        self.0.run_pending_tasks().await;
        match self.0.contains_key(&name) {
            true => Ok(name),
            false => Err(ApiError::internal(
                "the picture is larger than --pictures-mib allows; use response_format b64_json",
                &name,
            )),
        }
    }

    async fn get(&self, name: &str) -> Option<File> {
        self.0.get(name).await
    }
}

/// `GET /v1/images/files/{name}`.
pub(super) async fn fetch(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("there is no such picture; addresses live for 60 minutes at most");
    let Path(name) = name.map_err(|_| missing())?;
    let file = api.settings().files.get(&name).await.ok_or_else(missing)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(file.mime)),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600, immutable")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, file.bytes).into_response())
}

/// A format's name in the API, and the ending of its files.
pub(super) fn extension(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "jpeg",
        ImageFormat::Webp => "webp",
        ImageFormat::Png | ImageFormat::Unspecified => "png",
    }
}

fn mime(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "image/jpeg",
        ImageFormat::Webp => "image/webp",
        ImageFormat::Png | ImageFormat::Unspecified => "image/png",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_go_first() {
        let files = Files::new(100);
        let file = |byte| Bytes::from(vec![byte; 40]);
        let mut names = Vec::new();
        for byte in 0..3 {
            names.push(files.keep(file(byte), ImageFormat::Png).await.unwrap());
        }
        assert!(files.get(&names[0]).await.is_none());
        assert_eq!(files.get(&names[2]).await.unwrap().bytes, file(2));
        assert!(names[1].ends_with(".png") && names[1].len() == 36);
    }

    #[tokio::test]
    async fn a_picture_that_has_no_room_is_an_error() {
        let error = Files::new(10).keep(Bytes::from(vec![0; 11]), ImageFormat::Jpeg).await.unwrap_err();
        assert!(error.message.contains("--pictures-mib"), "{error:?}");
    }
}
