//! Redis that is down, dies, hangs and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::net::TcpListener;
use unclip_gateway::cache::{Cache, RedisConfig, Source};

use crate::redis_server::RedisServer;
use crate::support::{HOUR, Metrics, Model, patient, remote, settle, wait_for_entries, wait_until};

/// Far more than a handful of timeouts take, far less than one for every request.
const GENEROUS: Duration = Duration::from_secs(60);

/// Requests for 200 texts, one after another and then all at once; none may come from Redis.
async fn many_requests_are_computed(model: &Model, cache: &Cache) {
    let texts: Vec<String> = (0..200).map(|number| format!("text {number}")).collect();
    for text in &texts {
        assert_eq!(model.ask(cache, text).await, Source::Computed);
    }
    let sources = join_all(texts.iter().map(|text| model.ask(cache, text))).await;
    assert!(sources.iter().all(|source| *source == Source::Computed));
    settle().await;
}

async fn ask_until_redis_answers(model: &Model, cache: &Cache, server: &RedisServer) {
    let from_redis = async || model.ask(cache, "a cat").await == Source::Redis;
    wait_until(&server.connect().await, "used", from_redis).await;
}

#[tokio::test]
async fn redis_that_is_down_at_the_start_fails_nothing() {
    let metrics = Metrics::record();
    let model = Model::default();
    // A port that is free now may be another test's server in a moment; a socket in an own directory stays missing.
    let directory = tempfile::tempdir().unwrap();
    let cache = remote(RedisConfig {
        cooldown: HOUR,
        ..RedisConfig::new(format!("redis+unix://{}/missing", directory.path().display()))
    });
    many_requests_are_computed(&model, &cache).await;
    assert_eq!(metrics.redis_errors(), 1, "one call found out, the others skipped Redis");
    assert!(metrics.redis_is_skipped());
}

#[tokio::test]
async fn redis_that_dies_is_skipped() {
    let metrics = Metrics::record();
    let (mut server, model) = (RedisServer::start(), Model::default());
    let cache = remote(patient(&server));
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    wait_for_entries(&server.connect().await, 1).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    server.kill();
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    many_requests_are_computed(&model, &cache).await;
    assert_eq!(metrics.redis_errors(), 1);
    assert!(metrics.redis_is_skipped());
}

#[tokio::test]
async fn redis_that_comes_back_is_used_again() {
    let metrics = Metrics::record();
    let (mut server, model) = (RedisServer::start(), Model::default());
    // Every call after a failure is a probe.
    let cache = remote(RedisConfig { cooldown: Duration::ZERO, ..patient(&server) });
    ask_until_redis_answers(&model, &cache, &server).await;
    server.kill();
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    assert!(metrics.redis_is_skipped());
    server.start_again();
    ask_until_redis_answers(&model, &cache, &server).await;
    assert!(!metrics.redis_is_skipped());
}

#[tokio::test]
async fn redis_that_accepts_and_never_answers_costs_one_timeout() {
    let metrics = Metrics::record();
    let model = Model::default();
    let (url, connections) = silent_server().await;
    let cache =
        remote(RedisConfig { timeout: Duration::from_millis(50), cooldown: HOUR, ..RedisConfig::new(url) });
    let started = Instant::now();
    many_requests_are_computed(&model, &cache).await;
    assert_eq!(metrics.redis_errors(), 1);
    assert!(metrics.redis_is_skipped());
    assert!(connections.load(Ordering::SeqCst) <= 1);
    assert!(started.elapsed() < GENEROUS);
}

#[tokio::test]
async fn redis_that_freezes_is_skipped_and_used_again_when_it_thaws() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let cache = remote(RedisConfig {
        timeout: Duration::from_millis(200),
        cooldown: Duration::ZERO,
        ..RedisConfig::new(server.url())
    });
    ask_until_redis_answers(&model, &cache, &server).await;
    server.freeze();
    let started = Instant::now();
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    assert!(started.elapsed() < GENEROUS);
    assert!(metrics.redis_is_skipped());
    server.thaw();
    ask_until_redis_answers(&model, &cache, &server).await;
    assert!(!metrics.redis_is_skipped());
}

/// Takes connections and says nothing. Returns its URL and how many came.
async fn silent_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    (url, connections)
}
