//! Which requests are calls of RPCs.

use http::{HeaderMap, header};

/// The protocols that RPCs are called in. What is not listed here never reaches a gRPC service.
///
/// A browser sends none of these content types to another site without asking it first (a CORS preflight), which is what
/// keeps foreign pages out. Keep it so when a protocol is added: text/plain, forms and no content type at all are what a
/// browser sends unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `application/grpc`, `application/grpc+proto`.
    Grpc,
}

impl Wire {
    /// The protocol of a request with these headers.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let given = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let is_grpc = essence == "application/grpc" || essence.starts_with("application/grpc+");
        is_grpc.then_some(Self::Grpc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_is_grpc() {
        for (content_type, is_grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=utf-8", true),
            ("application/grpcx", false),
            ("text/plain", false),
            ("text/plain;application/grpc", false),
            ("multipart/form-data; boundary=application/grpc", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            assert_eq!(Wire::of(&headers).is_some(), is_grpc, "{content_type}");
        }
        assert_eq!(Wire::of(&HeaderMap::new()), None);
    }
}
