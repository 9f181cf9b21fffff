//! What the tests share: a model that counts its calls, caches, and metrics of one test alone.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use redis::aio::MultiplexedConnection;
use unclip_gateway::cache::{Cache, CacheConfig, CacheKey, RedisConfig, Source};
use unclip_service::Error;

use crate::redis_server::RedisServer;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const KIND: &str = "text";

/// Stands for a stage. Its answer to a text is the text with "!".
#[derive(Clone, Default)]
pub(crate) struct Model(Arc<AtomicUsize>);

impl Model {
    pub(crate) fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn compute(
        &self,
        text: &str,
    ) -> impl Future<Output = Result<(String, CacheKey), Error>> + Send + 'static {
        let (calls, answer, key) = (Arc::clone(&self.0), format!("{text}!"), key(text));
        async move {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok((answer, key))
        }
    }

    /// Asks the cache for the answer to a text, checks it, and says where it came from.
    pub(crate) async fn ask(&self, cache: &Cache, text: &str) -> Source {
        let answer = cache.get_or_compute(KIND, key(text), self.compute(text)).await;
        let (answer, source) = answer.unwrap();
        assert_eq!(answer, format!("{text}!"));
        source
    }
}

pub(crate) fn key(text: &str) -> CacheKey {
    CacheKey::builder().field("text", text).finish()
}

/// A cache in this process alone.
pub(crate) fn local(memory_bytes: u64) -> Cache {
    let config = CacheConfig { memory_bytes, ttl: HOUR, redis: None };
    Cache::new(config).unwrap()
}

/// A cache with Redis and no memory, so that every request gets to Redis.
pub(crate) fn remote(redis: RedisConfig) -> Cache {
    let config = CacheConfig { memory_bytes: 0, ttl: HOUR, redis: Some(redis) };
    Cache::new(config).unwrap()
}

/// Redis as these tests use it: with time for a machine that is busy, and given up for good after a failure.
pub(crate) fn patient(server: &RedisServer) -> RedisConfig {
    RedisConfig { timeout: Duration::from_secs(30), cooldown: HOUR, ..RedisConfig::new(server.url()) }
}

/// Sends a command on a connection of the test's own.
pub(crate) async fn command<T: redis::FromRedisValue>(
    connection: &MultiplexedConnection,
    words: &[&str],
) -> T {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.query_async(&mut connection.clone()).await.unwrap()
}

/// Stores happen behind the answer: asks `condition` until it holds. Every try is a round trip to Redis, so that time passes.
pub(crate) async fn wait_until(
    connection: &MultiplexedConnection,
    what: &str,
    condition: impl AsyncFn() -> bool,
) {
    for _ in 0..100_000 {
        if condition().await {
            return;
        }
        let _: String = command(connection, &["PING"]).await;
    }
    panic!("it never was {what}");
}

/// As [`wait_until`], without a Redis to ask.
pub(crate) async fn poll_until(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..12_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never was {what}");
}

/// Has the cache store the answer to a text, and waits until it gets it back from Redis.
pub(crate) async fn shared_through(model: &Model, cache: &Cache, text: &str) {
    poll_until("shared", async || model.ask(cache, text).await == Source::Redis).await;
}

/// Waits until Redis holds so many entries.
pub(crate) async fn wait_for_entries(connection: &MultiplexedConnection, count: usize) {
    let stored = async || command::<usize>(connection, &["DBSIZE"]).await == count;
    wait_until(connection, "stored", stored).await;
}

/// Lets every task of this single-threaded runtime get as far as it can.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// What this test's thread, on which its whole runtime runs, has recorded.
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    _guard: LocalRecorderGuard<'static>,
}

impl Metrics {
    pub(crate) fn record() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let guard = metrics::set_default_local_recorder(Box::leak(Box::new(recorder)));
        Self { handle, _guard: guard }
    }

    /// A metric by its name and labels, as Prometheus writes them. 0 when it was never touched.
    pub(crate) fn get(&self, name: &str) -> u64 {
        let text = self.handle.render();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    pub(crate) fn requests(&self, source: &str) -> u64 {
        self.get(&format!("unclip_cache_requests_total{{kind=\"{KIND}\",source=\"{source}\"}}"))
    }

    pub(crate) fn redis_errors(&self) -> u64 {
        self.get("unclip_cache_redis_errors_total")
    }

    pub(crate) fn redis_is_skipped(&self) -> bool {
        self.get("unclip_cache_redis_open") == 1
    }
}
