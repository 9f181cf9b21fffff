//! The programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Names a folder of programs to test as they are, for example those of a container image.
const FOLDER_VARIABLE: &str = "UNCLIP_TEST_PROGRAMS";

/// All programs.
pub const PROGRAMS: [&str; 7] = [
    "unclip",
    "unclip-text-encoder",
    "unclip-image-encoder",
    "unclip-prior",
    "unclip-decoder",
    "unclip-upsampler",
    "unclip-gateway",
];

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The path of a program: beside the test binary, or in the folder that `UNCLIP_TEST_PROGRAMS` names.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os(FOLDER_VARIABLE) {
        Some(folder) => folder.into(),
        None => built(),
    });
    let path = folder.join(name);
    assert!(path.is_file(), "{}: no such program; is its name in tests/src/programs.rs?", path.display());
    path
}

/// The folder of cargo's programs. What is missing or older than its sources is built first: cargo builds a package's
/// programs only for tests of the same package.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().find(|folder| !folder.ends_with("deps") && folder.is_dir()).unwrap();
    if PROGRAMS.iter().any(|name| is_stale(&folder.join(name))) {
        build(folder);
    }
    folder.to_path_buf()
}

/// Whether a program is missing or older than one of the sources that cargo lists beside it.
fn is_stale(program: &Path) -> bool {
    let Ok(built) = modified(program) else { return true };
    let Ok(list) = std::fs::read_to_string(program.with_extension("d")) else { return true };
    let sources = list.split_once(": ").map_or("", |(_, sources)| sources);
    sources.split_whitespace().any(|source| modified(Path::new(source)).is_ok_and(|at| at > built))
}

fn modified(path: &Path) -> std::io::Result<SystemTime> {
    path.metadata()?.modified()
}

fn build(folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    eprintln!("tests: programs are missing or out of date; running cargo build --workspace --bins");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells this test of its own package would make build scripts run again that watch these variables.
    for (variable, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| variable.to_string_lossy().starts_with(own)) {
            command.env_remove(&variable);
        }
    }
    let arguments = ["build", "--workspace", "--bins", "--offline", "--profile", profile];
    let status = command.args(arguments).current_dir(repository()).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "the programs under test can't be built ({status:?}); run cargo build --workspace --bins"
    );
}
