//! JSON calls over HTTP/1.1, as any HTTP client makes them.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::Server;

/// An answer, read to its end.
#[derive(Debug)]
pub struct HttpAnswer {
    /// Its status.
    pub status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl HttpAnswer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// The body as one JSON value per line.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// An answer that is still coming. Dropping it closes the connection.
pub struct HttpStream {
    response: Response<Incoming>,
}

impl HttpStream {
    /// Waits for more of the body.
    pub async fn more(&mut self) -> Option<Vec<u8>> {
        let frame = self.response.frame().await?.unwrap();
        Some(frame.into_data().map(|data| data.to_vec()).unwrap_or_default())
    }

    /// Reads the rest.
    pub async fn finish(self) -> HttpAnswer {
        let (parts, body) = self.response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        HttpAnswer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

/// Calls a method of the gateway and reads the answer to its end.
pub async fn json_call(server: &Server, method: &str, request: &Value) -> HttpAnswer {
    json_stream(server, method, &request.to_string(), &[]).await.finish().await
}

/// Calls a method of the gateway with any body and headers. Without a content type it is JSON.
pub async fn json_stream(
    server: &Server,
    method: &str,
    body: &str,
    headers: &[(&'static str, &'static str)],
) -> HttpStream {
    let url = format!("{}/api/unclip.v1.UnclipService/{method}", server.url());
    let mut request = Request::post(url).body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    HttpStream { response: client.request(request).await.unwrap() }
}
