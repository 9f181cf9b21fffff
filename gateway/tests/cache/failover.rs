//! A master that becomes a replica keeps its connections and answers READONLY for ever: it has to be left.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::net::{TcpListener, TcpStream};
use unclip_gateway::cache::{RedisConfig, Source};

use crate::redis_server::{RedisServer, free_port};
use crate::support::{
    KIND, Metrics, Model, command, key, patient, poll_until, remote, shared_through, wait_until,
};

/// An address that leads to one server or another, as a Service of Kubernetes or a floating IP does.
struct Moving {
    address: SocketAddr,
    target: Arc<AtomicU16>,
}

impl Moving {
    async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(AtomicU16::new(server.port()));
        let now = Arc::clone(&target);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", now.load(Ordering::SeqCst))).await;
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server?).await });
            }
        });
        Self { address, target }
    }

    /// What connects from now on gets there; connections that exist stay.
    fn lead_to(&self, server: &RedisServer) {
        self.target.store(server.port(), Ordering::SeqCst);
    }
}

async fn has(connection: &MultiplexedConnection, text: &str) -> bool {
    command(connection, &["EXISTS", &format!("unclip:{KIND}:{}", key(text))]).await
}

async fn make_replica(replica: &MultiplexedConnection, master: &RedisServer) {
    let () = command(replica, &["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    poll_until("linked", async || {
        let info: String = command(replica, &["INFO", "replication"]).await;
        info.contains("master_link_status:up")
    })
    .await;
}

#[tokio::test]
async fn a_demoted_master_is_left_for_its_successor() {
    let metrics = Metrics::record();
    let (old, new, model) = (RedisServer::start(), RedisServer::start(), Model::default());
    let moving = Moving::to(&old).await;
    let cache = remote(RedisConfig { url: format!("redis://{}", moving.address), ..patient(&old) });
    shared_through(&model, &cache, "a cat").await;

    make_replica(&old.connect().await, &new).await;
    moving.lead_to(&new);
    // The old one answers what it knows. The first write finds out.
    assert_eq!(model.ask(&cache, "a dog").await, Source::Computed);
    let connection = new.connect().await;
    wait_until(&connection, "stored at the new master", async || has(&connection, "a dog").await).await;
    shared_through(&model, &cache, "a dog").await;
    assert_eq!(metrics.redis_errors(), 0, "nothing failed");
}

#[tokio::test]
async fn a_replica_for_good_is_read_from_and_not_asked_anew_at_every_write() {
    let metrics = Metrics::record();
    let (master, replica, model) = (RedisServer::start(), RedisServer::start(), Model::default());
    shared_through(&model, &remote(patient(&master)), "a cat").await;
    let connection = replica.connect().await;
    make_replica(&connection, &master).await;
    wait_until(&connection, "copied", async || has(&connection, "a cat").await).await;

    let cache = remote(patient(&replica));
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    let links = async || -> u64 {
        let info: String = command(&connection, &["INFO", "stats"]).await;
        let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().parse().unwrap()
    };
    let before = links().await;
    for number in 1..=20 {
        assert_eq!(model.ask(&cache, &format!("text {number}")).await, Source::Computed);
        wait_until(&connection, "refused", async || metrics.redis_errors() == number).await;
    }
    assert_eq!(links().await - before, 1, "one new link for twenty writes");
    assert_eq!(model.ask(&cache, "a cat").await, Source::Redis);
    assert!(!metrics.redis_is_skipped());
}

/// Sentinels write into their configuration.
fn sentinel(master: &RedisServer, password: &str) -> (RedisServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.conf");
    let port = master.port();
    let text = format!("sentinel monitor mymaster 127.0.0.1 {port} 1\nrequirepass {password}\n");
    std::fs::write(&file, text).unwrap();
    (RedisServer::start_sentinel(&file), folder)
}

#[tokio::test]
async fn sentinels_are_asked_for_the_master_before_and_after_a_failover() {
    let metrics = Metrics::record();
    let (master, replica, model) = (RedisServer::start(), RedisServer::start(), Model::default());
    make_replica(&replica.connect().await, &master).await;
    let password = "of-the-sentinels";
    let (sentinel, _folder) = sentinel(&master, password);
    let nobody = free_port();
    let cache = remote(RedisConfig {
        // The first Sentinel is down.
        url: format!(
            "redis-sentinel://127.0.0.1:{nobody},127.0.0.1:{}/mymaster/3?sentinel_password={password}",
            sentinel.port()
        ),
        cooldown: Duration::ZERO,
        ..patient(&master)
    });
    shared_through(&model, &cache, "a cat").await;
    let in_use: String = command(&master.connect().await, &["INFO", "keyspace"]).await;
    assert!(in_use.contains("db3:keys=1"), "{in_use}");

    let asked = sentinel.connect_with_password(password).await;
    poll_until("failed over", async || {
        let begun = redis::cmd("SENTINEL").arg("FAILOVER").arg("mymaster").to_owned();
        let begun: Result<String, _> = begun.query_async(&mut asked.clone()).await;
        begun.is_ok()
    })
    .await;
    poll_until("the master", async || {
        // Sentinels close the connections of servers whose role they change.
        let Ok(mut connection) = replica.try_connect().await else { return false };
        let role = redis::cmd("ROLE").query_async(&mut connection).await;
        role.is_ok_and(|role: Vec<redis::Value>| role[0] == redis::Value::BulkString(b"master".to_vec()))
    })
    .await;
    let successor = replica.connect().await;
    let () = command(&successor, &["SELECT", "3"]).await;
    poll_until("stored at the new master", async || {
        model.ask(&cache, "a dog").await;
        has(&successor, "a dog").await
    })
    .await;
    shared_through(&model, &cache, "a dog").await;
    assert!(!metrics.redis_is_skipped());
}
