//! gzip and zstd on the wire.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;

const ENCODING: &str = "grpc-encoding";
const ACCEPTED: &str = "grpc-accept-encoding";

/// Compresses answers to those alone who compress their requests, as gRPC's own servers do: most clients accept gzip without
/// being asked, and pictures and tensors only take longer by it.
pub(crate) async fn in_kind(mut request: Request, next: Next) -> Response {
    if !compresses(request.headers()) {
        request.headers_mut().remove(ACCEPTED);
    }
    next.run(request).await
}

fn compresses(headers: &HeaderMap) -> bool {
    headers.get(ENCODING).is_some_and(|encoding| encoding != "identity")
}

/// A generated server that takes and gives large messages, compressed with gzip or zstd if the client likes. A message's limit
/// holds for what is in it: one that grows beyond it is refused while it is unpacked.
#[macro_export]
macro_rules! grpc_server {
    ($server:expr) => {
        $crate::grpc_server!($server, max_request_bytes: $crate::MAX_MESSAGE_BYTES)
    };
    ($server:expr, max_request_bytes: $limit:expr) => {
        $server
            .max_decoding_message_size($limit)
            .max_encoding_message_size($crate::MAX_MESSAGE_BYTES)
            .accept_compressed($crate::CompressionEncoding::Gzip)
            .accept_compressed($crate::CompressionEncoding::Zstd)
            .send_compressed($crate::CompressionEncoding::Gzip)
            .send_compressed($crate::CompressionEncoding::Zstd)
    };
}
