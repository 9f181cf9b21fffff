//! A second try for what a stage did not begin. Every call to a stage is a function of its request, so that another replica,
//! or the same one after a restart, gives the same answer.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::{Code, Status, TimeoutExpired};
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use crate::{Transport, TransportError, metric_names};

/// What the operating system or a balancer needs to notice that a server is gone.
const PAUSE: Duration = Duration::from_millis(100);

/// The same way to `stage`, which asks once more where the stage could not be reached, refused because it is shutting down, or
/// was gone before the first message of its answer. Of an answer that has begun the caller has heard already; and a stage that
/// let a time-out pass would only do so again.
pub fn retry_once(stage: &'static str, transport: Transport) -> Transport {
    metrics::counter!(metric_names::STAGE_RETRIES, "stage" => stage).increment(0);
    BoxCloneSyncService::new(tower::service_fn(move |request| ask(stage, transport.clone(), request)))
}

async fn ask(
    stage: &'static str,
    transport: Transport,
    request: Request<Body>,
) -> Result<Response<Body>, TransportError> {
    let request = Repeatable::read(request).await.map_err(TransportError::new)?;
    let problem = match begin(transport.clone().oneshot(request.again()).await).await {
        Begun::Yes(response) => return Ok(response),
        Begun::Failed(error) if timed_out(&error) => return Err(error),
        Begun::Failed(error) => error.to_string(),
        Begun::No(problem) => problem,
    };
    tracing::info!(stage, problem, "asking once more");
    metrics::counter!(metric_names::STAGE_RETRIES, "stage" => stage).increment(1);
    tokio::time::sleep(PAUSE).await;
    transport.oneshot(request.again()).await
}

/// A request whose body is read. A call to a stage is one message.
struct Repeatable {
    parts: http::request::Parts,
    body: Bytes,
}

impl Repeatable {
    async fn read(request: Request<Body>) -> Result<Self, Status> {
        let (parts, body) = request.into_parts();
        Ok(Self { parts, body: body.collect().await?.to_bytes() })
    }

    fn again(&self) -> Request<Body> {
        Request::from_parts(self.parts.clone(), Body::new(Full::new(self.body.clone())))
    }
}

/// Whether a stage's answer has begun.
enum Begun {
    /// Here it is.
    Yes(Response<Body>),
    /// It said, or a proxy in front of it, that it is not there for this call.
    No(String),
    /// It could not be asked, or fell silent.
    Failed(TransportError),
}

/// Waits for the first message, or the end.
async fn begin(answer: Result<Response<Body>, TransportError>) -> Begun {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return Begun::Failed(error),
    };
    if let Some(problem) = absence(response.status(), response.headers()) {
        return Begun::No(problem);
    }
    if response.headers().contains_key(Status::GRPC_STATUS) {
        return Begun::Yes(response);
    }
    let (parts, mut body) = response.into_parts();
    match body.frame().await {
        Some(Ok(frame)) => match frame.trailers_ref().and_then(|trailers| absence(parts.status, trailers)) {
            Some(problem) => Begun::No(problem),
            None => Begun::Yes(Response::from_parts(parts, with_first(frame, body))),
        },
        Some(Err(status)) => Begun::Failed(TransportError::new(status)),
        None => Begun::No("the answer ended before it began".to_owned()),
    }
}

/// Why a status means that the stage is not there. Of CANCELLED the caller knows nothing: it still waits.
fn absence(http: StatusCode, headers: &HeaderMap) -> Option<String> {
    let gone = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
    match Status::from_header_map(headers) {
        Some(status) => {
            matches!(status.code(), Code::Unavailable | Code::Cancelled).then(|| status.message().to_owned())
        }
        None => gone.contains(&http).then(|| format!("HTTP status {http}")),
    }
}

/// The body with the frame that was taken off it.
fn with_first(first: Frame<Bytes>, rest: Body) -> Body {
    let first = futures::stream::iter([Ok(first)]);
    let rest = http_body_util::BodyStream::new(rest);
    Body::new(StreamBody::new(futures::StreamExt::chain(first, rest)))
}

/// Whether a time-out passed: the stage, or the way to it, hangs.
fn timed_out(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| {
        error.is::<TimeoutExpired>()
            || error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
            || error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::TimedOut)
            || error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::DeadlineExceeded)
    })
}
