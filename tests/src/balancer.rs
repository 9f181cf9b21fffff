//! A balancer of connections in front of replicas, as a cluster has it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// More bytes than an HTTP/2 client sends before its first request.
const GREETING: usize = 150;

/// Gives each new connection to the first replica that takes it.
pub struct Balancer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

struct State {
    replicas: Vec<SocketAddr>,
    /// Connections to drop as soon as they have brought a request.
    losses: u32,
    /// Connections that are open.
    open: JoinSet<()>,
}

impl Balancer {
    /// In front of these replicas.
    pub async fn start(replicas: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            Arc::new(Mutex::new(State { replicas: replicas.to_vec(), losses: 0, open: JoinSet::new() }));
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Self { address, state, accepting }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on new connections go to these replicas.
    pub fn route_to(&self, replicas: &[SocketAddr]) {
        self.state.lock().unwrap().replicas = replicas.to_vec();
    }

    /// Breaks all connections, and so many of the next ones once they have brought a request: what a replica does that dies
    /// with a request that it has not read.
    pub fn lose(&self, connections: u32) {
        let mut state = self.state.lock().unwrap();
        state.losses = connections;
        state.open.abort_all();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((client, _)) = listener.accept().await {
        let passing = pass(client, state.clone());
        state.lock().unwrap().open.spawn(passing);
    }
}

async fn pass(mut client: TcpStream, state: Arc<Mutex<State>>) {
    let (replicas, lose) = {
        let mut state = state.lock().unwrap();
        let lose = state.losses > 0;
        state.losses = state.losses.saturating_sub(1);
        (state.replicas.clone(), lose)
    };
    if lose {
        let _ = client.read_exact(&mut [0; GREETING + 1]).await;
        return;
    }
    for replica in replicas {
        if let Ok(mut server) = TcpStream::connect(replica).await {
            // Either side may hang up.
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
