//! What the metrics say of the build: its profile, and the git revision where it is known.

use std::process::Command;

fn main() {
    let profile = std::env::var("PROFILE").unwrap_or_default();
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=UNCLIP_REVISION");
    let given = std::env::var("UNCLIP_REVISION").ok().filter(|revision| !revision.is_empty());
    // A debug build does not ask git: every commit would compile all servers anew.
    let revision = given.or_else(|| if profile == "release" { revision() } else { None });
    println!("cargo::rustc-env=UNCLIP_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=UNCLIP_PROFILE={profile}");
}

/// The commit that is checked out. None outside a repository, as in a source archive.
fn revision() -> Option<String> {
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
