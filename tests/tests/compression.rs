//! gzip and zstd on the wire, of honest clients and of bombs.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::io::Write as _;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use tonic::Code;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use unclip_proto::v1::text_encoder_service_client::TextEncoderServiceClient;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{GenerateImageRequest, UnclipServiceEncodeTextRequest};
use unclip_tests::{Cluster, Inputs, Server, bare, encode_text, generate};

const ENCODINGS: [CompressionEncoding; 2] = [CompressionEncoding::Gzip, CompressionEncoding::Zstd];

#[tokio::test]
async fn compressed_calls_are_answered_alike() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await;
    let expected = encode_text(&cluster.text_encoder, good.text.clone()).await.unwrap();
    for encoding in ENCODINGS {
        let mut client = TextEncoderServiceClient::new(cluster.text_encoder.channel())
            .send_compressed(encoding)
            .accept_compressed(encoding);
        let answer = client.encode_text(good.text.clone()).await.unwrap();
        let name = answer.metadata().get("grpc-encoding").unwrap().to_str().unwrap().to_owned();
        assert!(format!("{encoding:?}").eq_ignore_ascii_case(&name), "{name}");
        assert_eq!(answer.into_inner().encodings, expected);

        let mut client = UnclipServiceClient::new(cluster.gateway.channel())
            .send_compressed(encoding)
            .accept_compressed(encoding);
        let request = UnclipServiceEncodeTextRequest { texts: good.text.texts.clone() };
        assert_eq!(client.encode_text(request).await.unwrap().into_inner().embeddings.len(), 2);
        let mut stream = client.generate_image(good.generate.clone()).await.unwrap().into_inner();
        let mut messages = 0;
        while stream.message().await.unwrap().is_some() {
            messages += 1;
        }
        assert!(messages > 1, "{messages}");
    }
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_compress() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await;
    let mut client = TextEncoderServiceClient::new(cluster.text_encoder.channel())
        .accept_compressed(CompressionEncoding::Gzip);
    let answer = client.encode_text(good.text).await.unwrap();
    assert_eq!(answer.metadata().get("grpc-encoding"), None);
}

/// More than any message may have, in few bytes.
fn bomb(encoding: &str) -> Vec<u8> {
    const CHUNK: usize = 1 << 20;
    let zeros = vec![0; CHUNK];
    let chunks = unclip_tests::MAX_MESSAGE_BYTES / CHUNK + 8;
    if encoding == "gzip" {
        let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        (0..chunks).for_each(|_| file.write_all(&zeros).unwrap());
        file.finish().unwrap()
    } else {
        let mut file = zstd::Encoder::new(Vec::new(), 1).unwrap();
        (0..chunks * 16).for_each(|_| file.write_all(&zeros).unwrap());
        file.finish().unwrap()
    }
}

/// Sends one compressed message, as it is; the status.
async fn send(server: &Server, path: &str, encoding: &'static str, message: &[u8]) -> Code {
    let mut frame = vec![1];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let (client, origin) = bare(server);
    let request = Request::post(format!("{origin}{path}"))
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(frame))))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let in_headers = response.headers().get("grpc-status").cloned();
    let body = response.into_body().collect().await.unwrap();
    let code = in_headers.or_else(|| body.trailers()?.get("grpc-status").cloned()).unwrap();
    Code::from_bytes(code.as_bytes())
}

#[tokio::test]
async fn a_bomb_is_refused_while_it_is_unpacked() {
    let cluster = Cluster::start("tiny", &[]).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    for (server, path) in [
        (&cluster.gateway, "unclip.v1.UnclipService/GenerateImage"),
        (&cluster.decoder, "unclip.v1.DecoderService/Decode"),
        (&cluster.text_encoder, "unclip.v1.TextEncoderService/EncodeText"),
    ] {
        let before = server.metrics().sum("process_resident_memory_bytes", &[]);
        for encoding in ["gzip", "zstd"] {
            let message = bomb(encoding);
            let bombs = (0..8).map(|_| send(server, path, encoding, &message));
            for code in futures::future::join_all(bombs).await {
                assert_eq!(code, Code::ResourceExhausted, "{path}, {encoding}");
            }
        }
        let grown = server.metrics().sum("process_resident_memory_bytes", &[]) - before;
        // Each of the eight may have unpacked as much as an honest message has.
        assert!(grown < 9.0 * unclip_tests::MAX_MESSAGE_BYTES as f64, "{path}: {grown} bytes");
    }
    generate(&cluster.gateway, GenerateImageRequest { seed: Some(5), ..good }).await.unwrap();
}

#[tokio::test]
async fn another_encoding_is_refused_by_name() {
    let cluster = Cluster::shared("tiny").await;
    let code = send(&cluster.gateway, "unclip.v1.UnclipService/ListModels", "br", b"x").await;
    assert_eq!(code, Code::Unimplemented);
    let code = send(&cluster.gateway, "unclip.v1.UnclipService/ListModels", "gzip", b"no gzip").await;
    assert_ne!(code, Code::Ok);
}
