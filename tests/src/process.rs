//! A server as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::metrics::Metrics;
use crate::programs::program;
use crate::wait::wait_for;

/// Flags that make a stage compute as the goldens were made.
pub const CPU: [&str; 4] = ["--device", "cpu", "--dtype", "f32"];

/// Lines of a failed test's servers that are shown.
const SHOWN_LINES: usize = 40;

/// The largest message a server or client takes, as unclip's servers have it.
pub const MAX_MESSAGE_BYTES: usize = 72 << 20;

/// A running server. It is killed when it is dropped.
pub struct Server {
    name: String,
    child: Child,
    address: SocketAddr,
    metrics: SocketAddr,
    log: Log,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

/// Why a launch failed.
enum Failure {
    /// Somebody else took the port for metrics: worth another try.
    PortTaken,
    /// What the program wrote before it ended.
    Ended(String),
}

impl Server {
    /// Starts a program and waits until it says that it serves.
    ///
    /// # Panics
    /// It ends instead, or is not healthy in time.
    pub async fn start(name: &str, arguments: &[&str]) -> Self {
        match Self::try_start(name, arguments).await {
            Ok(server) => server,
            Err(log) => panic!("{name} did not start:\n{log}"),
        }
    }

    /// Another server in the place of this one, at its port: what a roll-out does. This one is killed first.
    pub async fn replace(&mut self, bundle: &Path, arguments: &[&str]) {
        self.kill();
        let listen = self.address.to_string();
        let arguments = [&stage_arguments(bundle)[..], arguments].concat();
        *self = match Self::try_start_at(&self.name.clone(), &listen, &arguments).await {
            Ok(server) => server,
            Err(log) => panic!("{} did not start again:\n{log}", self.name),
        };
    }

    /// As [`Server::start`] for a stage of the bundle at `bundle`, with one thread: several servers run on few cores.
    pub async fn stage(name: &str, bundle: &Path, arguments: &[&str]) -> Self {
        Self::start(name, &[&stage_arguments(bundle)[..], arguments].concat()).await
    }

    /// As [`Server::start`]. Without `--listen`, at a port of 127.0.0.1 that is free.
    ///
    /// # Errors
    /// What a program wrote to standard error that ended instead of serving.
    pub async fn try_start(name: &str, arguments: &[&str]) -> Result<Self, String> {
        Self::try_start_at(name, "127.0.0.1:0", arguments).await
    }

    async fn try_start_at(name: &str, listen: &str, arguments: &[&str]) -> Result<Self, String> {
        for _ in 0..10 {
            match Self::launch(name, listen, arguments).await {
                Ok(server) => return Ok(server),
                Err(Failure::PortTaken) => {}
                Err(Failure::Ended(log)) => return Err(log),
            }
        }
        panic!("no port for metrics was free in 10 tries")
    }

    async fn launch(name: &str, listen: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let metrics = free_address();
        let mut command = clean_command(name.split(' ').next().unwrap());
        let mut child = command
            .args(name.split(' ').skip(1))
            .args(if arguments.contains(&"--listen") { vec![] } else { vec!["--listen", listen] })
            .args(["--log-format", "json", "--metrics-listen", &metrics.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} can't be run: {error}"));
        let log = Log::default();
        let reader = log.clone().collect(child.stderr.take().unwrap());
        let started = wait_for(&format!("{name} to serve"), async || {
            log.address().map(Ok).or_else(|| child.try_wait().unwrap().map(Err))
        })
        .await;
        match started {
            Ok(address) => {
                let server = Self { name: name.to_owned(), child, address, metrics, log };
                server.healthy().await;
                Ok(server)
            }
            Err(_) => {
                reader.join().unwrap();
                let text = log.lines().join("\n");
                let taken = text.contains("--metrics-listen") && text.contains("can't be bound");
                Err(if taken { Failure::PortTaken } else { Failure::Ended(text) })
            }
        }
    }

    async fn healthy(&self) {
        let client = HealthClient::new(self.channel());
        wait_for(&format!("{} to be healthy", self.name), async || {
            let request = HealthCheckRequest { service: "readiness".to_owned() };
            let answer = client.clone().check(request).await.ok()?.into_inner();
            (answer.status() == ServingStatus::Serving).then_some(())
        })
        .await;
    }

    /// Where it serves gRPC.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as other programs' flags want it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A connection of this test's own, made at the first call.
    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url()).unwrap().connect_lazy()
    }

    /// What it counts now.
    pub fn metrics(&self) -> Metrics {
        Metrics::scrape(self.metrics)
    }

    /// What a list of processes shows of it.
    pub fn title(&self) -> String {
        let title = std::fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap();
        String::from_utf8_lossy(&title).replace('\0', " ")
    }

    /// The most memory that it has held so far, in bytes.
    ///
    /// # Panics
    /// The kernel does not say.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Sends a signal, as `TERM`.
    pub fn signal(&self, signal: &str) {
        send_signal(self.child.id(), signal);
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for(&format!("{} to end", self.name), async || child.try_wait().unwrap()).await
    }

    /// Whether a line of its log has this text.
    pub fn has_logged(&self, text: &str) -> bool {
        self.log.lines().iter().any(|line| line.contains(text))
    }

    /// Waits for a line of its log that has all these texts.
    pub async fn logged(&self, texts: &[&str]) {
        wait_for(&format!("{texts:?} in the log of {}", self.name), async || {
            let lines = self.log.lines();
            lines.iter().any(|line| texts.iter().all(|text| line.contains(text))).then_some(())
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already. A stopped process dies of SIGKILL too.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.log.lines();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("--- the end of the log of {}:\n{}", self.name, shown.join("\n"));
        }
    }
}

impl Log {
    fn collect(self, stderr: ChildStderr) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the line `serving` says.
    fn address(&self) -> Option<SocketAddr> {
        self.lines().iter().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["message"] == "serving").then(|| line["address"].as_str()?.parse().ok())?
        })
    }
}

fn stage_arguments(bundle: &Path) -> [&str; 4] {
    ["--bundle", bundle.to_str().unwrap(), "--threads", "1"]
}

/// A command of a program that reads none of the caller's settings but where ONNX Runtime is.
pub(crate) fn clean_command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("UNCLIP_") && text != "UNCLIP_ONNXRUNTIME" {
            command.env_remove(&variable);
        }
    }
    command
}

/// Sends a signal, as `TERM`, to a process.
pub fn send_signal(process: u32, signal: &str) {
    let command = format!("kill -{signal} {process}");
    let status = Command::new("sh").args(["-c", &command]).status().unwrap();
    assert!(status.success(), "{command}");
}

/// An address that nobody listens at, at the moment.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}
