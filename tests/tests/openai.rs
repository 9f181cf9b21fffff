//! OpenAI's Images API: its own client, and what no client sends.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::io::Read;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{Rgba, RgbaImage};
use serde_json::json;
use unclip_tests::{
    Answer, CPU, Cluster, Part, Server, form, gradient, head, png_file, repository, send, send_raw, wait_for,
};

const JSON: &str = "Content-Type: application/json";
const GENERATIONS: &str = "POST /v1/images/generations";
const EDITS: &str = "POST /v1/images/edits";
const VARIATIONS: &str = "POST /v1/images/variations";

/// Runs a group of tests/clients/openai_images.py against a server.
fn run_client(server: &Server, group: &str, count: usize) {
    run_script("openai_images.py", server, group, count);
}

fn run_script(name: &str, server: &Server, group: &str, count: usize) {
    let packages = repository().join(".python/sdks");
    assert!(packages.is_dir(), "{}: not found; run make setup-tests", packages.display());
    let output = Command::new("python3")
        .args(["-W", "ignore::DeprecationWarning"])
        .arg(repository().join("tests/clients").join(name))
        .args([&format!("{}/v1", server.url()), group])
        .env("PYTHONPATH", packages)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let names = String::from_utf8(output.stdout).unwrap();
    assert_eq!(names.lines().count(), count, "{names}");
}

#[tokio::test]
async fn the_official_client_finds_what_it_expects() {
    let cluster = Cluster::shared("tiny").await;
    run_client(&cluster.gateway, "any", 17);
}

#[tokio::test]
async fn what_stock_clients_send_by_default_is_drawn_and_said() {
    let cluster = Cluster::shared("tiny").await;
    run_script("openai_defaults.py", &cluster.gateway, "lenient", 6);
}

#[tokio::test]
async fn a_strict_server_refuses_what_it_cant_honour() {
    let cluster = Cluster::shared("tiny").await;
    let server = cluster.another_gateway(&["--openai-strict"]).await;
    run_script("openai_defaults.py", &server, "strict", 1);
}

#[tokio::test]
async fn the_official_client_is_told_of_unlisted_models_and_of_the_public_url() {
    let cluster = Cluster::shared("tiny").await;
    let flags = [
        "--openai-models",
        "listed",
        "--model-name",
        "tiny",
        "--public-url",
        "http://pictures.example/unclip/",
    ];
    run_client(&cluster.another_gateway(&flags).await, "listed", 2);
}

#[tokio::test]
async fn the_official_client_comes_again_when_a_queue_was_full() {
    let cluster = Cluster::shared("tiny").await;
    let flags = [&CPU[..], &["--max-batch", "2", "--max-active", "1", "--max-queue", "1"]].concat();
    let decoder = Server::stage("unclip-decoder", &cluster.bundle.path(), &flags).await;
    run_client(&cluster.gateway_to_decoder(&decoder, &[]).await, "busy", 1);
}

/// Status, param, code and a part of the message.
type Refusal<'a> = (u16, Option<&'a str>, &'a str, &'a str);

/// Holds when an answer is the error object of a refusal.
fn assert_refused(answer: &Answer, (status, param, code, text): Refusal) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let error = &answer.json()["error"];
    assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{error}");
    assert!(error["message"].as_str().unwrap().contains(text), "{error} should contain {text}");
    assert!(error["type"].is_string(), "{error}");
}

#[tokio::test]
async fn what_no_client_sends_is_refused_with_the_error_object() {
    let server = Cluster::shared("tiny").await;
    let server = &server.gateway;
    let plain = "Content-Type: text/plain";
    let unbounded = "Content-Type: multipart/form-data";
    let large = json!({"prompt": "a".repeat(2 << 20)}).to_string();
    let deep = "[".repeat(10_000);
    let cases: [(&str, &[&str], &[u8], Refusal); 24] = [
        (GENERATIONS, &[JSON], b"{\"prompt\": ", (400, None, "invalid_body", "no JSON")),
        (GENERATIONS, &[JSON], b"", (400, None, "invalid_body", "no JSON")),
        (GENERATIONS, &[JSON], b"[]", (400, None, "invalid_body", "must be a JSON object")),
        (GENERATIONS, &[JSON], b"{\"prompt\": \"\xff\"}", (400, None, "invalid_body", "no JSON")),
        (GENERATIONS, &[JSON], deep.as_bytes(), (400, None, "invalid_body", "no JSON")),
        (GENERATIONS, &[JSON], b"{}", (400, Some("prompt"), "missing_required_parameter", "required")),
        (
            GENERATIONS,
            &[JSON],
            b"{\"prompt\": null}",
            (400, Some("prompt"), "missing_required_parameter", "required"),
        ),
        (
            GENERATIONS,
            &[JSON],
            b"{\"prompt\": [\"a\"]}",
            (400, Some("prompt"), "invalid_value", "a list where a text"),
        ),
        (
            GENERATIONS,
            &[JSON],
            b"{\"prompt\": \"a\", \"n\": \"2\"}",
            (400, Some("n"), "invalid_value", "\"2\" is not a whole"),
        ),
        (
            GENERATIONS,
            &[JSON],
            b"{\"prompt\": \"a\", \"seed\": 1.5}",
            (400, Some("seed"), "invalid_value", "1.5 is not"),
        ),
        (
            GENERATIONS,
            &[JSON],
            b"{\"prompt\": \"a\", \"guidance\": 1e99}",
            (400, Some("guidance"), "invalid_value", "number"),
        ),
        (GENERATIONS, &[JSON], large.as_bytes(), (413, None, "body_too_large", "at most 1048576 bytes")),
        (GENERATIONS, &[plain], b"a fox", (415, None, "unsupported_content_type", "`text/plain`")),
        (GENERATIONS, &[], b"{}", (415, None, "unsupported_content_type", "no content type")),
        (VARIATIONS, &[JSON], b"{}", (415, None, "unsupported_content_type", "takes multipart/form-data")),
        (EDITS, &[unbounded], b"", (415, None, "unsupported_content_type", "boundary")),
        ("GET /v1/images/generations", &[], b"", (405, None, "method_not_allowed", "does not take GET")),
        (
            "POST /v1/chat/completions",
            &[JSON],
            b"{}",
            (404, None, "not_found", "no POST /v1/chat/completions"),
        ),
        ("GET /v1/images/files/../../etc", &[], b"", (404, None, "not_found", "there is no")),
        ("GET /v1/", &[], b"", (404, None, "not_found", "there is no GET /v1")),
        ("GET /v1", &[], b"", (404, None, "not_found", "there is no GET /v1")),
        ("GET /v1/images/files/a%ff", &[], b"", (404, None, "not_found", "no such picture")),
        ("GET /v1/models/a%ff", &[], b"", (404, Some("model"), "model_not_found", "use `unclip`")),
        ("GET /v1/models/none", &[], b"", (404, Some("model"), "model_not_found", "use `unclip`")),
    ];
    for (request, headers, body, refusal) in cases {
        assert_refused(&send(server, request, headers, body), refusal);
    }
    assert_eq!(send(server, "GET /v1/models", &["Authorization: Bearer anything"], b"").status, 200);
}

#[tokio::test]
async fn forms_that_are_damaged_or_too_large_are_refused() {
    let server = Cluster::shared("tiny").await;
    let server = &server.gateway;
    let image = png_file(gradient(32, 32));
    let huge = vec![0; (20 << 20) + 1];
    let three: Vec<_> = ["image", "mask", "other"].map(|name| (name, "a", &huge[1..])).to_vec();
    let many: Vec<_> = (0..65).map(|_| ("image[]", "a.png", &b""[..])).collect();
    let good = ("image", "a.png", &image[..]);
    let cases: [(&[Part], Refusal); 9] = [
        (&[("prompt", "", b"a fox")], (400, Some("image"), "missing_required_parameter", "required")),
        (&[good], (400, Some("prompt"), "missing_required_parameter", "required")),
        (
            &[good, ("prompt", "", b"a"), ("prompt", "", b"b")],
            (400, Some("prompt"), "invalid_value", "twice"),
        ),
        (&[good, ("prompt", "", b"\xff")], (400, Some("prompt"), "invalid_value", "UTF-8")),
        (
            &[good, ("prompt", "", &[b'a'; 140_000])],
            (413, Some("prompt"), "body_too_large", "at most 131072"),
        ),
        (
            &[good, ("prompt", "", b"a"), ("steps", "", b"two")],
            (400, Some("steps"), "invalid_value", "whole number"),
        ),
        (
            &[("image", "a.png", &huge), ("prompt", "", b"a")],
            (413, Some("image"), "body_too_large", "at most 20971520"),
        ),
        (&three, (413, None, "body_too_large", "at most 42991616 bytes")),
        (&many, (400, None, "invalid_body", "more than 64 parts")),
    ];
    for (parts, refusal) in cases {
        let (header, body) = form(parts);
        assert_refused(&send(server, EDITS, &[header], &body), refusal);
    }
    let (header, body) = form(&[good]);
    let cut = send(server, EDITS, &[header], &body[..body.len() / 2]);
    assert_refused(&cut, (400, None, "invalid_body", "the form can't be read"));
}

#[tokio::test]
async fn uploads_share_one_limit() {
    let cluster = Cluster::shared("tiny").await;
    let server = cluster.another_gateway(&["--uploads-mib", "64"]).await;
    let file = vec![0; 20 << 20];
    let (header, body) = form(&[("image", "a.png", &file), ("mask", "b.png", &file), ("prompt", "", b"a")]);
    let mut held = send_raw(&server, &[&head(EDITS, &[header], body.len()), &body[..36 << 20]].concat());
    // The client that says nothing has to go for the one that does.
    let answer = send(&server, EDITS, &[header], &body);
    assert_refused(&answer, (400, Some("image"), "invalid_value", "no readable picture"));
    let answer = Answer::read(&mut held);
    assert_refused(&answer, (503, None, "overloaded", "it came slowly while others waited for room"));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn kept_pixels_come_back_exactly() {
    let cluster = Cluster::shared("tiny").await;
    let image = gradient(32, 32);
    let edit = |mask: RgbaImage| {
        let (image, mask) = (png_file(image.clone()), png_file(mask));
        let few = ["steps", "prior_steps", "upsampler_steps"].map(|name| (name, "", &b"2"[..]));
        let parts = [("image", "a.png", &image[..]), ("mask", "b.png", &mask), ("prompt", "", b"a red fox")];
        let (header, body) = form(&[&parts[..], &few].concat());
        let answer = send(&cluster.gateway, EDITS, &[header], &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        let file = STANDARD.decode(answer.json()["data"][0]["b64_json"].as_str().unwrap()).unwrap();
        image::load_from_memory(&file).unwrap().into_rgb8()
    };
    let half = RgbaImage::from_fn(32, 32, |x, _| Rgba([0, 0, 0, if x < 16 { 0 } else { 255 }]));
    let edited = edit(half);
    assert!((16..32).all(|x| (0..32).all(|y| edited.get_pixel(x, y) == image.get_pixel(x, y))));
    assert!((0..16).any(|x| (0..32).any(|y| edited.get_pixel(x, y) != image.get_pixel(x, y))));
}

#[tokio::test]
async fn whom_a_client_draws_for_is_in_no_log() {
    let cluster = Cluster::shared("tiny").await;
    let server = cluster.another_gateway(&["--log", "debug"]).await;
    let body = json!({"prompt": "a red fox", "user": "one-person", "safety_identifier": "another-person",
        "steps": 1, "prior_steps": 1, "upsampler_steps": 1});
    let headers = [JSON, "X-Request-Id: whom-1", "Authorization: Bearer a-secret-key"];
    let answer = send(&server, GENERATIONS, &headers, body.to_string().as_bytes());
    assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("whom-1")), "{answer:?}");
    server.logged(&["answered", "\"status\":200", "whom-1"]).await;
    for secret in ["one-person", "another-person", "a-secret-key"] {
        assert!(!server.has_logged(secret), "{secret}");
    }
}

/// What the engine of a stage counts now.
fn engine(stage: &Server, metric: &str) -> f64 {
    stage.metrics().sum(metric, &[("engine", "decoder")])
}

#[tokio::test]
async fn work_ends_when_the_client_hangs_up() {
    let cluster = Cluster::start("tiny", &CPU).await;
    for (round, stream) in [(1, false), (2, true)] {
        let before = engine(&cluster.decoder, "unclip_engine_saved_steps_total");
        let body =
            json!({"prompt": "a red fox", "steps": 1000, "prior_steps": 2, "stream": stream}).to_string();
        let bytes = [head(GENERATIONS, &[JSON], body.len()), body.into()].concat();
        let connection = send_raw(&cluster.gateway, &bytes);
        let at_work = async || (engine(&cluster.decoder, "unclip_engine_rows") > 0.5).then_some(());
        wait_for(&format!("picture {round} to be under way"), at_work).await;
        drop(connection);
        wait_for(&format!("picture {round} to be dropped"), async || {
            let saved = engine(&cluster.decoder, "unclip_engine_saved_steps_total") > before;
            (saved && engine(&cluster.decoder, "unclip_engine_rows") < 0.5).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_stage_that_is_gone_is_told_with_a_time_to_come_again() {
    let mut cluster = Cluster::start("tiny", &CPU).await;
    let refused = |cluster: &Cluster, stage: &str, stream: bool| {
        let request =
            json!({"prompt": "a red fox", "steps": 2, "prior_steps": 2, "stream": stream}).to_string();
        let answer = send(&cluster.gateway, GENERATIONS, &[JSON], request.as_bytes());
        assert_refused(&answer, (503, None, "unavailable", &format!("the {stage} can't be reached")));
        assert_eq!(answer.header("retry-after"), Some("1"));
    };
    cluster.upsampler.kill();
    refused(&cluster, "upsampler", false);
    // A stream's head waits for the decoder.
    cluster.decoder.kill();
    refused(&cluster, "decoder", false);
    refused(&cluster, "decoder", true);
}

#[tokio::test]
async fn a_stream_that_fails_ends_with_the_error_object() {
    let mut cluster = Cluster::start("tiny", &CPU).await;
    let body = json!({"prompt": "a red fox", "steps": 1000, "prior_steps": 2, "stream": true}).to_string();
    let mut stream =
        send_raw(&cluster.gateway, &[head(GENERATIONS, &[JSON], body.len()), body.into()].concat());
    // The head comes when the decoder is at work.
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(begun, *b"HTTP/1.1 200");
    cluster.decoder.kill();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("content-type: text/event-stream"), "{rest}");
    assert!(rest.contains("event: error\ndata: {\"error\":{"), "{rest}");
    assert!(rest.contains("\"type\":\"server_error\""), "{rest}");
    assert!(!rest.contains("completed"), "{rest}");
}
