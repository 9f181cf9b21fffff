//! HTTP beside gRPC, on the same port. Every interface here is a client of the gateway's own gRPC service, called in the same
//! process: what is checked, limited and cached there holds here too.

mod json;
mod near;
mod observe;
mod openai;
mod page;

use axum::Router;
use axum::middleware::from_fn;
use unclip_service::{Error, Transport};

use crate::HttpArgs;

/// The paths that a client may have meant whose path is wrong.
pub(crate) fn paths() -> Vec<String> {
    openai::PATHS.into_iter().map(str::to_owned).chain(json::paths()).collect()
}

/// The routes of all HTTP interfaces.
///
/// # Errors
/// A flag whose value can't be used.
pub(crate) fn routes(gateway: &Transport, args: &HttpArgs) -> Result<Router, Error> {
    let api = openai::routes(gateway, args)?;
    let all = Router::new().nest("/v1", api).merge(json::routes(gateway)).merge(page::routes());
    Ok(all.layer(from_fn(observe::observe)))
}
