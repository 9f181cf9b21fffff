//! libtorch's OpenMP pools must wait passively.

/// Sees to it that OpenMP threads sleep while they wait, by starting this program again with `OMP_WAIT_POLICY=PASSIVE`
/// if nobody has set it.
///
/// libgomp reads the variable when it is loaded, before `main`, so it can't be set later. Without it, every thread that
/// runs a network keeps a pool that spins between operations, and takes the cores from the pools of the other networks.
pub fn wait_passively() {
    use std::os::unix::process::CommandExt;

    const VARIABLE: &str = "OMP_WAIT_POLICY";
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // `exec` returns only when it fails; then this process goes on as it is.
    let _ = command.args(arguments).env(VARIABLE, "PASSIVE").exec();
}
