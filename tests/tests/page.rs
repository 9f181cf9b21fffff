//! The page, in Chromium: `unclip serve` with the bundle that ships, driven by tests/page/*.test.mjs.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use unclip_tests::{Bundle, CPU, Local, Server, node, repository, run_in, scratch};

/// How node runs tests.
const TESTS: [&str; 3] = ["--test", "--test-concurrency=1", "--test-reporter=spec"];

/// A server with the demo bundle, which is imported elsewhere: tests leave the checkout as it is.
async fn serve(folder: &std::path::Path) -> Server {
    let (source, bundle) = (repository().join("models/emoji"), folder.join("bundle"));
    let (source, bundle) = (source.to_str().unwrap(), bundle.to_str().unwrap());
    let imported = run_in(folder, "unclip", &["import", source, "-o", bundle]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    Server::start("unclip serve", &[&["--bundle", bundle], &CPU[..]].concat()).await
}

/// Node.js in tests/page, with the page's address and what the server lets foreign pages do.
fn drive(server: &Server, arguments: &[&str], foreign: &str) {
    let environment = [("UNCLIP_PAGE_URL", server.url()), ("UNCLIP_FOREIGN", foreign.to_owned())];
    node("tests/page", &environment, arguments);
}

#[tokio::test]
async fn the_page_works_in_a_browser() {
    let folder = scratch();
    let server = serve(folder.path()).await;
    server.logged(&["open ", &server.url(), " in a browser"]).await;
    let files = ["drawing", "tools", "edit", "keep", "look"].map(|name| format!("{name}.test.mjs"));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    // One after another: pictures take all cores.
    drive(&server, &[&TESTS, &files[..]].concat(), "refused");
}

#[tokio::test]
async fn foreign_pages_get_nothing_done() {
    let local = Local::start("tiny").await;
    drive(&local.server, &[&TESTS[..], &["foreign.test.mjs"]].concat(), "refused");
    let refused = |reason| local.server.metrics().sum("unclip_refused_total", &[("reason", reason)]);
    assert!(refused("foreign_origin") >= 2.0 && refused("foreign_host") >= 2.0);
    let bundle = local.bundle.path();
    let open = Server::stage("unclip serve", &bundle, &[&CPU[..], &["--allow-origin", "*"]].concat()).await;
    drive(&open, &[&TESTS[..], &["foreign.test.mjs"]].concat(), "allowed");
}

#[tokio::test]
async fn the_page_works_below_a_path() {
    let bundle = Bundle::imported("tiny");
    let serve = async |flags: &[&str]| {
        Server::stage("unclip serve", &bundle.path(), &[&CPU[..], flags].concat()).await
    };
    let told = serve(&["--public-url", "https://pictures.example/draw/"]).await;
    let trusting = serve(&["--trust-proxy"]).await;
    let environment = [
        ("UNCLIP_PAGE_URL", told.url()),
        ("UNCLIP_PUBLIC_URL", told.url()),
        ("UNCLIP_TRUSTING_URL", trusting.url()),
    ];
    node("tests/page", &environment, &[&TESTS[..], &["subpath.test.mjs"]].concat());
}

/// `make screenshots`.
#[tokio::test]
#[ignore = "writes docs/images"]
async fn screenshots() {
    let folder = scratch();
    let server = serve(folder.path()).await;
    let images = repository().join("docs/images");
    drive(&server, &["screenshots.mjs", images.to_str().unwrap()], "refused");
}
