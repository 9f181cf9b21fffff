//! ONNX Runtime keeps to itself, also in a program that did nothing to make it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

mod common;

use std::process::Command;

/// Says to the same test in a process of its own that it is that process.
const INNER: &str = "UNCLIP_TEST_INNER";

#[test]
fn nothing_is_written_into_a_home() {
    if std::env::var_os(INNER).is_some() {
        let copy = common::imported("tiny");
        unclip_clip::TextTower::load(&copy.bundle, 1).unwrap().encode(&["a fox"]).unwrap();
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "nothing_is_written_into_a_home"]).env(INNER, "1").env("HOME", home.path());
    for variable in ["ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let left: Vec<_> = home.path().read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
