//! The attacks of bench/attack, small: a server stands them, within the memory that its flags allow, and serves a normal client
//! throughout.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::process::Command;

use serde_json::Value;
use unclip_tests::{Bundle, program, repository, scratch};

/// What the server may hold of bodies, in MiB.
const UPLOADS: f64 = 64.0;

/// Bodies are held twice while they are parsed, and a picture of the longest side is 64 MiB.
const MOST: f64 = 2.0 * UPLOADS + 256.0;

/// Times that end an attack soon.
const FLAGS: [&str; 8] = [
    "--uploads-mib",
    "64",
    "--header-timeout-seconds",
    "2",
    "--body-timeout-seconds",
    "2",
    "--idle-timeout-seconds",
    "5",
];

fn attack() -> Vec<Value> {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    let figures = folder.path().join("figures.json");
    let output = Command::new("python3")
        .arg(repository().join("bench/attack/attack.py"))
        .args(["--scale", "0.05", "--json"])
        .arg(&figures)
        .arg("--program")
        .arg(program("unclip"))
        .arg("--bundle")
        .arg(bundle.path())
        .arg("--")
        .args(FLAGS)
        .output()
        .unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{errors}");
    serde_json::from_slice(&std::fs::read(figures).unwrap()).unwrap()
}

#[test]
fn a_server_under_attack_serves() {
    let rows = attack();
    assert_eq!(rows.len(), 11);
    for row in &rows {
        assert_eq!(row["alive"], true, "{row}");
        let Some(asked) = row["asked"].as_u64() else { continue };
        assert!(asked > 0 && row["served"] == asked, "{row}");
        let grown = row["rss_peak_mib"].as_f64().unwrap() - row["rss_before_mib"].as_f64().unwrap();
        assert!(grown < MOST, "{row}");
    }
    let pages = rows.iter().find(|row| row["attack"].as_str().unwrap().contains("pages of other sites"));
    assert_eq!(pages.unwrap()["outcome"], "6 of 6 refused");
}
