//! The page, in Chromium: `unclip serve` with the bundle that ships, driven by tests/page/*.test.mjs.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::process::Command;

use unclip_tests::{CPU, Server, repository, run_in, scratch};

/// A server with the demo bundle, which is imported elsewhere: tests leave the checkout as it is.
async fn serve(folder: &std::path::Path) -> Server {
    let (source, bundle) = (repository().join("models/emoji"), folder.join("bundle"));
    let (source, bundle) = (source.to_str().unwrap(), bundle.to_str().unwrap());
    let imported = run_in(folder, "unclip", &["import", source, "-o", bundle]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    Server::start("unclip serve", &[&["--bundle", bundle], &CPU[..]].concat()).await
}

/// Node.js in tests/page, with the page's address.
fn node(server: &Server, arguments: &[&str]) {
    let folder = repository().join("tests/page");
    let packages = folder.join("node_modules");
    assert!(packages.is_dir(), "{}: not found; run make setup-tests", packages.display());
    let output = Command::new("node")
        .args(arguments)
        .current_dir(folder)
        .env("UNCLIP_PAGE_URL", server.url())
        .output()
        .unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "node {arguments:?}:\n{out}\n{errors}");
}

#[tokio::test]
async fn the_page_works_in_a_browser() {
    let folder = scratch();
    let server = serve(folder.path()).await;
    server.logged(&["open ", &server.url(), " in a browser"]).await;
    let files = ["drawing", "tools", "edit", "keep", "look"].map(|name| format!("{name}.test.mjs"));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    // One after another: pictures take all cores.
    node(&server, &[&["--test", "--test-concurrency=1", "--test-reporter=spec"], &files[..]].concat());
}

/// `make screenshots`.
#[tokio::test]
#[ignore = "writes docs/images"]
async fn screenshots() {
    let folder = scratch();
    let server = serve(folder.path()).await;
    let images = repository().join("docs/images");
    node(&server, &["screenshots.mjs", images.to_str().unwrap()]);
}
