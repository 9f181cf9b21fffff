//! The gateway's caches, with real processes and a real Redis: what is known is computed by nobody, and a Redis that fails
//! costs no request.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use unclip_proto::v1::{GenerateImageRequest, GeneratedImage, Receipt, SamplingOptions, Stage};
use unclip_tests::{CPU, Cluster, Redis, Server, generate};

/// Redis with more patience than a busy machine needs.
const PATIENT: [&str; 2] = ["--redis-timeout-ms", "30000"];

fn request(prompt: &str, seed: u64) -> GenerateImageRequest {
    let options = Some(SamplingOptions { steps: Some(2), ..Default::default() });
    GenerateImageRequest {
        prompt: prompt.to_owned(),
        seed: Some(seed),
        prior: options,
        decoder: options,
        upsampler: options,
        ..Default::default()
    }
}

async fn draw(server: &Server, request: GenerateImageRequest) -> GeneratedImage {
    generate(server, request).await.unwrap().images.remove(0)
}

/// Whether text encoding and prior came out of a cache.
fn cached(image: &GeneratedImage) -> [bool; 2] {
    let Receipt { stages, .. } = image.receipt.clone().unwrap();
    [Stage::TextEncoder, Stage::Prior]
        .map(|stage| stages.iter().any(|receipt| receipt.stage() == stage && receipt.cached))
}

/// How often text encoder and prior computed.
fn calls(cluster: &Cluster) -> [u64; 2] {
    [cluster.text_encoder.metrics().calls("EncodeText"), cluster.prior.metrics().calls("SamplePrior")]
}

async fn gateway_with(cluster: &Cluster, redis: &Redis, flags: &[&str]) -> Server {
    cluster.another_gateway(&[&["--redis", &redis.url()], flags].concat()).await
}

#[tokio::test]
async fn what_is_known_is_computed_by_nobody() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let gateway = gateway_with(&cluster, &cluster.redis, &PATIENT).await;
    let first = draw(&gateway, request("a fox", 1)).await;
    assert_eq!(cached(&first), [false; 2]);
    // The caption and the empty one, each in a call of its own.
    assert_eq!(calls(&cluster), [2, 1]);

    let again = draw(&gateway, request("a fox", 1)).await;
    assert_eq!((cached(&again), calls(&cluster)), ([true; 2], [2, 1]));
    assert_eq!(again.image, first.image);

    // Another seed needs the prior, another caption both.
    draw(&gateway, request("a fox", 2)).await;
    assert_eq!(calls(&cluster), [2, 2]);
    draw(&gateway, request("an owl", 1)).await;
    assert_eq!(calls(&cluster), [3, 3]);

    // Another process has an empty memory, but the same Redis.
    cluster.redis.holds(6).await;
    let other = gateway_with(&cluster, &cluster.redis, &PATIENT).await;
    let elsewhere = draw(&other, request("a fox", 1)).await;
    assert_eq!((cached(&elsewhere), calls(&cluster)), ([true; 2], [3, 3]));
    assert_eq!(elsewhere.image, first.image);
    let hits = other.metrics().sum("unclip_cache_requests_total", &[("source", "redis")]);
    assert!((hits - 3.0).abs() < 0.5, "{hits} answers came from Redis");
}

#[tokio::test]
async fn equal_requests_at_the_same_time_are_computed_once() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let draws = (0..4).map(|_| draw(&cluster.gateway, request("a fox", 1)));
    let mut draws: Vec<_> = draws.map(Box::pin).collect();
    let [a, b, c, d] = &mut draws[..] else { unreachable!("four requests") };
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    assert_eq!(calls(&cluster), [2, 1]);
    assert!([b, c, d].iter().all(|image| image.image == a.image));
}

#[tokio::test]
async fn a_redis_that_dies_costs_no_request() {
    let cluster = Cluster::shared("tiny").await;
    let mut redis = Redis::start();
    let gateway = gateway_with(&cluster, &redis, &["--redis-cooldown-ms", "1"]).await;
    let first = draw(&gateway, request("a cat", 1)).await;
    redis.kill();
    // Known in this process, unknown, and unknown to a process that has never seen Redis.
    assert_eq!(draw(&gateway, request("a cat", 1)).await.image, first.image);
    for seed in 2..6 {
        assert_eq!(cached(&draw(&gateway, request("a cat", seed)).await), [true, false]);
    }
    let other = gateway_with(&cluster, &redis, &[]).await;
    assert_eq!(draw(&other, request("a cat", 1)).await.image, first.image);
    assert!(gateway.metrics().sum("unclip_cache_redis_errors_total", &[]) >= 1.0);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_no_request() {
    let cluster = Cluster::shared("tiny").await;
    let redis = Redis::start();
    let gateway = gateway_with(&cluster, &redis, &["--redis-cooldown-ms", "1"]).await;
    let first = draw(&gateway, request("a dog", 1)).await;
    redis.freeze();
    for seed in 2..6 {
        assert_eq!(cached(&draw(&gateway, request("a dog", seed)).await), [true, false]);
    }
    let other = gateway_with(&cluster, &redis, &[]).await;
    assert_eq!(draw(&other, request("a dog", 1)).await.image, first.image);
    assert!(other.metrics().sum("unclip_cache_redis_errors_total", &[]) >= 1.0);
}

#[tokio::test]
async fn what_is_known_outlives_its_stage() {
    let mut cluster = Cluster::start("tiny", &CPU).await;
    let first = draw(&cluster.gateway, request("a fox", 1)).await;
    cluster.text_encoder.kill();
    cluster.prior.kill();
    let again = draw(&cluster.gateway, request("a fox", 1)).await;
    assert_eq!(again.image, first.image);
    let status = generate(&cluster.gateway, request("an owl", 1)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(status.message(), "the text encoder can't be reached; try again");
}

#[tokio::test]
async fn a_redis_url_that_can_not_work_stops_the_start_and_stays_secret() {
    for (url, problem) in [
        ("redis://:hunter2#x@127.0.0.1:6379", "percent-encode"),
        ("http://:hunter2@127.0.0.1", "give redis://"),
        ("redis-sentinel://:hunter2@127.0.0.1", "names no master"),
    ] {
        let log = Server::try_start("unclip-gateway", &["--redis", url]).await.err().unwrap();
        assert!(log.contains("--redis") && log.contains(problem), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}
