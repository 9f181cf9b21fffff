//! Which pages may ask for work: this server's own, and those of sites that are named.
//!
//! A browser sends some requests to other sites without asking them first (forms, texts), and says with each which page it
//! comes from. The rules are those of Go's `http.CrossOriginProtection`, and stricter where `Origin` is foreign.

use anyhow::bail;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use tonic::Code;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::hosts::host_of;
use super::paths::shown;
use crate::refusal::Refusal;

/// What a page of another site may read of an answer besides its body.
const EXPOSED: [HeaderName; 8] = [
    HeaderName::from_static("x-request-id"),
    header::RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-should-retry"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    header::CONTENT_ENCODING,
];

/// How long a browser remembers what it may send, in seconds.
const MAX_AGE: std::time::Duration = std::time::Duration::from_secs(600);

/// The sites whose pages may call.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    named: Vec<String>,
    any: bool,
}

impl Origins {
    /// From the values of `--allow-origin`.
    ///
    /// # Errors
    /// A value that is no origin.
    pub(super) fn parse(values: &[String]) -> anyhow::Result<Self> {
        let mut origins = Self::default();
        for value in values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()) {
            match value {
                "*" => origins.any = true,
                value => origins.named.push(origin(value)?),
            }
        }
        Ok(origins)
    }

    /// The same, and the origin of an address that this server is reached at.
    pub(super) fn and(mut self, url: &Uri) -> Self {
        if let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) {
            self.named.push(serialised(scheme, authority));
        }
        self
    }

    /// The layer that lets pages of these sites read answers. None when there is none.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        let values = self.named.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        let origins = match self.any {
            true => AllowOrigin::any(),
            false => AllowOrigin::list(values),
        };
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .allow_private_network(true)
            .expose_headers(EXPOSED)
            .max_age(MAX_AGE);
        (self.any || !self.named.is_empty()).then_some(layer)
    }

    /// Refuses a request that asks for work and comes from a page of another site.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let origin =
            request.headers().get(header::ORIGIN).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
        let is_named =
            origin.as_ref().is_some_and(|origin| self.any || self.named.iter().any(|one| one == origin));
        let is_own = || origin.as_ref().is_none_or(|origin| is_own(origin, request));
        let is_fine = is_named
            || match site {
                // The browser knows best: a proxy may have changed the host.
                Some(b"same-origin") => true,
                None | Some(b"none") => is_own(),
                Some(_) => false,
            };
        match is_fine {
            true => Ok(()),
            false => Err(refusal(origin.as_deref())),
        }
    }
}

fn refusal(origin: Option<&str>) -> Refusal {
    let message = format!(
        "origin: the page at `{}` is not of this server and may not ask it for work; to allow it, start the server with \
         --allow-origin",
        origin.map_or_else(|| "another site".to_owned(), shown)
    );
    Refusal::new(StatusCode::FORBIDDEN, Code::PermissionDenied, "foreign_origin", message)
}

/// Whether a page at `origin` comes from the host that the request names.
fn is_own<B>(origin: &str, request: &Request<B>) -> bool {
    let host = host_of(request).and_then(Result::ok);
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let (Some(host), Ok(scheme)) = (host, scheme.parse::<Scheme>()) else { return false };
    let without_default = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let port = if scheme == Scheme::HTTPS { ":443" } else { ":80" };
        lower.strip_suffix(port).map_or(lower.clone(), str::to_owned)
    };
    without_default(host.as_str()) == without_default(authority)
}

/// Checks a value of `--allow-origin`.
fn origin(value: &str) -> anyhow::Result<String> {
    if value == "null" {
        return Ok(value.to_owned());
    }
    let uri = value.trim_end_matches('/').parse::<Uri>().ok();
    let parts = uri.filter(|uri| uri.path() == "/" && uri.query().is_none());
    match parts.as_ref().and_then(|uri| Some(serialised(uri.scheme()?, uri.authority()?))) {
        Some(origin) => Ok(origin),
        None => bail!(
            "--allow-origin: `{value}` is no origin; give http://HOST:PORT or https://HOST, or * for all"
        ),
    }
}

/// As browsers write it: in lower case and without the scheme's own port.
fn serialised(scheme: &Scheme, authority: &Authority) -> String {
    let authority = authority.as_str().to_ascii_lowercase();
    let own_port = if *scheme == Scheme::HTTPS { ":443" } else { ":80" };
    format!("{scheme}://{}", authority.strip_suffix(own_port).unwrap_or(&authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::post("/v1/images/variations").header(header::HOST, "127.0.0.1:50051");
        let with = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        with.body(()).unwrap()
    }

    fn origins(values: &[&str]) -> Origins {
        Origins::parse(&values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn foreign_pages_are_refused() {
        let strict = origins(&[]);
        for headers in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://127.0.0.1:8080")],
            &[("origin", "https://127.0.0.1:50051.evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:50051")],
            &[("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")],
            &[("sec-fetch-site", "none"), ("origin", "http://evil.example")],
        ] {
            assert!(strict.check(&post(headers)).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn programs_and_the_own_page_are_not() {
        let strict = origins(&[]);
        for headers in [
            &[][..],
            &[("origin", "http://127.0.0.1:50051")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://pictures.example")],
        ] {
            assert!(strict.check(&post(headers)).is_ok(), "{headers:?}");
        }
        let get = Request::get("/").header("sec-fetch-site", "cross-site").body(()).unwrap();
        assert!(strict.check(&get).is_ok(), "a link on another site");
    }

    #[test]
    fn named_sites_may_call() {
        let named = origins(&["https://App.example:443/", "null"])
            .and(&"https://pictures.example/draw".parse().unwrap());
        for origin in ["https://app.example", "null", "https://pictures.example"] {
            let headers = [("sec-fetch-site", "cross-site"), ("origin", origin)];
            assert!(named.check(&post(&headers)).is_ok(), "{origin}");
        }
        let other = [("sec-fetch-site", "cross-site"), ("origin", "https://other.example")];
        assert!(named.check(&post(&other)).is_err());
        assert!(origins(&["*"]).check(&post(&other)).is_ok());
        assert!(origins(&[""]).cors().is_none(), "off by default");
    }

    #[test]
    fn what_is_no_origin_is_refused_at_the_start() {
        for bad in ["app.example", "https://app.example/page", "https://", "a b"] {
            let text = Origins::parse(&[bad.to_owned()]).unwrap_err().to_string();
            assert!(text.starts_with(&format!("--allow-origin: `{bad}` is no origin")), "{text}");
        }
    }
}
