//! A real redis-server for one test.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};

/// Runs until it is dropped, on a port that was free.
pub(crate) struct RedisServer {
    port: u16,
    child: Child,
    /// Kept open, so that the server can go on writing its log.
    _log: BufReader<ChildStdout>,
}

impl RedisServer {
    /// Starts a server and waits until it takes connections.
    pub(crate) fn start() -> Self {
        // Between the choice of a port and the start somebody else may take it.
        (0..10)
            .find_map(|_| Self::launch(free_port()))
            .unwrap_or_else(|| panic!("redis-server did not start on any of 10 free ports"))
    }

    /// `None` when the server ends before it is ready.
    fn launch(port: u16) -> Option<Self> {
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| match error.kind() {
                ErrorKind::NotFound => panic!("redis-server is not installed; run `make setup-tests`"),
                _ => panic!("redis-server can't be run: {error}"),
            });
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let ready = log
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("Ready to accept connections"));
        let mut server = Self { port, child, _log: log };
        if !ready {
            server.kill();
        }
        ready.then_some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Ends the process as a crash would. What it held is lost.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts an empty server in the place of one that was killed.
    pub(crate) fn start_again(&mut self) {
        *self = Self::launch(self.port).unwrap_or_else(|| panic!("port {} is taken", self.port));
    }

    /// The process stops answering but keeps its connections.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// The process goes on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(status.success(), "{command}");
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).unwrap();
        let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
