//! Variables that native libraries read, and that must be as unclip needs them before those libraries are loaded.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::shutdown;

/// A variable, its value, and whether another value that somebody has set may stay; blank is unset.
///
/// libgomp reads its own when it is loaded, before `main`. Unless OpenMP threads sleep while they wait, every thread that
/// runs a network keeps a pool that spins between operations, and takes the cores from the pools of the other networks.
/// ONNX Runtime's keeps it from writing a device id under the user's cache folder and from calling its maker. cuDNN would
/// round the inputs of f32 convolutions to TF32's 10 bits: f32 means f32 here, and TF32 is for those who ask for it.
const VARIABLES: [(&str, &str, bool); 3] = [
    ("OMP_WAIT_POLICY", "PASSIVE", true),
    ("ORT_DISABLE_TELEMETRY", "1", false),
    ("NVIDIA_TF32_OVERRIDE", "0", true),
];

/// Flags whose value may hold a password, and the variable that says the same: every user of a machine can read a
/// process's arguments, its environment only its own.
const SECRET_FLAGS: [(&str, &str); 1] = [("--redis", "UNCLIP_REDIS")];

/// Starts this program again with these variables, unless they are set, and without secrets among its arguments. The
/// first thing that `main` does: a variable can't be set safely once there are threads.
pub fn settle_environment() {
    let missing = VARIABLES
        .into_iter()
        .filter(|(name, value, may_stay)| match std::env::var_os(name) {
            Some(found) if !found.is_empty() => !may_stay && found != OsStr::new(value),
            _ => true,
        })
        .map(|(name, value, _)| (name, value.into()));
    let (arguments, secrets) = without_secrets(std::env::args_os());
    let variables: Vec<(&str, OsString)> = missing.chain(secrets).collect();
    if variables.is_empty() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = arguments.into_iter();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    shutdown::hold();
    // `exec` returns only when it fails; then this process goes on as it is.
    let _ = command.args(arguments).envs(variables).exec();
}

/// The arguments with `$VARIABLE` in the place of values that carry credentials, and these as variables.
fn without_secrets(
    arguments: impl IntoIterator<Item = OsString>,
) -> (Vec<OsString>, Vec<(&'static str, OsString)>) {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut secrets = Vec::new();
    for (flag, variable) in SECRET_FLAGS {
        // One that is given twice is refused later, whatever its values are.
        let Some(at) = (1..arguments.len()).find(|at| is_flag(&arguments[*at], flag)) else { continue };
        let joined = arguments[at].to_str().and_then(|text| text.split_once('='));
        let value = joined.map(|(_, value)| value.into()).or_else(|| arguments.get(at + 1).cloned());
        let words = if joined.is_some() { 1 } else { 2 };
        if let Some(value) = value.filter(|value| may_be_secret(value)) {
            arguments.splice(at..at + words, [format!("{flag}=${variable}").into()]);
            secrets.push((variable, value));
        }
    }
    (arguments, secrets)
}

/// A flag's value, which is a variable's where [`settle_environment`] has put it there.
pub fn resolve_secret(value: &str) -> String {
    let variable = SECRET_FLAGS.iter().find(|(_, variable)| value.strip_prefix('$') == Some(variable));
    variable.and_then(|(_, variable)| std::env::var(variable).ok()).unwrap_or_else(|| value.to_owned())
}

/// Whether a URL may hold credentials: before its host, or as parameters.
fn may_be_secret(url: &OsStr) -> bool {
    let url = url.to_string_lossy();
    url.contains('@') || url.contains("pass")
}

/// Whether an argument is `flag` or `flag=...`.
fn is_flag(argument: &OsStr, flag: &str) -> bool {
    let rest = argument.to_str().and_then(|text| text.strip_prefix(flag));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(line: &str) -> (String, Vec<(&'static str, OsString)>) {
        let (arguments, secrets) = without_secrets(line.split(' ').map(OsString::from));
        (arguments.join(OsStr::new(" ")).into_string().unwrap(), secrets)
    }

    #[test]
    fn credentials_leave_the_arguments() {
        let url = "redis://user:word@host/0";
        for given in [format!("gateway --redis {url} --json"), format!("gateway --redis={url} --json")] {
            let (left, secrets) = moved(&given);
            assert_eq!(left, "gateway --redis=$UNCLIP_REDIS --json");
            assert_eq!(secrets, [("UNCLIP_REDIS", OsString::from(url))]);
            assert_eq!(moved(&left), (left.clone(), Vec::new()), "once is enough");
        }
    }

    #[test]
    fn other_arguments_stay_as_they_are() {
        for line in [
            "gateway --redis redis://host/0",
            "gateway --redis",
            "gateway --redis-timeout-ms 5 x@y",
            "unclip generate --prompt a@b",
        ] {
            assert_eq!(moved(line), (line.to_owned(), Vec::new()));
        }
    }
}
