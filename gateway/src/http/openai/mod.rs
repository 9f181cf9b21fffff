//! OpenAI's Images API (openai-openapi 2.3.0 and the Python package openai 3.57.0): generations, edits, variations and models.
//! `docs/api.md` says what happens to each of its parameters.

mod answer;
mod api;
mod body;
mod budget;
mod edits;
mod embedded;
mod error;
mod events;
mod extras;
mod fields;
mod files;
mod generations;
mod models;
mod names;
mod news;
mod parameters;
#[cfg(test)]
mod tests;
mod variations;

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::Method;
use axum::routing::{get, post};
use unclip_service::{Error, Transport};

use crate::HttpArgs;
use api::Api;
use error::ApiError;

/// The routes below `/v1`.
///
/// # Errors
/// A flag whose value can't be used.
pub(super) fn routes(gateway: &Transport, args: &HttpArgs) -> Result<Router, Error> {
    Ok(Router::new()
        .route("/images/generations", post(generations::generate))
        .route("/images/edits", post(edits::edit))
        .route("/images/variations", post(variations::vary))
        .route("/images/files/{name}", get(files::fetch))
        .route("/models", get(models::list))
        .route("/models/{*name}", get(models::retrieve))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Api::new(gateway.clone(), args)?))
}

async fn unknown_route(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    let path = names::shortened(uri.path());
    ApiError::not_found(format!("there is no {method} {path}; docs/api.md lists what there is"))
}

async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::wrong_method(format!("{} does not take {method}", names::shortened(uri.path())))
}
