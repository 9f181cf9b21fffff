//! A real redis-server for one test.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisConnectionInfo, RedisResult};
use tempfile::TempDir;

/// Runs until it is dropped, on a port that was free.
pub(crate) struct RedisServer {
    port: u16,
    arguments: Vec<String>,
    child: Child,
    /// What it writes when it replicates or is told to; another server must not start with that.
    _folder: TempDir,
    /// Kept open, so that the server can go on writing its log.
    _log: BufReader<ChildStdout>,
}

impl RedisServer {
    /// Starts a server and waits until it takes connections.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments; `PORT` in them stands for the port. They may replace `--port` by `--tls-port`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Between the choice of a port and the start somebody else may take it.
        (0..10)
            .find_map(|_| Self::launch(free_port(), &[], arguments.clone()))
            .unwrap_or_else(|| panic!("redis-server did not start on any of 10 free ports"))
    }

    /// `None` when the server ends before it is ready.
    fn launch(port: u16, first: &[&str], arguments: Vec<String>) -> Option<Self> {
        let (number, folder) = (port.to_string(), tempfile::tempdir().unwrap());
        let mut child = Command::new("redis-server")
            .args(first)
            .args(["--bind", "127.0.0.1", "--port", &number, "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(folder.path())
            .args(arguments.iter().map(|argument| argument.replace("PORT", &number)))
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
            .any(|line| line.contains("eady to accept connections") || line.contains("+monitor master"));
        let mut server = Self { port, arguments, child, _folder: folder, _log: log };
        if !ready {
            server.kill();
        }
        ready.then_some(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
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
        let arguments = std::mem::take(&mut self.arguments);
        *self =
            Self::launch(self.port, &[], arguments).unwrap_or_else(|| panic!("port {} is taken", self.port));
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

    /// Starts a Sentinel with this configuration, to which it adds.
    pub(crate) fn start_sentinel(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        (0..10)
            .find_map(|_| {
                std::fs::write(file, &text).unwrap();
                Self::launch(free_port(), &[file.to_str().unwrap(), "--sentinel"], Vec::new())
            })
            .unwrap_or_else(|| panic!("no Sentinel started on any of 10 free ports"))
    }

    /// The value of an argument that the server was started with.
    pub(crate) fn argument(&self, name: &str) -> String {
        let place = self.arguments.iter().position(|argument| argument == name).unwrap();
        self.arguments[place + 1].clone()
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        self.try_connect().await.unwrap()
    }

    /// The same to a server that may close it at once.
    pub(crate) async fn try_connect(&self) -> RedisResult<MultiplexedConnection> {
        connect(self.url()).await
    }

    /// The same to a server with a password.
    pub(crate) async fn connect_with_password(&self, password: &str) -> MultiplexedConnection {
        let settings = RedisConnectionInfo::default().set_password(password);
        connect(self.url().into_connection_info().unwrap().set_redis_settings(settings)).await.unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn connect(to: impl IntoConnectionInfo) -> RedisResult<MultiplexedConnection> {
    let client = Client::open(to)?;
    let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&patient).await
}

/// A port that nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
