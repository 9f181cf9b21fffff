//! A server of gRPC, and of HTTP beside it: health, reflection, request context, metrics, and an end that comes.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use http::Uri;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::bodies::Bodies;
use crate::connections::Acceptor;
use crate::contracts::DESCRIPTOR_SETS;
use crate::door::{self, Door, DoorArgs, Rooms};
use crate::limits::Limits;
use crate::port::Port;
use crate::{CutOff, descriptors, observe};

/// The largest message any server or client takes: a tensor of 64 MiB with room for the rest.
pub const MAX_MESSAGE_BYTES: usize = 72 << 20;

/// What every server has besides its own services.
const SHARED_SERVICES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// gRPC services that will share a port.
#[derive(Default)]
pub struct Services {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    http: Router,
    paths: Vec<String>,
    urls: Vec<Uri>,
    cut_off: CutOff,
}

impl Services {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, which will be cut off together with these.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self { cut_off: self.cut_off.clone(), ..Self::default() }
    }

    /// Adds a generated server.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: tower::Service<http::Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// Adds plain HTTP routes beside the gRPC services, outside their middleware. A call in the same process can't reach them.
    /// `paths` are those that a client may have meant whose path is wrong.
    #[must_use]
    pub fn with_http(mut self, routes: Router, paths: Vec<String>) -> Self {
        self.http = self.http.merge(routes);
        self.paths.extend(paths);
        self
    }

    /// Adds an address that clients reach this server at: its host and its pages are the server's own.
    #[must_use]
    pub fn reached_at(mut self, url: Uri) -> Self {
        self.urls.push(url);
        self
    }

    /// The gRPC services as a router, with request context and metrics. Clients in the same process call it directly.
    pub fn router(self) -> Router {
        observe(self.routes.routes().into_axum_router(), self.cut_off)
    }

    /// What is behind the door of a server: these services, and reflection.
    fn rooms(mut self) -> anyhow::Result<Rooms> {
        add_reflection(&mut self.routes, &self.names)?;
        let services: Vec<_> = self.names.iter().copied().chain(SHARED_SERVICES).collect();
        let (names, paths) = (self.names.clone(), self.paths.clone());
        let http = std::mem::take(&mut self.http)
            .fallback(async move |request: Request| door::not_found(&request, &names, &paths));
        let urls = std::mem::take(&mut self.urls);
        let has_http = !self.paths.is_empty();
        Ok(Rooms { services, has_http, http, urls, grpc: self.router() })
    }
}

/// A server whose port is bound and whose door is shut: it says that it is starting.
pub(crate) struct Server {
    address: SocketAddr,
    door: Door,
    acceptor: Acceptor,
    health: HealthReporter,
    cut_offs: Vec<CutOff>,
    names: Vec<&'static str>,
}

impl Server {
    /// Serves at a port, in tasks of its own.
    ///
    /// # Errors
    /// A flag whose value can't be used.
    pub(crate) async fn start(port: Port, limits: Limits, args: &DoorArgs) -> anyhow::Result<Self> {
        let connections = descriptors::provide(limits.connections);
        let limits = Arc::new(Limits { connections, ..limits });
        let (health, service) = tonic_health::server::health_reporter();
        for (name, status) in [
            ("", ServingStatus::NotServing),
            ("readiness", ServingStatus::NotServing),
            ("liveness", ServingStatus::Serving),
        ] {
            health.set_service_status(name, status).await;
        }
        let draining = CancellationToken::new();
        let bodies = Bodies::new(Arc::clone(&limits), draining.clone());
        let cut_off = CutOff::default();
        let health_routes = observe(Routes::new(service).into_axum_router(), cut_off.clone());
        let door = Door::new(args, port.is_loopback(), health_routes, bodies)?;
        let address = port.address;
        let acceptor = Acceptor::start(port.listener, door.app(), limits, draining);
        tracing::info!(%address, "starting");
        Ok(Self { address, door, acceptor, health, cut_offs: vec![cut_off], names: Vec::new() })
    }

    /// Opens the door to `services`.
    ///
    /// # Errors
    /// The reflection service can't be built.
    pub(crate) async fn open(&mut self, services: Services) -> anyhow::Result<()> {
        self.names.clone_from(&services.names);
        self.cut_offs.push(services.cut_off.clone());
        let rooms = services.rooms()?;
        let has_http = rooms.has_http;
        self.door.open(rooms)?;
        self.report(ServingStatus::Serving).await;
        tracing::info!(address = %self.address, "serving");
        if has_http {
            tracing::info!("open {} in a browser", page_url(self.address));
        }
        Ok(())
    }

    /// Takes readiness back, gives running requests `patience` to finish, and cuts off what is left with UNAVAILABLE.
    pub(crate) async fn drain(self, patience: Duration) {
        self.report(ServingStatus::NotServing).await;
        tracing::info!(seconds = patience.as_secs_f64(), "draining");
        let farewell = || self.cut_offs.iter().for_each(CutOff::cut);
        if !self.acceptor.drain(patience, farewell).await {
            tracing::warn!("cut off requests that did not finish in time");
        }
    }

    async fn report(&self, status: ServingStatus) {
        for name in self.names.iter().copied().chain(["", "readiness"]) {
            self.health.set_service_status(name, status).await;
        }
    }
}

/// Where a browser on this machine finds the server. One that listens everywhere listens at the loopback address too.
fn page_url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}/")
}

/// The contracts of all servers are known to each, but it lists only what it serves.
fn add_reflection(routes: &mut RoutesBuilder, names: &[&'static str]) -> anyhow::Result<()> {
    let builder = || {
        let builder = tonic_reflection::server::Builder::configure();
        let builder = DESCRIPTOR_SETS
            .iter()
            .fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set));
        names.iter().chain(&SHARED_SERVICES).fold(builder, |builder, name| builder.with_service_name(*name))
    };
    routes.add_service(builder().build_v1().context("reflection v1")?);
    // Several clients still ask for the older version only.
    routes.add_service(builder().build_v1alpha().context("reflection v1alpha")?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus as Status;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_types::StatusExt as _;
    use unclip_proto::v1::DecoderServiceGetModelInfoRequest;
    use unclip_proto::v1::decoder_service_client::DecoderServiceClient;

    use super::*;

    async fn start() -> Server {
        let port = Port::bind("--listen", (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let door = DoorArgs { allow_host: Vec::new(), allow_origin: Vec::new() };
        Server::start(port, Limits::for_metrics(), &door).await.unwrap()
    }

    async fn get(server: &Server, path: &str) -> String {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_server_says_that_it_starts_until_it_is_ready() {
        let mut server = start().await;
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let channel = channel.connect_lazy();
        let mut health = HealthClient::new(channel.clone());
        let asked = |name: &str| HealthCheckRequest { service: name.to_owned() };
        for (name, status) in
            [("", Status::NotServing), ("readiness", Status::NotServing), ("liveness", Status::Serving)]
        {
            let answer = health.check(asked(name)).await.unwrap().into_inner();
            assert_eq!(answer.status(), status, "{name}");
        }
        let mut watch = health.watch(asked("readiness")).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), Status::NotServing);

        let answer = get(&server, "/v1/models").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
        assert!(answer.contains("\"code\":\"starting\""), "{answer}");
        let answer = get(&server, "/").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("refresh: 1"), "{answer}");
        let mut decoder = DecoderServiceClient::new(channel);
        let status = decoder.get_model_info(DecoderServiceGetModelInfoRequest {}).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(status.get_details_retry_info().is_some());

        server.open(Services::new()).await.unwrap();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), Status::Serving);
        assert!(get(&server, "/").await.starts_with("HTTP/1.1 404"));
        server.drain(Duration::from_secs(60)).await;
        assert_eq!(watch.message().await.unwrap().unwrap().status(), Status::NotServing);
    }

    #[test]
    fn the_page_can_be_clicked() {
        for (address, url) in [
            ("127.0.0.1:50051", "http://127.0.0.1:50051/"),
            ("0.0.0.0:80", "http://127.0.0.1:80/"),
            ("[::]:80", "http://[::1]:80/"),
        ] {
            assert_eq!(page_url(address.parse().unwrap()), url);
        }
    }
}
