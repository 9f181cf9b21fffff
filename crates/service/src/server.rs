//! A server of gRPC, and of HTTP beside it: health, reflection, request context, metrics, and an end that comes.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::observe;

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
}

impl Services {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
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
    #[must_use]
    pub fn with_http(mut self, routes: Router) -> Self {
        self.http = self.http.merge(routes);
        self
    }

    /// The gRPC services as a router, with request context and metrics. Clients in the same process call it directly.
    pub fn router(self) -> Router {
        observe(self.routes.routes().into_axum_router())
    }

    /// Serves until `shutdown` resolves; then readiness goes off, running requests get `drain` to finish, and what is
    /// left is cut off.
    ///
    /// # Errors
    /// The health or reflection service can't be built, or the listener fails.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
        drain: Duration,
    ) -> anyhow::Result<()> {
        let (reporter, health) = tonic_health::server::health_reporter();
        for name in self.names.iter().copied().chain(["readiness", "liveness"]) {
            reporter.set_service_status(name, ServingStatus::Serving).await;
        }
        self.routes.add_service(health);
        add_reflection(&mut self.routes, &self.names)?;
        let names = std::mem::take(&mut self.names);
        let http = std::mem::take(&mut self.http);
        let address = listener.local_addr()?;
        let has_http = http.has_routes();
        let router = self.router().merge(http);
        tracing::info!(%address, "serving");
        if has_http {
            tracing::info!("open {} in a browser", page_url(address));
        }
        run(router, listener, end(shutdown, reporter, names), drain).await
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
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(unclip_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        names.iter().chain(&SHARED_SERVICES).fold(builder, |builder, name| builder.with_service_name(*name))
    };
    routes.add_service(builder().build_v1().context("reflection v1")?);
    // Several clients still ask for the older version only.
    routes.add_service(builder().build_v1alpha().context("reflection v1alpha")?);
    Ok(())
}

/// Waits for the shutdown and takes readiness back, so that no new work is sent here.
async fn end(shutdown: impl Future<Output = ()>, reporter: HealthReporter, names: Vec<&'static str>) {
    shutdown.await;
    for name in names.into_iter().chain(["", "readiness"]) {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
}

/// An open stream would keep a graceful shutdown waiting for ever: `drain` bounds it.
async fn run(
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
    drain: Duration,
) -> anyhow::Result<()> {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        tracing::info!(seconds = drain.as_secs_f64(), "draining");
        let _ = stopping.send(());
    };
    let cap = async move {
        if stopped.await.is_err() {
            // The server ended by itself.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        result = axum::serve(listener, router).with_graceful_shutdown(shutdown) => result.context("serving"),
        () = cap => {
            tracing::warn!("cutting off requests that did not finish in time");
            Ok(())
        }
    }
}

/// Resolves at Ctrl-C or SIGTERM.
pub async fn shutdown_signal() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => {
            if result.is_err() {
                std::future::pending::<()>().await;
            }
        }
        () = terminate => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
