//! HTTP beside gRPC, on the same port. Every interface here is a client of the gateway's own gRPC service, called in the same
//! process: what is checked, limited and cached there holds here too.

mod json;
mod page;

use axum::Router;
use unclip_service::Transport;

/// The routes of all HTTP interfaces.
pub(crate) fn routes(gateway: &Transport) -> Router {
    json::routes(gateway).merge(page::routes())
}
