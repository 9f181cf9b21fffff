//! The page at `/`: plain files inside the binary. It talks to the JSON calls and to nobody else.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::http::Public;

/// The files of `gateway/page`.
#[derive(RustEmbed)]
#[folder = "page"]
struct Files;

/// What the page may do: load from here, talk to here, and show the pictures that it holds itself.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' blob: data:; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

/// Sent with every file.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // A browser asks each time whether its copy is still right: file names stay, contents don't.
    (header::CACHE_CONTROL, "no-cache"),
];

/// The page's own file, at `/`.
const INDEX: &str = "index.html";

/// `/` and the files it loads.
pub(super) fn routes(public: &Public) -> Router {
    Router::new().route("/", get(index)).route("/page/{*path}", get(file)).with_state(public.clone())
}

async fn index(State(public): State<Public>, headers: HeaderMap) -> Response {
    serve(INDEX, &public.prefix_of(&headers), &headers)
}

async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    // Its references would lead elsewhere.
    if path == INDEX {
        return Redirect::permanent("../").into_response();
    }
    serve(&path, "", &headers)
}

/// A file; the page itself for a client that sees it below `prefix`.
fn serve(path: &str, prefix: &str, request: &HeaderMap) -> Response {
    let Some((file, content_type)) = Files::get(path).zip(content_type(path)) else {
        return (StatusCode::NOT_FOUND, "no such file; the page is where the server's address is\n")
            .into_response();
    };
    let etag = etag(&file, prefix);
    let mut response = if is_fresh(request, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type)], contents(file, prefix)).into_response()
    };
    let headers = response.headers_mut();
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.extend(HeaderValue::from_str(&etag).ok().map(|value| (header::ETAG, value)));
    response
}

fn content_type(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// A page that a proxy has below a path says so: without a slash at the address's end its references, which are relative, would
/// lead past it.
fn contents(file: EmbeddedFile, prefix: &str) -> Body {
    match std::str::from_utf8(&file.data) {
        Ok(text) if !prefix.is_empty() => {
            Body::from(text.replacen("<head>", &format!("<head>\n  <base href=\"{prefix}/\">"), 1))
        }
        _ => Body::from(file.data),
    }
}

/// From the contents. A prefix has no character that would end the tag.
fn etag(file: &EmbeddedFile, prefix: &str) -> String {
    let digits: String = file.metadata.sha256_hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}{prefix}\"")
}

/// Whether the browser's copy is the same.
fn is_fresh(request: &HeaderMap, etag: &str) -> bool {
    let given = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_served_with_its_type() {
        assert!(Files::iter().count() > 5);
        for path in Files::iter() {
            let response = serve(&path, "", &HeaderMap::new());
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
        }
    }

    #[test]
    fn a_copy_that_is_the_same_is_not_sent_again() {
        let first = serve(INDEX, "", &HeaderMap::new());
        let mut request = HeaderMap::new();
        request.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(serve(INDEX, "", &request).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(serve(INDEX, "/draw", &request).status(), StatusCode::OK);
        request.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(serve(INDEX, "", &request).status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn no_reference_is_absolute_and_a_prefix_is_the_base() {
        for path in Files::iter() {
            let text = String::from_utf8(Files::get(&path).unwrap().data.to_vec()).unwrap();
            for absolute in ["=\"/", "(\"/", "from \"/", "url(/", " \"/api", "`/"] {
                assert!(!text.contains(absolute), "{path}: {absolute}");
            }
        }
        let body = serve(INDEX, "/draw", &HeaderMap::new()).into_body();
        let text = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("<head>\n  <base href=\"/draw/\">"), "{text}");
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in ["", "index", "../Cargo.toml", "/etc/passwd", "index.html/"] {
            assert_eq!(serve(path, "", &HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
