//! Gateways that share a real Redis.

use redis::aio::MultiplexedConnection;
use unclip_gateway::cache::{Cache, CacheConfig, RedisConfig, Source};

use crate::redis_server::RedisServer;
use crate::support::{
    HOUR, KIND, Metrics, Model, command, key, patient, remote, wait_for_entries, wait_until,
};

#[tokio::test]
async fn another_gateway_finds_what_one_computed() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let gateway = || {
        let config = CacheConfig { memory_bytes: 1 << 20, ttl: HOUR, redis: Some(patient(&server)) };
        Cache::new(config).unwrap()
    };
    let connection = server.connect().await;
    let (one, another) = (gateway(), gateway());
    assert_eq!(model.ask(&one, "a cat").await, Source::Computed);
    wait_for_entries(&connection, 1).await;
    assert_eq!(model.ask(&another, "a cat").await, Source::Redis);
    assert_eq!(model.ask(&another, "a cat").await, Source::Memory);
    assert_eq!(model.ask(&one, "a cat").await, Source::Memory);
    assert_eq!(model.calls(), 1);
    assert_eq!((metrics.requests("redis"), metrics.redis_errors()), (1, 0));
    assert!(!metrics.redis_is_skipped());
}

#[tokio::test]
async fn entries_have_the_prefix_and_the_time_to_live() {
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let prefix = "someone:".to_owned();
    let other = remote(RedisConfig { prefix, ..patient(&server) });
    for cache in [remote(patient(&server)), other] {
        assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    }
    wait_for_entries(&connection, 2).await;
    for prefix in ["unclip:", "someone:"] {
        let name = format!("{prefix}{KIND}:{}", key("a cat"));
        let seconds: u64 = command(&connection, &["TTL", &name]).await;
        assert!((1..=HOUR.as_secs()).contains(&seconds), "{name}: {seconds}");
    }
}

/// The value that Redis holds for "a cat", if any and if it is one in Redis's terms.
async fn stored(connection: &MultiplexedConnection) -> Option<Vec<u8>> {
    let get = redis::Cmd::get(name());
    get.query_async(&mut connection.clone()).await.unwrap_or(None)
}

fn name() -> String {
    format!("unclip:{KIND}:{}", key("a cat"))
}

#[tokio::test]
async fn a_damaged_value_is_a_miss_and_is_overwritten() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let cache = remote(patient(&server));
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    wait_for_entries(&connection, 1).await;
    let good = stored(&connection).await.unwrap();

    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let cut = good[..good.len() - 1].to_vec();
    for bad in [b"garbage".to_vec(), Vec::new(), flipped, cut] {
        let set = redis::Cmd::set(name(), &bad);
        let () = set.query_async(&mut connection.clone()).await.unwrap();
        assert_eq!(model.ask(&cache, "a cat").await, Source::Computed, "{bad:?}");
        let is_good = async || stored(&connection).await.as_ref() == Some(&good);
        wait_until(&connection, "overwritten", is_good).await;
        assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    }
    assert_eq!(metrics.redis_errors(), 0, "Redis did nothing wrong");
}

#[tokio::test]
async fn a_well_sealed_value_that_is_another_message_is_a_miss_and_is_overwritten() {
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let cache = remote(patient(&server));
    let not_utf8 = async { Ok((vec![0xff_u8], key("a cat"))) };
    cache.get_or_compute(KIND, key("a cat"), not_utf8).await.unwrap();
    wait_for_entries(&connection, 1).await;
    let foreign = stored(&connection).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    let is_another = async || stored(&connection).await != foreign;
    wait_until(&connection, "overwritten", is_another).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
}

#[tokio::test]
async fn a_list_in_the_place_of_a_value_is_a_miss_and_is_overwritten() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let cache = remote(patient(&server));
    let _: usize = command(&connection, &["RPUSH", &name(), "a", "b"]).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    let is_value = async || stored(&connection).await.is_some();
    wait_until(&connection, "overwritten", is_value).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    assert!(!metrics.redis_is_skipped());
}

#[tokio::test]
async fn a_very_large_value_stays_out() {
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let cache = remote(patient(&server));
    let large = "x".repeat(5 << 20);
    assert_eq!(model.ask(&cache, &large).await, Source::Computed);
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    wait_for_entries(&connection, 1).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    assert_eq!(model.ask(&cache, &large).await, Source::Computed);
}

#[tokio::test]
async fn a_full_redis_still_answers() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let cache = remote(patient(&server));
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    wait_for_entries(&connection, 1).await;
    let () = command(&connection, &["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(model.ask(&cache, "a dog").await, Source::Computed);
    // The write is refused behind the answer.
    wait_until(&connection, "refused", async || metrics.redis_errors() == 1).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    assert!(!metrics.redis_is_skipped());
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_no_failure() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let cache = remote(patient(&server));
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    wait_for_entries(&connection, 1).await;
    let closed: usize = command(&connection, &["CLIENT", "KILL", "TYPE", "normal"]).await;
    assert_eq!(closed, 1);
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    assert_eq!(metrics.redis_errors(), 0);
}
