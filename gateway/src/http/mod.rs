//! HTTP beside gRPC, on the same port. Every interface here is a client of the gateway's own gRPC service, called in the same
//! process: what is checked, limited and cached there holds here too.

mod json;
mod metric_names;
mod near;
mod observe;
mod openai;
mod page;
mod public;

use axum::Router;
use axum::middleware::from_fn;
use unclip_service::Transport;

pub(crate) use self::public::Public;
use crate::HttpArgs;

/// The paths that a client may have meant whose path is wrong.
pub(crate) fn paths() -> Vec<String> {
    openai::PATHS.into_iter().map(str::to_owned).chain(json::paths()).collect()
}

/// The routes of all HTTP interfaces.
pub(crate) fn routes(gateway: &Transport, public: &Public, args: &HttpArgs) -> Router {
    metric_names::describe();
    let api = openai::routes(gateway, public, args);
    let all = Router::new().nest("/v1", api).merge(json::routes(gateway)).merge(page::routes(public));
    all.layer(from_fn(observe::observe))
}
