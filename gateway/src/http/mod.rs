//! HTTP beside gRPC, on the same port. Every interface here is a client of the gateway's own gRPC service, called in the same
//! process: what is checked, limited and cached there holds here too.

use axum::Router;
use unclip_service::Transport;

/// The routes of all HTTP interfaces.
pub(crate) fn routes(_gateway: &Transport) -> Router {
    Router::new()
}
