//! How a client reaches a stage: over the network, or by a call in the same process. Both speak the same protocol, so the
//! embedded pipeline is the production code with other wiring.

use std::error::Error as StdError;
use std::time::Duration;

use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic::{ConnectError, Status, TimeoutExpired};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt};

use crate::redact::redacted_url;
use crate::{Code, Error, Services, server_url};

/// A way to a stage.
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, TransportError>;

/// A call that did not get through. A type of its own, since a boxed error is not general enough for tonic's clients.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(#[source] BoxError);

impl TransportError {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time between two pings, and how long one may stay without an answer: then the host is gone without a word, and the
/// next call connects anew.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The way to a server at `address`, see [`server_url`]. It connects at the first call and again after a loss.
///
/// # Errors
/// `flag` with an address that does not parse.
pub fn connect(flag: &str, address: &str) -> Result<Transport, Error> {
    let refuse = |reason: String| {
        Error::new(Code::InvalidArgument, format!("{flag}: `{}`: {reason}", redacted_url(address)))
    };
    let address = server_url(address).map_err(refuse)?;
    let endpoint = Endpoint::from_shared(address.clone()).map_err(|error| refuse(error.to_string()))?;
    let channel = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .connect_lazy();
    let channel = channel.map_err(move |error| TransportError(describe(&address, error)));
    Ok(BoxCloneSyncService::new(channel))
}

/// Says more than tonic's channel does of calls that it ended itself. At a call's deadline it says CANCELLED, while the
/// caller has to hear of the deadline; and of a server that is not there it does not say which.
fn describe(address: &str, error: tonic::transport::Error) -> BoxError {
    let sources = || std::iter::successors(StdError::source(&error), |&source| source.source());
    if sources().any(<dyn StdError>::is::<TimeoutExpired>) {
        Status::deadline_exceeded("no answer before the deadline; allow more time").into()
    } else if sources().any(<dyn StdError>::is::<ConnectError>) {
        Status::unavailable(format!("{address} can't be reached; is the server running?")).into()
    } else {
        error.into()
    }
}

/// The way to services in this process.
pub fn in_process(services: Services) -> Transport {
    let router = services.router();
    let service = router
        .into_service::<Body>()
        .map_response(|response: axum::response::Response| response.map(Body::new))
        .map_err(|never| match never {});
    BoxCloneSyncService::new(service)
}
