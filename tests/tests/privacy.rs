//! Nothing leaves the machine or the working folder unasked: programs run under strace, with a home of their own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use unclip_tests::{Checkpoint, program, run_in, scratch, send_signal, wait_for};

/// Calls by which a process could send something, or leave a file.
const CALLS: &str = "trace=network,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat";

const QUICK: [&str; 6] = ["--prior-steps", "2", "--decoder-steps", "2", "--upsampler-steps", "2"];

/// A program under strace, in a folder of its own, with a home of its own.
struct Traced {
    folder: TempDir,
    home: TempDir,
    log: TempDir,
}

impl Traced {
    fn new() -> Self {
        Self { folder: scratch(), home: scratch(), log: scratch() }
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("strace");
        // -D: the program is our child, and strace watches it from aside.
        command.args(["-D", "-f", "-q", "-s", "256", "-e", CALLS, "-o"]).arg(self.log_path());
        command.arg(program(name)).args(arguments).current_dir(self.folder.path());
        // What `cargo test` sets for tests must not be what keeps the programs quiet.
        for variable in ["ORT_DISABLE_TELEMETRY", "OMP_WAIT_POLICY"] {
            command.env_remove(variable);
        }
        command.env("HOME", self.home.path());
        for folder in ["CACHE_HOME", "CONFIG_HOME", "DATA_HOME", "STATE_HOME", "RUNTIME_DIR"] {
            command.env(format!("XDG_{folder}"), self.home.path().join(folder));
        }
        command.stdin(Stdio::null());
        command
    }

    fn log_path(&self) -> PathBuf {
        self.log.path().join("calls")
    }

    /// The calls, once strace has written the last of process `id`.
    async fn calls(&self, id: u32) -> Vec<String> {
        let is_end = |line: &str| line.starts_with(&format!("{id} ")) && line.contains("+++ exited");
        wait_for("strace to finish", async || {
            let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
            text.lines().any(is_end).then(|| text.lines().map(str::to_owned).collect())
        })
        .await
    }

    /// Holds when only loopback was spoken to, no name was looked up, and nothing was written outside the folder.
    async fn assert_private(&self, id: u32) {
        let calls = self.calls(id).await;
        let loaded = calls.iter().any(|call| call.contains("libonnxruntime.so") && !call.contains("ENOENT"));
        assert!(loaded, "ONNX Runtime was not loaded, so this shows nothing");
        let bad: BTreeSet<_> = calls.iter().filter(|call| leaves(call, &self.folder)).collect();
        assert!(bad.is_empty(), "{bad:#?}");
        let left: Vec<_> = self.home.path().read_dir().unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Whether a call speaks to another machine, looks up a name, or makes something outside the folder.
fn leaves(call: &str, folder: &TempDir) -> bool {
    let lookup = ["/etc/resolv.conf", "nscd/socket", "systemd/resolve", "/etc/hosts"];
    if lookup.iter().any(|sign| call.contains(sign)) {
        return true;
    }
    if call.contains("sa_family=AF_INET") {
        return !["inet_addr(\"127.0.0.1\")", "inet_pton(AF_INET6, \"::1\""]
            .iter()
            .any(|own| call.contains(own));
    }
    let makes =
        ["O_CREAT", "creat(", "mkdir", "rename", "link(", "linkat("].iter().any(|sign| call.contains(sign));
    // Paths are relative to the working folder, or lie in it.
    let outside = call.contains("\"/") && !call.contains(folder.path().to_str().unwrap());
    makes && outside && !call.contains("readlink")
}

#[tokio::test]
async fn drawing_writes_its_picture_and_nothing_else() {
    let (traced, checkpoint) = (Traced::new(), Checkpoint::new());
    let bundle = traced.folder.path().join("bundle");
    unclip_tests::copy_folder(checkpoint.root(), &bundle);
    let own = ["generate", "--bundle", "bundle", "--prompt", "a fox", "--seed", "1", "-o", "fox.png"];
    let mut child =
        traced.command("unclip", &[&own[..], &QUICK].concat()).stdout(Stdio::null()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(traced.folder.path().join("fox.png").is_file());
    traced.assert_private(child.id()).await;
}

/// The address that a server logs.
fn address(child: &mut Child) -> String {
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if line["message"] == "serving" {
            return line["address"].as_str().unwrap().to_owned();
        }
    }
    panic!("the server ended")
}

#[tokio::test]
async fn serving_speaks_to_its_clients_and_nobody_else() {
    let (traced, checkpoint) = (Traced::new(), Checkpoint::new());
    checkpoint.import().assert_done();
    let bundle = traced.folder.path().join("bundle");
    unclip_tests::copy_folder(checkpoint.root(), &bundle);
    let serve = ["serve", "--bundle", "bundle", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut child = traced.command("unclip", &serve).stderr(Stdio::piped()).spawn().unwrap();
    let url = format!("http://{}", address(&mut child));
    let folder = scratch();
    let draw = ["generate", "--endpoint", &url, "--prompt", "a fox", "--seed", "1"];
    run_in(folder.path(), "unclip", &[&draw[..], &QUICK].concat()).assert_done();
    // Telemetry is sent, at the latest, when a process ends.
    send_signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
    traced.assert_private(child.id()).await;
}

#[tokio::test]
async fn the_encoders_keep_to_themselves() {
    for name in ["unclip-text-encoder", "unclip-image-encoder"] {
        let (traced, checkpoint) = (Traced::new(), Checkpoint::new());
        checkpoint.import().assert_done();
        let bundle: &Path = &traced.folder.path().join("bundle");
        unclip_tests::copy_folder(checkpoint.root(), bundle);
        let serve = ["--bundle", "bundle", "--listen", "127.0.0.1:0", "--log-format", "json"];
        let mut child = traced.command(name, &serve).stderr(Stdio::piped()).spawn().unwrap();
        address(&mut child);
        send_signal(child.id(), "TERM");
        assert!(child.wait().unwrap().success());
        traced.assert_private(child.id()).await;
    }
}
