//! Redis as operators set it up: users, databases, sockets, limits, commands of other names.

use std::time::Duration;

use unclip_gateway::cache::{RedisConfig, Source};

use crate::redis_server::RedisServer;
use crate::support::{
    KIND, Metrics, Model, command, key, patient, poll_until, remote, settle, shared_through,
    wait_for_entries, wait_until,
};

/// Every character that has a meaning in a URL.
const PASSWORD: &str = "p@ss#w/o:r%d?&=";
const ENCODED: &str = "p%40ss%23w%2Fo%3Ar%25d%3F%26%3D";

#[tokio::test]
async fn a_user_with_the_least_rights_is_enough() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let password = format!(">{PASSWORD}");
    let rights = ["on", &password, "~unclip:*", "+get", "+set"];
    let () = command(&connection, &[&["ACL", "SETUSER", "gateway"], &rights[..]].concat()).await;
    let () = command(&connection, &["ACL", "SETUSER", "default", "resetpass"]).await;
    let url = format!("redis://gateway:{ENCODED}@127.0.0.1:{}", server.port());
    shared_through(&model, &remote(RedisConfig { url, ..patient(&server) }), "a cat").await;
    assert_eq!(metrics.redis_errors(), 0);
}

#[tokio::test]
async fn a_user_who_may_only_read_reads() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    shared_through(&model, &remote(patient(&server)), "a cat").await;
    let () = command(&connection, &["ACL", "SETUSER", "reader", "on", "nopass", "~unclip:*", "+get"]).await;
    let url = format!("redis://reader:any@127.0.0.1:{}", server.port());
    let cache = remote(RedisConfig { url, ..patient(&server) });
    assert_eq!(model.ask(&cache, "a dog").await, Source::Computed);
    wait_until(&connection, "refused", async || metrics.redis_errors() == 1).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    assert!(!metrics.redis_is_skipped());
}

#[tokio::test]
async fn a_password_alone_and_a_database_work() {
    let model = Model::default();
    let server = RedisServer::start_with(&["--requirepass", PASSWORD]);
    let connection = server.connect_with_password(PASSWORD).await;
    let url = format!("redis://:{ENCODED}@127.0.0.1:{}/5", server.port());
    shared_through(&model, &remote(RedisConfig { url, ..patient(&server) }), "a cat").await;
    let () = command(&connection, &["SELECT", "5"]).await;
    wait_for_entries(&connection, 1).await;
}

#[tokio::test]
async fn no_password_or_a_wrong_one_costs_no_request() {
    let metrics = Metrics::record();
    let model = Model::default();
    let server = RedisServer::start_with(&["--requirepass", PASSWORD]);
    for user in ["", ":wrong@", "nobody:wrong@"] {
        let url = format!("redis://{user}127.0.0.1:{}", server.port());
        let cache = remote(RedisConfig { url, ..patient(&server) });
        assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
        settle().await;
        assert!(metrics.redis_is_skipped(), "{user}");
    }
}

#[tokio::test]
async fn a_unix_socket_works() {
    let metrics = Metrics::record();
    let (folder, model) = (tempfile::tempdir().unwrap(), Model::default());
    let socket = folder.path().join("redis.sock");
    let server = RedisServer::start_with(&["--unixsocket", socket.to_str().unwrap(), "--port", "0"]);
    for scheme in ["unix", "redis+unix"] {
        let url = format!("{scheme}://{}?db=2", socket.display());
        shared_through(&model, &remote(RedisConfig { url, ..patient(&server) }), "a cat").await;
    }
    assert_eq!(metrics.redis_errors(), 0);
}

#[tokio::test]
async fn a_database_that_does_not_exist_costs_no_request() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let url = format!("redis://127.0.0.1:{}/99", server.port());
    let cache = remote(RedisConfig { url, ..patient(&server) });
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    assert!(metrics.redis_is_skipped());
}

#[tokio::test]
async fn a_redis_without_its_replicas_still_answers() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let cache = remote(patient(&server));
    shared_through(&model, &cache, "a cat").await;
    let () = command(&connection, &["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    assert_eq!(model.ask(&cache, "a dog").await, Source::Computed);
    wait_until(&connection, "refused", async || metrics.redis_errors() == 1).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    assert!(!metrics.redis_is_skipped());
    let () = command(&connection, &["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    shared_through(&model, &cache, "a dog").await;
}

#[tokio::test]
async fn a_command_of_another_name_stops_only_what_needs_it() {
    let metrics = Metrics::record();
    let model = Model::default();
    let (full, server) =
        (RedisServer::start(), RedisServer::start_with(&["--rename-command", "SET", "HIDDEN"]));
    shared_through(&model, &remote(patient(&full)), "a cat").await;
    let name = format!("unclip:{KIND}:{}", key("a cat"));
    let value: Vec<u8> = command(&full.connect().await, &["GET", &name]).await;
    let connection = server.connect().await;
    let mut set = redis::cmd("HIDDEN");
    let () = set.arg(&name).arg(value).query_async(&mut connection.clone()).await.unwrap();

    let cache = remote(patient(&server));
    assert_eq!(model.ask(&cache, "a dog").await, Source::Computed);
    wait_until(&connection, "refused", async || metrics.redis_errors() == 1).await;
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    assert!(!metrics.redis_is_skipped());
}

#[tokio::test]
async fn a_redis_that_takes_no_more_clients_is_skipped_until_it_does() {
    let metrics = Metrics::record();
    let (server, model) = (RedisServer::start(), Model::default());
    let connection = server.connect().await;
    let () = command(&connection, &["CONFIG", "SET", "maxclients", "1"]).await;
    let cache = remote(RedisConfig { cooldown: Duration::ZERO, ..patient(&server) });
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    poll_until("noticed", async || metrics.redis_is_skipped()).await;
    let () = command(&connection, &["CONFIG", "SET", "maxclients", "100"]).await;
    shared_through(&model, &cache, "a cat").await;
    assert!(!metrics.redis_is_skipped());
}
