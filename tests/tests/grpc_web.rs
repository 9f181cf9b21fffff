//! Browsers' gRPC clients: the npm packages of Connect, in Node.js and in Chromium, by tests/grpc-web/*.test.mjs.

use unclip_tests::{Local, node, scratch};

#[tokio::test]
async fn browsers_clients_work() {
    let local = Local::start("tiny").await;
    let folder = scratch();
    let contracts = folder.path().join("contracts.bin");
    std::fs::write(&contracts, unclip_proto::FILE_DESCRIPTOR_SET).unwrap();
    let url = local.server.url();
    let environment = [
        ("UNCLIP_URL", url.clone()),
        ("UNCLIP_PAGE_URL", url),
        ("UNCLIP_CONTRACTS", contracts.to_str().unwrap().to_owned()),
    ];
    let files = ["node.test.mjs", "browser.test.mjs"];
    node("tests/grpc-web", &environment, &[&["--test", "--test-concurrency=1"], &files[..]].concat());
}
