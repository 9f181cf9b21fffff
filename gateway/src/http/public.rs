//! Where clients reach this server: as the operator says, as a trusted proxy says, or as the request itself says.

use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, Uri, header};
use unclip_service::{Code, Error};

use crate::HttpArgs;

/// The longest prefix that a proxy may name, in bytes.
const MAX_PREFIX: usize = 256;

/// What the operator said of the server's address.
#[derive(Clone, Debug)]
pub(crate) struct Public {
    url: Option<Arc<PublicUrl>>,
    trust_proxy: bool,
}

/// `--public-url`, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct PublicUrl {
    /// Scheme and host, as `https://pictures.example`.
    origin: String,
    /// Empty, or a path as `/draw`.
    prefix: String,
}

impl PublicUrl {
    /// Without a slash at its end.
    fn whole(&self) -> String {
        format!("{}{}", self.origin, self.prefix)
    }
}

impl Public {
    /// As the flags say.
    ///
    /// # Errors
    /// A `--public-url` that is no address.
    pub(crate) fn new(args: &HttpArgs) -> Result<Self, Error> {
        let url = args.public_url.as_deref().map(parse).transpose()?.map(Arc::new);
        Ok(Self { url, trust_proxy: args.trust_proxy })
    }

    /// The address, if the operator gave one.
    pub(crate) fn url(&self) -> Option<Uri> {
        self.url.as_ref()?.whole().parse().ok()
    }

    /// The prefix that the client's request had, as `/draw`. Empty without one.
    pub(crate) fn prefix_of(&self, headers: &HeaderMap) -> String {
        match &self.url {
            Some(url) => url.prefix.clone(),
            None => self.forwarded(headers, "x-forwarded-prefix").and_then(clean_prefix).unwrap_or_default(),
        }
    }

    /// The address that the client's request went to, without a slash at its end. None without a `Host`.
    pub(crate) fn base_url(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        if let Some(url) = &self.url {
            return Some(url.whole());
        }
        let scheme = match self.forwarded(headers, "x-forwarded-proto") {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
            _ => "http",
        };
        let forwarded = self.forwarded(headers, "x-forwarded-host").and_then(authority);
        let host = forwarded.or_else(|| host(uri, headers))?;
        Some(format!("{scheme}://{host}{}", self.prefix_of(headers)))
    }

    /// What a trusted proxy says. Of several proxies the first one spoke with the client.
    fn forwarded<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let value = headers.get(name).filter(|_| self.trust_proxy)?.to_str().ok()?;
        value.split(',').next().map(str::trim)
    }
}

/// The host that the request names: HTTP/2 has it in the address, HTTP/1.1 in a header.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let header = || authority(headers.get(header::HOST)?.to_str().ok()?);
    uri.authority().cloned().or_else(header)
}

/// A host, with a port if need be, without a user.
fn authority(text: &str) -> Option<Authority> {
    text.parse().ok().filter(|authority: &Authority| !authority.as_str().contains('@'))
}

/// A path as `/draw`, without a slash at its end. What would mean something else in a page or an address is none.
fn clean_prefix(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte);
    let good = path.starts_with('/')
        && path.len() <= MAX_PREFIX
        && path.bytes().all(plain)
        && path.split('/').skip(1).all(|part| !["", ".", ".."].contains(&part));
    good.then(|| path.to_owned())
}

fn parse(url: &str) -> Result<PublicUrl, Error> {
    let problem = || {
        let message = format!(
            "--public-url: `{url}` is no address; give http://HOST or https://HOST, with a path if need be"
        );
        Error::new(Code::InvalidArgument, message)
    };
    let uri: Uri = url.parse().map_err(|_| problem())?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme)).ok_or_else(problem)?;
    let host = uri.authority().and_then(|host| authority(host.as_str())).ok_or_else(problem)?;
    let path = uri.path().trim_end_matches('/');
    let prefix = if path.is_empty() { Some(String::new()) } else { clean_prefix(path) };
    match (prefix, uri.query()) {
        (Some(prefix), None) => Ok(PublicUrl { origin: format!("{scheme}://{host}"), prefix }),
        _ => Err(problem()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(url: Option<&str>, trust_proxy: bool) -> Public {
        let args = HttpArgs { public_url: url.map(str::to_owned), trust_proxy, ..HttpArgs::default() };
        Public::new(&args).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_public_url_is_an_address() {
        for (url, base, prefix) in [
            ("https://pictures.example/unclip/", "https://pictures.example/unclip", "/unclip"),
            ("http://a.example:8080", "http://a.example:8080", ""),
            ("http://a.example/", "http://a.example", ""),
            ("https://a.example/b/c", "https://a.example/b/c", "/b/c"),
        ] {
            let public = public(Some(url), false);
            assert_eq!(public.base_url(&Uri::from_static("/"), &HeaderMap::new()).unwrap(), base);
            assert_eq!(public.prefix_of(&HeaderMap::new()), prefix);
        }
        for bad in [
            "pictures.example",
            "ftp://pictures.example",
            "http://",
            "https://a/?b=c",
            "",
            "https://user@a.example",
            "https://a.example//b",
            "https://a.example/../b",
            "https://a.example/\"b",
        ] {
            let args = HttpArgs { public_url: Some(bad.to_owned()), ..HttpArgs::default() };
            let text = Public::new(&args).unwrap_err().to_string();
            assert!(text.starts_with(&format!("--public-url: `{bad}` is no address")), "{text}");
        }
    }

    #[test]
    fn the_host_comes_with_the_request() {
        let public = public(None, false);
        let base = |uri: &str, headers: &HeaderMap| public.base_url(&uri.parse().unwrap(), headers);
        assert_eq!(base("/v1/models", &HeaderMap::new()), None);
        let given = headers(&[("host", "a.example:8080")]);
        assert_eq!(base("/v1", &given).unwrap(), "http://a.example:8080");
        assert_eq!(base("http://b.example/v1", &given).unwrap(), "http://b.example");
        for bad in ["a b", "user@a.example", "a/b"] {
            assert_eq!(base("/v1", &headers(&[("host", bad)])), None, "{bad}");
        }
    }

    #[test]
    fn a_proxy_is_heard_if_it_is_trusted() {
        let given = headers(&[
            ("host", "10.0.0.7:50051"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "pictures.example, inner"),
            ("x-forwarded-prefix", "/draw/"),
        ]);
        let uri = Uri::from_static("/");
        assert_eq!(public(None, true).base_url(&uri, &given).unwrap(), "https://pictures.example/draw");
        assert_eq!(public(None, true).prefix_of(&given), "/draw");
        assert_eq!(public(None, false).base_url(&uri, &given).unwrap(), "http://10.0.0.7:50051");
        assert_eq!(public(None, false).prefix_of(&given), "");
        // What the operator says counts more.
        let both = public(Some("https://a.example/b"), true);
        assert_eq!(both.base_url(&uri, &given).unwrap(), "https://a.example/b");
    }

    #[test]
    fn a_prefix_that_could_mean_something_else_is_none() {
        for bad in ["draw", "//evil.example", "/a/../b", "/a\"><script>", "/a b", "/", ""] {
            let given = headers(&[("host", "a.example"), ("x-forwarded-prefix", bad)]);
            assert_eq!(public(None, true).prefix_of(&given), "", "{bad}");
        }
        let long = format!("/{}", "a".repeat(MAX_PREFIX));
        assert_eq!(clean_prefix(&long), None);
    }
}
