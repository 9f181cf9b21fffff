//! A cluster of three real nodes.

use redis::aio::MultiplexedConnection;
use unclip_gateway::cache::{Cache, RedisConfig, Source};

use crate::redis_server::{RedisServer, free_port};
use crate::support::{HOUR, Metrics, Model, command, patient, poll_until, remote, shared_through};

struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Three nodes that share the 16,384 slots.
    async fn start() -> Self {
        let cluster = Self { nodes: (0..3).map(|_| node()).collect() };
        let connections = cluster.connections().await;
        for (connection, (first, last)) in connections.iter().zip([(0, 5460), (5461, 10922), (10923, 16383)])
        {
            let [first, last] = [first, last].map(|slot: u32| slot.to_string());
            let () = command(connection, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
        }
        for node in &cluster.nodes[1..] {
            let bus = node.argument("--cluster-port");
            let port = node.port().to_string();
            let () = command(&connections[0], &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        for connection in &connections {
            poll_until("a cluster", async || {
                let info: String = command(connection, &["CLUSTER", "INFO"]).await;
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
            .await;
        }
        cluster
    }

    async fn connections(&self) -> Vec<MultiplexedConnection> {
        let mut connections = Vec::new();
        for node in &self.nodes {
            connections.push(node.connect().await);
        }
        connections
    }

    fn gateway(&self) -> Cache {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        remote(RedisConfig { url: format!("redis-cluster://{}", hosts.join(",")), ..patient(&self.nodes[0]) })
    }
}

fn node() -> RedisServer {
    RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()])
}

#[tokio::test]
async fn every_node_of_a_cluster_holds_its_share() {
    let metrics = Metrics::record();
    let (cluster, model) = (RedisCluster::start().await, Model::default());
    let (one, another) = (cluster.gateway(), cluster.gateway());
    for number in 0..30 {
        let text = format!("text {number}");
        shared_through(&model, &one, &text).await;
        assert_eq!(model.ask(&another, &text).await, Source::Redis);
    }
    for connection in cluster.connections().await {
        assert!(command::<usize>(&connection, &["DBSIZE"]).await > 0);
    }
    assert_eq!(metrics.redis_errors(), 0);
}

#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let metrics = Metrics::record();
    let (cluster, model) = (RedisCluster::start().await, Model::default());
    let (cache, connections) = (cluster.gateway(), cluster.connections().await);
    shared_through(&model, &cache, "a cat").await;
    // All slots of the first node go to the second, empty.
    let second: String = command(&connections[1], &["CLUSTER", "MYID"]).await;
    let () = command(&connections[0], &["FLUSHALL"]).await;
    for connection in [&connections[1], &connections[0], &connections[2]] {
        let mut moves = redis::pipe();
        for slot in 0..=5460 {
            moves.cmd("CLUSTER").arg("SETSLOT").arg(slot).arg("NODE").arg(&second).ignore();
        }
        let () = moves.query_async(&mut connection.clone()).await.unwrap();
    }
    for number in 0..30 {
        shared_through(&model, &cache, &format!("text {number}")).await;
    }
    assert_eq!(command::<usize>(&connections[0], &["DBSIZE"]).await, 0);
    assert_eq!(metrics.redis_errors(), 0);
}

#[tokio::test]
async fn a_cluster_that_is_taken_for_one_server_costs_no_request() {
    let metrics = Metrics::record();
    let (cluster, model) = (RedisCluster::start().await, Model::default());
    let cache = remote(RedisConfig { cooldown: HOUR, ..patient(&cluster.nodes[0]) });
    for number in 0..30 {
        assert_eq!(model.ask(&cache, &format!("text {number}")).await, Source::Computed);
    }
    assert!(metrics.redis_is_skipped());
}
