//! The door of a server: every request passes it before anything else sees it.
//!
//! It brings paths into one shape, keeps out what comes for another host or from foreign pages, lets only calls of RPCs
//! reach gRPC services, says that the server is starting while it is, and bounds bodies.

mod hosts;
mod origins;
mod paths;
mod wire;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use clap::Args;
use http::{Method, StatusCode, Uri};
use tonic::Code;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt as _};

pub use paths::guess as guess_path;
pub(crate) use wire::Wire;

use crate::bodies::Bodies;
use crate::connections::{Activity, App};
use crate::context::REQUEST_ID_HEADER;
use crate::refusal::{Dialect, Refusal};
use crate::{RequestContext, metric_names};
use hosts::Hosts;
use origins::Origins;

/// The health service answers while the server starts, too.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// When to come again while the server starts.
const STARTING: Duration = Duration::from_secs(1);

/// Flags for browsers.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Browsers")]
pub struct DoorArgs {
    /// Further names that this server is called by, separated by commas; * for any. A server that listens on the loopback
    /// address answers to localhost and these; one that others can reach answers to any name unless this is given
    #[arg(long, env = "UNCLIP_ALLOW_HOST", value_delimiter = ',', value_name = "NAME")]
    pub allow_host: Vec<String>,
    /// Sites whose pages may call this server (CORS), as https://app.example, separated by commas; * for all. Absent: none
    #[arg(long, env = "UNCLIP_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
}

/// What is behind the door.
pub(crate) struct Rooms {
    /// gRPC services.
    pub(crate) grpc: Router,
    /// Their names.
    pub(crate) services: Vec<&'static str>,
    /// Plain HTTP, with [`not_found`] behind it.
    pub(crate) http: Router,
    /// Whether there is any.
    pub(crate) has_http: bool,
    /// Addresses that the server is reached at.
    pub(crate) urls: Vec<Uri>,
}

/// The door.
#[derive(Clone)]
pub(crate) struct Door(Arc<Inner>);

struct Inner {
    health: Router,
    bodies: Bodies,
    named_hosts: Vec<String>,
    is_loopback: bool,
    origins: Origins,
    open: OnceLock<Open>,
}

/// What is known once the server is ready.
struct Open {
    rooms: Rooms,
    hosts: Hosts,
    origins: Origins,
}

impl Door {
    /// A door with nothing but the health service behind it.
    ///
    /// # Errors
    /// A flag whose value can't be used.
    pub(crate) fn new(
        args: &DoorArgs,
        is_loopback: bool,
        health: Router,
        bodies: Bodies,
    ) -> anyhow::Result<Self> {
        let named = args.allow_host.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Ok(Self(Arc::new(Inner {
            health,
            bodies,
            named_hosts: named.collect(),
            is_loopback,
            origins: Origins::parse(&args.allow_origin)?,
            open: OnceLock::new(),
        })))
    }

    /// Opens it.
    ///
    /// # Errors
    /// It is open.
    pub(crate) fn open(&self, rooms: Rooms) -> anyhow::Result<()> {
        let own = rooms.urls.iter().filter_map(|url| Some(url.host()?.to_owned()));
        let Inner { named_hosts, is_loopback, origins, open, .. } = &*self.0;
        let hosts = match *is_loopback || !named_hosts.is_empty() {
            true => Hosts::only(named_hosts.iter().cloned().chain(own)),
            false => Hosts::default(),
        };
        let origins = rooms.urls.iter().fold(origins.clone(), Origins::and);
        open.set(Open { rooms, hosts, origins }).ok().context("the server is open already")
    }

    /// As what connections are served with.
    pub(crate) fn app(&self) -> App {
        let door = self.clone();
        let answer = tower::service_fn(move |request: Request| {
            let door = door.clone();
            async move { Ok(door.answer(request).await) }
        });
        let cors = self.0.origins.cors();
        BoxCloneSyncService::new(ServiceBuilder::new().option_layer(cors).service(answer))
    }

    async fn answer(self, mut request: Request) -> Response {
        let activity = request.extensions_mut().remove::<Arc<Activity>>().unwrap_or_else(Activity::new);
        paths::normalise(request.uri_mut());
        if let Some(open) = self.0.open.get() {
            open.rooms.urls.iter().for_each(|url| paths::enter(request.uri_mut(), url));
        }
        // Health checks and reflection have no end of their own.
        let open = activity.request(!request.uri().path().starts_with("/grpc."));
        let dialect = Dialect::of(&request);
        let id = RequestContext::from_headers(request.headers());
        let way = self.0.way(&request);
        let refused = |refusal: &Refusal| refuse(refusal, dialect, &id);
        let answer = async |request| match way {
            Ok(room) => room.oneshot(request).await.unwrap_or_else(|never| match never {}),
            Err(refusal) => refused(&refusal),
        };
        let result = self.0.bodies.within_limits(request, open, answer).await;
        result.unwrap_or_else(|refusal| refused(&refusal))
    }
}

impl Inner {
    /// Where a request belongs.
    fn way(&self, request: &Request) -> Result<Router, Refusal> {
        let path = request.uri().path();
        let is_call = request.method() == Method::POST && Wire::of(request.headers()).is_some();
        if is_call && path.starts_with(HEALTH) {
            return Ok(self.health.clone());
        }
        let open = self.open.get().ok_or_else(starting)?;
        open.hosts.check(request)?;
        open.origins.check(request)?;
        match (is_call, open.rooms.has_service(path)) {
            (true, true) => Ok(open.rooms.grpc.clone()),
            (true, false) => Err(open.rooms.no_service(path)),
            (false, true) => Err(no_call(path)),
            (false, false) => Ok(open.rooms.http.clone()),
        }
    }
}

impl Rooms {
    fn has_service(&self, path: &str) -> bool {
        let service = path.trim_start_matches('/').split('/').next().unwrap_or("");
        self.services.contains(&service)
    }

    fn no_service(&self, path: &str) -> Refusal {
        let message =
            format!("there is no {} here; this server has {}", paths::shown(path), self.services.join(", "));
        Refusal::new(StatusCode::NOT_FOUND, Code::Unimplemented, "not_found", message)
    }
}

fn starting() -> Refusal {
    let message = "starting: the model is being loaded; try again";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "starting", message).after(STARTING)
}

/// A request to an RPC that is no call.
fn no_call(path: &str) -> Refusal {
    let json = match path.strip_prefix("/unclip.v1.UnclipService/") {
        Some(_) => format!("; for JSON, POST to /api{}", paths::shown(path)),
        None => String::new(),
    };
    let message = format!(
        "{} is an RPC: it is called by POST with the content type application/grpc, or application/grpc-web{json}",
        paths::shown(path)
    );
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Refusal::new(status, Code::InvalidArgument, "unsupported_content_type", message)
}

/// For paths that nothing is at: what there is instead. `known` are the paths of plain HTTP.
pub(crate) fn not_found(request: &Request, services: &[&'static str], known: &[String]) -> Response {
    let path = request.uri().path();
    let instead = match path.trim_start_matches('/') {
        "metrics" => "metrics are at the address of --metrics-listen".to_owned(),
        "health" | "healthz" | "ready" | "readyz" | "live" | "livez" | "startupz" | "ping" => {
            "health is the gRPC service grpc.health.v1.Health, for \"\", liveness and readiness".to_owned()
        }
        _ if known.is_empty() => {
            format!("this server speaks gRPC only ({}); HTTP is at the gateway", services.join(", "))
        }
        _ => match paths::guess(path, known) {
            Some(meant) => format!("did you mean {meant}?"),
            None => {
                "the page is at /, OpenAI's API at /v1, JSON calls are at /api, RPCs are for gRPC".to_owned()
            }
        },
    };
    let message = format!("there is nothing at {} {}; {instead}", request.method(), paths::shown(path));
    let refusal = Refusal::new(StatusCode::NOT_FOUND, Code::Unimplemented, "not_found", message);
    refuse(&refusal, Dialect::of(request), &RequestContext::from_headers(request.headers()))
}

/// Answers, logs and counts a refusal.
fn refuse(refusal: &Refusal, dialect: Dialect, id: &RequestContext) -> Response {
    let (reason, status) = (refusal.name(), refusal.http());
    tracing::info!(request_id = id.request_id, reason, status, "refused");
    metrics::counter!(metric_names::REFUSED, "reason" => reason).increment(1);
    let mut response = refusal.answer(dialect);
    response
        .headers_mut()
        .extend(id.id_header().map(|id| (http::HeaderName::from_static(REQUEST_ID_HEADER), id)));
    response
}
