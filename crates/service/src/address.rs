//! Addresses as flags take them.

use std::net::{SocketAddr, ToSocketAddrs};

use http::Uri;

/// Reads an address to listen at, as HOST:PORT. A name is looked up; of its addresses the first of IPv4 is taken, or else the
/// first.
///
/// # Errors
/// Why it is none, and what would do.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.contains("://") {
        return Err("give HOST:PORT alone, without a scheme, as 127.0.0.1:50051".to_owned());
    }
    let (host, port) = text.rsplit_once(':').ok_or("no port; give HOST:PORT, as 127.0.0.1:50051")?;
    let port: u16 = port.parse().map_err(|_| "the port is not a number from 0 to 65535".to_owned())?;
    if host.is_empty() || host == "*" {
        return Err(format!("no host; give 127.0.0.1:{port}, or 0.0.0.0:{port} to listen at every address"));
    }
    if host.contains(':') {
        return Err(format!("an IPv6 address stands in brackets, as [::1]:{port}"));
    }
    let found: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("`{host}` is no address of this machine ({error})"))?
        .collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("`{host}` has no address"))
}

/// Reads the address of a server to call, as `http://HOST:PORT`; `http://` may be left out.
///
/// # Errors
/// Why it is none, and what would do.
pub fn server_url(text: &str) -> Result<String, String> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        None | Some("http") => {}
        Some("https") => {
            return Err(
                "calls with TLS are not supported yet; give http://HOST:PORT, for example that of a \
                        proxy beside this program which adds TLS"
                    .to_owned(),
            );
        }
        Some(other) => return Err(format!("calls go over http, not {other}; give http://HOST:PORT")),
    }
    let url = if scheme.is_some() { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = url.parse().map_err(|_| "no address; give http://HOST:PORT".to_owned())?;
    let authority = uri.authority().ok_or("no host; give http://HOST:PORT")?;
    if authority.as_str().contains('@') {
        return Err("a user name or password in an address is not used; leave it out".to_owned());
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("no host; give http://HOST:PORT".to_owned());
    }
    let port = authority.as_str().strip_prefix(uri.host().unwrap_or_default()).unwrap_or_default();
    match uri.port_u16() {
        None if scheme.is_none() || !port.is_empty() => {
            Err("no port from 1 to 65535; give http://HOST:PORT".to_owned())
        }
        Some(0) => Err("nothing answers at port 0; give the port that the server listens at".to_owned()),
        _ if uri.path_and_query().is_some_and(|path| path != "/") => {
            Err(format!("gRPC has no paths; give http://{authority} alone"))
        }
        _ => Ok(format!("http://{authority}")),
    }
}

/// Reads the address that others reach a server at, as `http://HOST` or `https://HOST`, with a path if need be.
///
/// # Errors
/// Why it is none, and what would do.
pub fn public_url(text: &str) -> Result<String, String> {
    const NONE: &str = "no address; give http://HOST or https://HOST, with a path if need be";
    let uri: Uri = text.parse().map_err(|_| NONE.to_owned())?;
    let authority = uri.authority().ok_or(NONE)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
        return Err(NONE.to_owned());
    }
    if authority.as_str().contains('@') {
        return Err("every client would read the user name and password in it; leave them out".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_are_told_is_an_address_without_a_password() {
        for text in ["http://a.example", "https://a.example:8443/draw/"] {
            assert_eq!(public_url(text).unwrap(), text);
        }
        for (text, reason) in [
            ("a.example", "no address; give http://HOST"),
            ("ftp://a.example", "no address"),
            ("https://a.example/?b=c", "no address"),
            ("", "no address"),
            ("https://me:hunter2@a.example", "every client would read"),
        ] {
            let error = public_url(text).unwrap_err();
            assert!(error.contains(reason) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn names_and_addresses_are_listened_at() {
        for (text, found) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:50051", "[::1]:50051"),
            ("localhost:50051", "127.0.0.1:50051"),
        ] {
            assert_eq!(listen_address(text).unwrap().to_string(), found);
        }
    }

    #[test]
    fn what_can_not_be_listened_at_is_told_with_what_would_do() {
        for (text, reason) in [
            ("", "no port"),
            ("50051", "no port; give HOST:PORT"),
            (":50051", "give 127.0.0.1:50051, or 0.0.0.0:50051"),
            ("*:50051", "0.0.0.0:50051 to listen at every address"),
            ("::1:50051", "in brackets, as [::1]:50051"),
            ("localhost:x", "not a number from 0 to 65535"),
            ("localhost:65536", "not a number from 0 to 65535"),
            ("http://localhost:50051", "without a scheme"),
            ("no such host:1", "`no such host` is no address of this machine"),
        ] {
            let error = listen_address(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn servers_are_called_with_and_without_a_scheme() {
        for (text, url) in [
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("localhost:50051", "http://localhost:50051"),
            ("[::1]:50051/", "http://[::1]:50051"),
            ("HTTP://gateway.example/", "http://gateway.example"),
        ] {
            assert_eq!(server_url(text).unwrap(), url);
        }
    }

    #[test]
    fn what_can_not_be_called_is_told_with_what_would_do() {
        for (text, reason) in [
            ("", "no address"),
            ("https://gateway.example", "TLS are not supported yet; give http://HOST:PORT"),
            ("HTTPS://127.0.0.1:1", "TLS are not supported yet"),
            ("grpc://127.0.0.1:1", "over http, not grpc"),
            ("unix:///run/unclip", "over http, not unix"),
            ("gateway", "no port from 1 to 65535"),
            ("http://gateway:", "no port from 1 to 65535"),
            ("127.0.0.1:70000", "no port from 1 to 65535"),
            ("127.0.0.1:0", "nothing answers at port 0"),
            ("http://:50051", "no "),
            ("http://me:hunter2@gateway:1", "a user name or password in an address is not used"),
            ("http://gateway:1/draw", "give http://gateway:1 alone"),
            ("http://gateway:1?x=1", "give http://gateway:1 alone"),
            ("a b", "no address"),
        ] {
            let error = server_url(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
