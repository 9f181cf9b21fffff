//! HTTP beside gRPC, on the same port. Every interface here is a client of the gateway's own gRPC service, called in the same
//! process: what is checked, limited and cached there holds here too.

mod json;
mod observe;
mod openai;
mod page;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::any_service;
use unclip_service::{Error, Transport};

use crate::HttpArgs;

/// The routes of all HTTP interfaces.
///
/// # Errors
/// A flag whose value can't be used.
pub(crate) fn routes(gateway: &Transport, args: &HttpArgs) -> Result<Router, Error> {
    let api = openai::routes(gateway, args)?;
    // A nested router does not see its own address with a slash at the end.
    let api = Router::new().route("/v1/", any_service(api.clone())).nest("/v1", api);
    let all = api.merge(json::routes(gateway)).merge(page::routes());
    Ok(all.layer(from_fn(observe::observe)))
}
