//! What happens where there is no room: full queues, and pictures that are large to decode.

use image::{Rgba, RgbaImage};
use serde_json::json;
use tonic::Code;
use unclip_proto::v1::{EncodeImageRequest, GenerateImageRequest, SamplingOptions};
use unclip_tests::{
    CPU, Cluster, Server, encode_image, generate, head, json_call, png_file, send, send_raw, wait_for,
};

const JSON: &str = "Content-Type: application/json";

/// A stage with `active` samples under way and `queue` that wait.
async fn small(name: &str, cluster: &Cluster, active: &str, queue: &str) -> Server {
    let limits = ["--max-batch", "2", "--max-active", active, "--max-queue", queue];
    Server::stage(name, &cluster.bundle.path(), &[&CPU[..], &limits].concat()).await
}

fn steps(steps: u32) -> Option<SamplingOptions> {
    Some(SamplingOptions { steps: Some(steps), ..Default::default() })
}

#[tokio::test]
async fn sixteen_pictures_pass_six_places() {
    let cluster = Cluster::shared("tiny").await;
    let decoder = small("unclip-decoder", &cluster, "2", "4").await;
    let gateway = cluster.gateway_to_decoder(&decoder, &[]).await;
    let request = |n, seed| GenerateImageRequest {
        prompt: "a red fox".to_owned(),
        n: Some(n),
        seed: Some(seed),
        prior: steps(2),
        decoder: steps(20),
        upsampler: steps(2),
        ..Default::default()
    };
    let drawn = generate(&gateway, request(16, 7)).await.unwrap();
    let seeds: Vec<_> = drawn.images.iter().map(|image| image.receipt.as_ref().unwrap().seed).collect();
    assert_eq!(seeds, (7..23).collect::<Vec<_>>());
    assert!(decoder.metrics().sum("unclip_engine_rejected_total", &[]) > 0.5, "there was no room for all");
}

#[tokio::test]
async fn a_json_call_knows_that_a_queue_is_full_before_it_answers() {
    let cluster = Cluster::shared("tiny").await;
    let decoder = small("unclip-decoder", &cluster, "1", "1").await;
    let gateway = cluster.gateway_to_decoder(&decoder, &[]).await;
    let long = json!({"prompt": "a red fox", "prior": {"steps": 2}, "decoder": {"steps": 1000}});
    let body = long.to_string();
    let call = "POST /api/unclip.v1.UnclipService/GenerateImage";
    let bytes = [head(call, &[JSON], body.len()), body.clone().into()].concat();
    let load = |metric: &str| decoder.metrics().sum(metric, &[]);
    let _first = send_raw(&gateway, &bytes);
    wait_for("a picture to be drawn", async || (load("unclip_engine_rows") > 0.5).then_some(())).await;
    let _second = send_raw(&gateway, &bytes);
    wait_for("a picture to wait", async || (load("unclip_engine_queue_jobs") > 0.5).then_some(())).await;
    let methods = [
        ("GenerateImage", long.clone()),
        ("EditImage", json!({"generation": long, "image": TRANSPARENT})),
        ("InvertImage", json!({"image": TRANSPARENT})),
    ];
    for (method, request) in methods {
        let answer = json_call(&gateway, method, &request).await;
        assert_eq!(answer.status, 429, "{method}: {}", answer.text());
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{method}: {seconds}");
        assert_eq!(answer.json()["error"]["code"], "RESOURCE_EXHAUSTED");
    }
}

/// One transparent pixel.
const TRANSPARENT: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR4nGNgAAIAAAUAAXpeqz8AAAAASUVORK5CYII=";

#[tokio::test]
async fn what_can_never_fit_is_refused_for_good() {
    let cluster = Cluster::shared("tiny").await;
    let prior = small("unclip-prior", &cluster, "1", "4").await;
    let gateway = cluster.gateway_to_prior(&prior).await;
    let request = json!({"prompt": "a red fox", "candidates": 8, "steps": 2, "prior_steps": 2});
    let answer = send(&gateway, "POST /v1/images/generations", &[JSON], request.to_string().as_bytes());
    assert_eq!(answer.status, 400, "{answer:?}");
    let error = &answer.json()["error"];
    assert_eq!(error["param"], "candidates");
    assert!(error["message"].as_str().unwrap().contains("room for 5 samples"), "{error}");
}

#[tokio::test]
async fn events_are_not_held_back_by_proxies() {
    let cluster = Cluster::shared("tiny").await;
    let few =
        json!({"prompt": "a red fox", "stream": true, "steps": 1, "prior_steps": 1, "upsampler_steps": 1});
    let answer = send(&cluster.gateway, "POST /v1/images/generations", &[JSON], few.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// Small files of large pictures, at both servers that decode them: as many as fit are decoded at a time.
#[tokio::test]
async fn picture_bombs_wait_within_the_budget() {
    const SIDE: u32 = 2048;
    const BUDGET: u64 = 256 << 20;
    let cluster = Cluster::shared("tiny").await;
    let flags = ["--decoding-mib", "256"];
    let encoder = Server::stage("unclip-image-encoder", &cluster.bundle.path(), &flags).await;
    let bomb = png_file(RgbaImage::from_pixel(SIDE, SIDE, Rgba([9, 99, 199, 255])));
    assert!(bomb.len() < 1 << 17, "{}", bomb.len());
    let before = encoder.peak_memory();
    let encoder = std::sync::Arc::new(encoder);
    let call = || {
        let (encoder, request) =
            (encoder.clone(), EncodeImageRequest { images: vec![bomb.clone().into(); 2] });
        async move { encode_image(&encoder, request).await }
    };
    // 24 pictures of 46 MB each, were they all decoded at a time.
    let mut calls = tokio::task::JoinSet::new();
    (0..24).for_each(|_| drop(calls.spawn(call())));
    let answers = calls.join_all().await;
    for answer in &answers {
        let refused = answer.as_ref().is_err_and(|status| status.code() == Code::ResourceExhausted);
        assert!(answer.is_ok() || refused, "{answer:?}");
    }
    assert!(answers.iter().any(Result::is_ok));
    let held = encoder.peak_memory() - before;
    assert!(held < BUDGET + (128 << 20), "{held} bytes");
}
