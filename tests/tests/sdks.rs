//! Stock clients of OpenAI's Images API, and the table of docs/api.md that says what they can do here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use unclip_tests::{Cluster, repository};

/// The table's columns.
const OPERATIONS: [&str; 6] =
    ["generations", "streams", "edits", "edits without a mask", "variations", "models"];

/// What a script says of its clients.
fn rows(command: &mut Command, packages: &Path) -> Vec<Value> {
    assert!(packages.is_dir(), "{}: not found; run make setup-tests", packages.display());
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let found = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(found.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("{found}{errors}"))
}

/// A row of the table.
fn line(row: &Value) -> String {
    let cells = OPERATIONS.map(|operation| row["operations"][operation].as_str().unwrap_or("-").to_owned());
    let text = |name: &str| row[name].as_str().unwrap();
    format!("| {} {} | {} |", text("client"), text("version"), cells.join(" | "))
}

/// Every client's own calls, and nothing else, make the table: it can't drift from what runs.
#[tokio::test]
async fn the_table_of_clients_is_what_ran() {
    let cluster = Cluster::shared("tiny").await;
    let address = format!("{}/v1", cluster.gateway.url());
    let clients = repository().join("tests/clients");
    let (python, node) = (repository().join(".python/sdks"), clients.join("node/node_modules"));
    let mut ran = rows(
        Command::new("python3")
            .args(["-W", "ignore"])
            .arg(clients.join("sdks.py"))
            .arg(&address)
            .env("PYTHONPATH", &python),
        &python,
    );
    ran.extend(rows(Command::new("node").arg(clients.join("node/sdks.mjs")).arg(&address), &node));
    let head = format!("| client | {} |", OPERATIONS.join(" | "));
    let rule = format!("|{}", "---|".repeat(OPERATIONS.len() + 1));
    let lines = [head, rule].into_iter().chain(ran.iter().map(line));
    let table = lines.collect::<Vec<_>>().join("\n");
    let page = std::fs::read_to_string(repository().join("docs/api.md")).unwrap();
    assert!(page.contains(&format!("\n\n{table}\n\n")), "docs/api.md should hold this table:\n{table}");
    assert!(!table.contains("| no:"), "{table}");
}
