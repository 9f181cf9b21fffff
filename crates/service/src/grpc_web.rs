//! gRPC-Web, the gRPC of browsers, on the same paths: trailers come in the body, and HTTP/1.1 will do.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};

use crate::door::Wire;

/// Translates calls of gRPC-Web; others pass as they are.
pub(crate) async fn translate(mut request: Request, next: Next) -> Response {
    let Some(wire @ (Wire::GrpcWeb | Wire::GrpcWebText)) = Wire::of(request.headers()) else {
        return next.run(request).await;
    };
    // The translator knows content types in one spelling.
    request.headers_mut().insert(CONTENT_TYPE, wire.content_type());
    let grpc = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let next = next.clone();
        async move { Ok::<_, Infallible>(next.run(request.map(Body::new)).await) }
    });
    match GrpcWebLayer::new().layer(grpc).oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}
