//! `scripts/gpu/pack`: what travels to a machine with a GPU, and that too much of it is refused.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Packs stand-ins for the programs and libraries: a small program of this machine, empty Python packages.
fn pack(scratch: &Path, most: &str) -> Output {
    let (target, python) = (scratch.join("target/release"), scratch.join("python"));
    fs::create_dir_all(target.join("examples")).unwrap();
    for program in ["unclip", "examples/train", "examples/bench_unet", "examples/network_outputs"] {
        fs::copy("/bin/true", target.join(program)).unwrap();
    }
    for module in ["diffusers", "importlib_metadata"] {
        fs::create_dir_all(python.join(module)).unwrap();
        fs::create_dir_all(python.join(format!("{module}-1.dist-info"))).unwrap();
    }
    Command::new(repository().join("scripts/gpu/pack"))
        .arg(scratch.join("kit"))
        .env("TARGET", scratch.join("target"))
        .env("PACKAGES", repository().join("training/tests/packages"))
        .env("PYTHON", python)
        .env("ONNXRUNTIME", "/bin/true")
        .env("MOST_MIB", most)
        .output()
        .unwrap()
}

#[test]
fn the_kit_is_packed_and_too_large_a_one_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let packed = pack(scratch.path(), "50");
    let errors = String::from_utf8_lossy(&packed.stderr).into_owned();
    assert!(packed.status.success(), "{errors}");
    for file in ["check", "train", "kit.sh", "kit.tar.xz", "packages.tar.xz"] {
        assert!(scratch.path().join("kit").join(file).is_file(), "{file}");
    }
    let refused = pack(scratch.path(), "1");
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(errors.contains("at most 1 MiB travel") && errors.contains("fixtures/"), "{errors}");
}
