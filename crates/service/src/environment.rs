//! Variables that native libraries read, and that must be as unclip needs them before those libraries are loaded.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::shutdown;

/// A variable, its value, and whether another value that somebody has set may stay; blank is unset.
///
/// libgomp reads its own when it is loaded, before `main`. Unless OpenMP threads sleep while they wait, every thread that
/// runs a network keeps a pool that spins between operations, and takes the cores from the pools of the other networks.
/// ONNX Runtime's keeps it from writing a device id under the user's cache folder and from calling its maker.
const VARIABLES: [(&str, &str, bool); 2] =
    [("OMP_WAIT_POLICY", "PASSIVE", true), ("ORT_DISABLE_TELEMETRY", "1", false)];

/// Starts this program again with these variables, unless they are set. The first thing that `main` does: a variable can't
/// be set safely once there are threads.
pub fn settle_environment() {
    let missing: Vec<_> = VARIABLES
        .into_iter()
        .filter(|(name, value, may_stay)| match std::env::var_os(name) {
            Some(found) if !found.is_empty() => !may_stay && found != OsStr::new(value),
            _ => true,
        })
        .map(|(name, value, _)| (name, value))
        .collect();
    if missing.is_empty() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    shutdown::hold();
    // `exec` returns only when it fails; then this process goes on as it is.
    let _ = command.args(arguments).envs(missing).exec();
}
