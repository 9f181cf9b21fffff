//! Which requests are calls of RPCs.

use http::{HeaderMap, HeaderValue, header};

/// The protocols that RPCs are called in. What is not listed here never reaches a gRPC service.
///
/// A browser sends none of these content types to another site without asking it first (a CORS preflight), which is what
/// keeps foreign pages out. Keep it so when a protocol is added: text/plain, forms and no content type at all are what a
/// browser sends unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `application/grpc`, `application/grpc+proto`.
    Grpc,
    /// `application/grpc-web`, `application/grpc-web+proto`: gRPC-Web in bytes.
    GrpcWeb,
    /// `application/grpc-web-text`, `application/grpc-web-text+proto`: gRPC-Web in base64.
    GrpcWebText,
}

impl Wire {
    /// The protocol of a request with these headers.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let given = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match essence.strip_prefix("application/grpc")? {
            "-web" | "-web+proto" => Some(Self::GrpcWeb),
            "-web-text" | "-web-text+proto" => Some(Self::GrpcWebText),
            rest => (rest.is_empty() || rest.starts_with('+')).then_some(Self::Grpc),
        }
    }

    /// The content type of its answers.
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web+proto",
            Self::GrpcWebText => "application/grpc-web-text+proto",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_is_grpc() {
        for (content_type, wire) in [
            ("application/grpc", Some(Wire::Grpc)),
            ("application/grpc+proto", Some(Wire::Grpc)),
            ("Application/gRPC; charset=utf-8", Some(Wire::Grpc)),
            ("application/grpc-web", Some(Wire::GrpcWeb)),
            ("application/grpc-web+proto", Some(Wire::GrpcWeb)),
            ("application/grpc-web-text", Some(Wire::GrpcWebText)),
            ("application/grpc-web+json", None),
            ("application/grpc-website", None),
            ("application/grpcx", None),
            ("text/plain", None),
            ("text/plain;application/grpc", None),
            ("multipart/form-data; boundary=application/grpc", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            assert_eq!(Wire::of(&headers), wire, "{content_type}");
        }
        assert_eq!(Wire::of(&HeaderMap::new()), None);
    }
}
