//! A real redis-server.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::process::{free_address, send_signal};
use crate::wait::wait_for;

/// Runs until it is dropped, on a port that was free.
pub struct Redis {
    address: SocketAddr,
    child: Child,
    /// Kept open, so that the server can go on writing its log.
    _log: BufReader<ChildStdout>,
}

impl Redis {
    /// Starts a server and waits until it takes connections.
    pub fn start() -> Self {
        // Between the choice of a port and the start somebody else may take it.
        (0..10)
            .find_map(|_| Self::launch(free_address()))
            .unwrap_or_else(|| panic!("redis-server did not start on any of 10 free ports"))
    }

    fn launch(address: SocketAddr) -> Option<Self> {
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| match error.kind() {
                ErrorKind::NotFound => panic!("redis-server is not installed; run `make setup-tests`"),
                _ => panic!("redis-server can't be run: {error}"),
            });
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut lines = log.by_ref().lines().map_while(Result::ok);
        let ready = lines.any(|line| line.contains("Ready to accept connections"));
        let server = Self { address, child, _log: log };
        ready.then_some(server)
    }

    /// As the gateway's flag wants it.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Ends the process as a crash would. What it held is lost.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The process stops answering but keeps its connections.
    pub fn freeze(&self) {
        send_signal(self.child.id(), "STOP");
    }

    /// Waits until it holds so many entries: gateways store behind their answers.
    pub async fn holds(&self, entries: usize) {
        let expected = format!(":{entries}\r\n");
        wait_for(&format!("{entries} entries in Redis"), async || (self.size() == expected).then_some(()))
            .await;
    }

    /// The reply to DBSIZE, as it is on the wire.
    fn size(&self) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"DBSIZE\r\nQUIT\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply.trim_end_matches("+OK\r\n").to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
