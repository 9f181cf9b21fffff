//! Every RPC of the gateway as JSON over HTTP, by processes of their own.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use unclip_proto::v1::{GenerateImageRequest, SamplingOptions};
use unclip_tests::{Cluster, HttpAnswer, Server, generate, gradient, json_call, json_stream, png_file};

fn few() -> Value {
    json!({"steps": 2})
}

fn request() -> Value {
    json!({"prompt": "a red fox", "seed": "3", "prior": few(), "decoder": few(), "upsampler": few()})
}

fn picture() -> String {
    base64(&png_file(gradient(40, 30)))
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn error(answer: &HttpAnswer) -> (u16, String, String) {
    let error = &answer.json()["error"];
    let text = |name: &str| error[name].as_str().unwrap().to_owned();
    (answer.status, text("code"), text("message"))
}

#[tokio::test]
async fn a_stream_is_a_line_per_message_and_the_same_picture() {
    let cluster = Cluster::shared("tiny").await;
    let mut asked = request();
    asked["previewEvery"] = 1.into();
    let answer = json_call(&cluster.gateway, "GenerateImage", &asked).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    let lines = answer.lines();
    let kinds: Vec<&str> =
        lines.iter().map(|line| line.as_object().unwrap().keys().next().unwrap().as_str()).collect();
    assert!(kinds.contains(&"progress") && kinds.contains(&"preview"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"image"));
    let image = &lines.last().unwrap()["image"];
    assert_eq!((&image["receipt"]["seed"], &image["width"]), (&json!("3"), &json!(32)));

    let steps = Some(SamplingOptions { steps: Some(2), ..Default::default() });
    let same = GenerateImageRequest {
        prompt: "a red fox".to_owned(),
        seed: Some(3),
        prior: steps,
        decoder: steps,
        upsampler: steps,
        ..Default::default()
    };
    let drawn = generate(&cluster.gateway, same).await.unwrap();
    assert_eq!(image["image"], json!(base64(&drawn.images[0].image)));
}

#[tokio::test]
async fn every_method_answers() {
    let cluster = Cluster::shared("tiny").await;
    let latent = json!({"image": picture()});
    let options = json!({"seed": 1, "decoder": few(), "upsampler": few()});
    let inversion = json!({"steps": 2});
    for (method, request, field) in [
        ("ListModels", json!({}), "models"),
        ("EncodeText", json!({"texts": ["a red fox"]}), "embeddings"),
        ("EncodeImage", json!({"images": [picture()]}), "embeddings"),
        ("Classify", json!({"latent": latent, "labels": ["a fox", "a cat"]}), "probabilities"),
        ("GenerateImage", request(), "image"),
        ("VaryImage", json!({"latent": latent, "options": options}), "image"),
        ("InvertImage", json!({"image": picture(), "inversion": inversion}), "result"),
        (
            "InterpolateImages",
            json!({"from": latent, "to": {"text": "a cat"}, "frames": 2, "options": options}),
            "image",
        ),
        (
            "DiffImage",
            json!({"latent": latent, "to_caption": "a cat", "thetas": [0.5], "inversion": inversion, "options": options}),
            "image",
        ),
        (
            "EditImage",
            json!({"generation": request(), "image": picture(), "mask": picture(), "maskMode": "MASK_MODE_WHITE", "resample": 1}),
            "image",
        ),
        ("EditImage", json!({"generation": request(), "image": picture(), "varyOpaque": true}), "image"),
    ] {
        let answer = json_call(&cluster.gateway, method, &request).await;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
        let last = answer.lines().pop().unwrap();
        assert!(!last[field].is_null(), "{method}: {:.200}", last.to_string());
    }
}

#[tokio::test]
async fn refusals_name_the_field_and_have_a_status() {
    let cluster = Cluster::shared("tiny").await;
    for (method, body, status, code, message) in [
        (
            "GenerateImage",
            "{\"n\": 17}",
            400,
            "INVALID_ARGUMENT",
            "n: 17 is out of range, it must be from 1 to 16",
        ),
        (
            "GenerateImage",
            "{\"promt\": \"\"}",
            400,
            "INVALID_ARGUMENT",
            "body: unrecognized field name 'promt'",
        ),
        ("GenerateImage", "{\"n\": \"x\"}", 400, "INVALID_ARGUMENT", "n: "),
        ("GenerateImage", "", 400, "INVALID_ARGUMENT", "body: "),
        ("GenerateImage", "\u{0}", 400, "INVALID_ARGUMENT", "body: "),
        (
            "EncodeImage",
            "{\"images\": [\"PHN2Zy8+\"]}",
            400,
            "INVALID_ARGUMENT",
            "images[0]: no readable picture",
        ),
        ("VaryImage", "{}", 400, "INVALID_ARGUMENT", "latent: "),
        ("DrawImage", "{}", 404, "NOT_FOUND", "no such method; POST to /api/unclip.v1.UnclipService/METHOD"),
    ] {
        let answer = json_stream(&cluster.gateway, method, body, &[]).await.finish().await;
        let found = error(&answer);
        assert_eq!((found.0, found.1.as_str()), (status, code), "{method} {body}: {}", found.2);
        assert!(found.2.starts_with(message), "{}\nshould begin with\n{message}", found.2);
    }
    let one: Vec<u8> = [1.0_f32; 32].iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = json!({"dtype": "DTYPE_F32", "shape": [32], "data": base64(&one)});
    let foreign = json!({"latent": {"imageEmbedding": {"space": "other", "tensor": tensor}}});
    let (status, code, message) = error(&json_call(&cluster.gateway, "VaryImage", &foreign).await);
    assert_eq!((status, code.as_str()), (409, "FAILED_PRECONDITION"), "{message}");
    assert!(message.contains("the embedding is of CLIP space `other`"), "{message}");
    let deep = format!("{{\"prior\":{}", "{\"prior\":".repeat(100_000));
    let answer = json_stream(&cluster.gateway, "GenerateImage", &deep, &[]).await.finish().await;
    assert_eq!(answer.status, 400);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = json_stream(&cluster.gateway, "ListModels", "{}", &form).await.finish().await;
    assert_eq!(error(&answer).0, 415);
}

#[tokio::test]
async fn ids_and_deadlines_travel() {
    let cluster = Cluster::shared("tiny").await;
    let body = json!({"decoder": {"steps": 1000}}).to_string();
    let headers = [("x-request-id", "json-1"), ("grpc-timeout", "300m")];
    let answer = json_stream(&cluster.gateway, "GenerateImage", &body, &headers).await.finish().await;
    assert_eq!(answer.header("x-request-id"), Some("json-1"));
    cluster.decoder.logged(&["json-1"]).await;
    // Whether or not a line came before: the last one says how it ended.
    let last = answer.lines().pop().unwrap();
    assert_eq!(last["error"]["code"], "DEADLINE_EXCEEDED", "{last}");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_work() {
    let cluster = Cluster::shared("tiny").await;
    let gateway = cluster.another_gateway(&[]).await;
    let body = json!({"decoder": {"steps": 1000}}).to_string();
    let headers = [("x-request-id", "json-gone")];
    let mut stream = json_stream(&gateway, "GenerateImage", &body, &headers).await;
    assert!(stream.more().await.is_some());
    drop(stream);
    gateway.logged(&["json-gone", "the client is gone"]).await;
}

#[tokio::test]
async fn a_stage_that_is_gone_is_unavailable() {
    let nobody = "http://127.0.0.1:1";
    let flags = ["--text-encoder", "--image-encoder", "--prior", "--decoder", "--upsampler"]
        .map(|flag| [flag, nobody]);
    let gateway = Server::start("unclip-gateway", &flags.concat()).await;
    let answer = json_call(&gateway, "GenerateImage", &request()).await;
    let (status, code, message) = error(&answer);
    assert_eq!((status, code.as_str()), (503, "UNAVAILABLE"), "{message}");
}
