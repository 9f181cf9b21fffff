//! Every RPC of `UnclipService` as JSON over HTTP: `POST /api/unclip.v1.UnclipService/METHOD` with the protobuf JSON mapping of
//! the request. A unary RPC answers with one object, a streaming one with one object per line (NDJSON).

mod answer;
mod call;
mod codec;
mod failure;
mod methods;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use http::HeaderMap;
use unclip_service::{MAX_MESSAGE_BYTES, RequestContext, Transport};

use self::call::call;
use self::failure::Failure;
use self::methods::Methods;

/// The largest body: the largest message in base64, and room for the rest.
const MAX_BODY_BYTES: usize = MAX_MESSAGE_BYTES / 3 * 4 + (1 << 20);

/// What a call needs.
#[derive(Clone)]
struct Api {
    gateway: Transport,
    methods: Methods,
}

/// `/api`.
pub(super) fn routes(gateway: &Transport) -> Router {
    let api = Api { gateway: gateway.clone(), methods: Methods::of_gateway() };
    let calls = Router::new()
        .route("/{service}/{method}", post(handle).fallback(only_post))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(api);
    Router::new().nest("/api", calls)
}

/// The paths of all calls.
pub(super) fn paths() -> Vec<String> {
    Methods::of_gateway().paths()
}

async fn handle(
    State(api): State<Api>,
    Path((service, method)): Path<(String, String)>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let answer = async {
        let method = api.methods.find(&service, &method)?;
        check_content_type(&headers)?;
        let body = body.map_err(|rejection| Failure::unread(&rejection, MAX_BODY_BYTES))?;
        call(api.gateway, &context, method, body).await
    };
    answer::finish(answer.await)
}

async fn only_post(State(api): State<Api>) -> Response {
    answer::finish(Err(api.methods.only_post()))
}

async fn nothing_here(State(api): State<Api>) -> Response {
    answer::finish(Err(api.methods.nothing_here()))
}

/// Only JSON: a form of a foreign page, which a browser would send without asking, is refused.
fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
    let given = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Failure::content_type(given)),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use tower::ServiceExt as _;
    use unclip_service::{Services, in_process};

    use super::*;

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused() {
        let call = Request::post("/api/unclip.v1.UnclipService/ListModels")
            .header("content-type", "application/json")
            .body(Body::from(vec![b' '; MAX_BODY_BYTES + 1]))
            .unwrap();
        let routes = routes(&in_process(Services::new())).layer(Extension(RequestContext::fresh()));
        let answer = routes.oneshot(call).await.unwrap();
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let text = axum::body::to_bytes(answer.into_body(), 1 << 10).await.unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("body: more than 101711872 bytes"), "{text}");
    }
}
