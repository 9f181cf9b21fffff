//! Tests in JavaScript, run by Node.js.

use std::process::Command;

use crate::repository;

/// Runs Node.js in a folder of the repository whose packages are installed.
///
/// # Panics
/// It fails; its output is the report.
pub fn node(folder: &str, environment: &[(&str, String)], arguments: &[&str]) {
    let folder = repository().join(folder);
    let packages = folder.join("node_modules");
    assert!(packages.is_dir(), "{}: not found; run make setup-tests", packages.display());
    let output = Command::new("node")
        .args(arguments)
        .current_dir(folder)
        .envs(environment.iter().cloned())
        .output()
        .unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "node {arguments:?}:\n{out}\n{errors}");
}
