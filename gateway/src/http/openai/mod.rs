//! OpenAI's Images API (openai-openapi 2.3.0 and the Python package openai 3.57.0): generations, edits, variations and models.
//! `docs/api.md` says what happens to each of its parameters.

mod answer;
mod api;
mod body;
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
use unclip_service::{Transport, guess_path};

use crate::HttpArgs;
use crate::http::Public;
use api::Api;
use error::ApiError;

/// The paths that have one spelling.
pub(super) const PATHS: [&str; 4] =
    ["/v1/images/generations", "/v1/images/edits", "/v1/images/variations", "/v1/models"];

/// The routes below `/v1`.
pub(super) fn routes(gateway: &Transport, public: &Public, args: &HttpArgs) -> Router {
    Router::new()
        .route("/images/generations", post(generations::generate))
        .route("/images/edits", post(edits::edit))
        .route("/images/variations", post(variations::vary))
        .route("/images/files/{name}", get(files::fetch))
        .route("/models", get(models::list))
        .route("/models/{*name}", get(models::retrieve))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Api::new(gateway.clone(), public, args))
}

async fn unknown_route(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    let path = names::shortened(uri.path());
    let meant = guess_path(uri.path(), &PATHS).map(|meant| format!("did you mean {meant}? "));
    let meant = meant.unwrap_or_default();
    ApiError::not_found(format!("there is no {method} {path}; {meant}docs/api.md lists what there is"))
}

async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::wrong_method(format!("{} does not take {method}", names::shortened(uri.path())))
}
