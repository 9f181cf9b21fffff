//! Which names a server answers to.
//!
//! A page of another site can let its own name point at 127.0.0.1 (DNS rebinding): to the browser this server is then a part
//! of that site. Its requests still carry the site's name.

use std::net::IpAddr;

use http::uri::Authority;
use http::{Request, StatusCode, header};
use tonic::Code;

use super::paths::shown;
use crate::refusal::Refusal;

/// The names that are taken. None: any.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Option<Vec<String>>);

impl Hosts {
    /// Loopback names, and `named`.
    pub(super) fn only(named: impl IntoIterator<Item = String>) -> Self {
        Self(Some(named.into_iter().map(|name| canonical(&name)).collect()))
    }

    /// Refuses a request for another host. One that names none comes from no browser.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let Some(named) = &self.0 else { return Ok(()) };
        let Some(host) = host_of(request) else { return Ok(()) };
        let host = host.map_err(|given| refusal(&given))?;
        let name = canonical(host.host());
        match is_loopback(&name) || named.iter().any(|one| *one == name || one == "*") {
            true => Ok(()),
            false => Err(refusal(&name)),
        }
    }
}

/// The host that a request names: HTTP/2 has it in the address, HTTP/1.1 in a header.
///
/// # Errors
/// What is no host.
pub(super) fn host_of<B>(request: &Request<B>) -> Option<Result<Authority, String>> {
    let header = || {
        let value = request.headers().get(header::HOST)?;
        let text = String::from_utf8_lossy(value.as_bytes());
        Some(text.parse().map_err(|_| text.into_owned()))
    };
    request.uri().authority().cloned().map(Ok).or_else(header)
}

fn refusal(host: &str) -> Refusal {
    let message = format!(
        "host: this server listens for programs on its own machine and does not answer to `{}`; if that is its name, start it \
         with --allow-host or --public-url",
        shown(host)
    );
    Refusal::new(StatusCode::FORBIDDEN, Code::PermissionDenied, "foreign_host", message)
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn is_loopback(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str) -> Request<()> {
        Request::get("/").header(header::HOST, host).body(()).unwrap()
    }

    #[test]
    fn only_loopback_and_what_is_named_is_answered() {
        let hosts = Hosts::only(["Pictures.example".to_owned()]);
        for host in [
            "localhost:50051",
            "LOCALHOST",
            "draw.localhost",
            "127.0.0.1:1",
            "127.1.2.3",
            "[::1]:50051",
            "[::ffff:127.0.0.1]",
            "pictures.example:443",
            "pictures.example.",
        ] {
            assert!(hosts.check(&ask(host)).is_ok(), "{host}");
            assert!(Hosts::default().check(&ask(host)).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:50051",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0:50051",
            "192.168.0.2",
            "[::]",
            "sub.pictures.example",
            "",
            "a b",
        ] {
            assert!(hosts.check(&ask(host)).is_err(), "{host}");
            assert!(Hosts::default().check(&ask(host)).is_ok(), "{host}");
        }
        assert!(hosts.check(&Request::get("/").body(()).unwrap()).is_ok());
        let http2 = Request::get("http://evil.example/").body(()).unwrap();
        assert!(hosts.check(&http2).is_err());
        assert!(Hosts::only(["*".to_owned()]).check(&http2).is_ok());
    }
}
