//! What servers count, and that the documentation lists all of it.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::collections::BTreeSet;

use http::Request;
use serde_json::json;
use tonic::Code;
use tonic::body::Body;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{GenerateImageRequest, Tensor};
use unclip_tests::{
    CPU, Cluster, Inputs, MANY, Server, bare, generate, json_call, json_stream, repository, wait_for,
    with_timeout,
};

/// In one process and in several: what succeeded is an error nowhere on its way.
#[tokio::test]
async fn a_drawing_that_succeeds_counts_no_error() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let good = Inputs::new(&cluster.text_encoder).await;
    let path = cluster.bundle.path();
    let local =
        Server::start("unclip serve", &[&["--bundle", path.to_str().unwrap()], &CPU[..]].concat()).await;
    for gateway in [&cluster.gateway, &local] {
        generate(gateway, good.generate.clone()).await.unwrap();
    }
    for server in [&cluster.gateway, &cluster.prior, &cluster.decoder, &cluster.upsampler, &local] {
        let failed = server.metrics().sum("unclip_request_errors_total", &[]);
        assert!(failed < 0.5, "{failed} calls are counted as failed");
    }
}

/// `GenerateImage` calls that ended with this code.
fn errors(server: &Server, code: Code) -> f64 {
    let code = i32::from(code).to_string();
    server.metrics().sum("unclip_request_errors_total", &[("method", "GenerateImage"), ("code", &code)])
}

/// Waits until one call ended with this code.
async fn assert_counts(server: &Server, code: Code) {
    wait_for(&format!("{code:?} to be counted"), async || (errors(server, code) > 0.5).then_some(())).await;
    assert!(errors(server, code) < 1.5, "{code:?} is counted twice");
}

/// Waits until nothing is under way any more.
async fn assert_idle(server: &Server) {
    wait_for("all calls to end", async || {
        (server.metrics().sum("unclip_requests_in_flight", &[("method", "GenerateImage")]) < 0.5)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn errors_are_counted_where_streams_end() {
    let cluster = Cluster::start("tiny", &[]).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    let gateway = &cluster.gateway;
    generate(gateway, good.clone()).await.unwrap();

    // Refused in the stream, once the decoder has said how wide an embedding is.
    let narrow = Some(Tensor::from_f32(&[1], &[1.0]));
    let status = generate(gateway, GenerateImageRequest { image_embedding: narrow, ..good.clone() })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert_counts(gateway, Code::InvalidArgument).await;

    let (client, origin) = bare(gateway);
    let mut client = UnclipServiceClient::with_origin(client, origin);
    let late = with_timeout(GenerateImageRequest { decoder: MANY, ..good.clone() }, "300m");
    let mut stream = client.generate_image(late).await.unwrap().into_inner();
    while let Ok(message) = stream.message().await {
        message.unwrap();
    }
    assert_counts(gateway, Code::DeadlineExceeded).await;

    let mut stream =
        client.generate_image(GenerateImageRequest { decoder: MANY, ..good }).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    assert_counts(gateway, Code::Cancelled).await;

    assert_idle(gateway).await;
    let metrics = gateway.metrics();
    let durations = metrics.sum("unclip_request_duration_seconds_count", &[("method", "GenerateImage")]);
    assert_eq!(format!("{durations}"), metrics.calls("GenerateImage").to_string());
}

#[tokio::test]
async fn a_client_that_leaves_a_json_stream_is_counted_as_gone() {
    let cluster = Cluster::shared("tiny").await;
    let gateway = cluster.another_gateway(&[]).await;
    let request = json!({"prompt": "a fox", "decoder": {"steps": 1000}}).to_string();
    let mut stream = json_stream(&gateway, "GenerateImage", &request, &[]).await;
    stream.more().await.unwrap();
    drop(stream);
    wait_for("status 499 to be counted", async || {
        (gateway.metrics().sum("unclip_http_requests_total", &[("status", "499")]) > 0.5).then_some(())
    })
    .await;
    assert_counts(&gateway, Code::Cancelled).await;
}

/// Calls a method that no contract has.
async fn call_invented(server: &Server, path: &str) {
    let (client, origin) = bare(server);
    let request = Request::post(format!("{origin}{path}"))
        .header("content-type", "application/grpc")
        .body(Body::empty())
        .unwrap();
    client.request(request).await.unwrap();
}

#[tokio::test]
async fn what_a_client_invents_makes_no_series() {
    let cluster = Cluster::shared("tiny").await;
    for (service, server) in cluster.servers() {
        for index in 0..100 {
            call_invented(server, &format!("unclip.v1.Invented{index}/x")).await;
            call_invented(server, &format!("{service}/Invented{index}")).await;
            call_invented(server, &format!("grpc.health.v1.Health/Invented{index}")).await;
        }
        let (invented, known): (Vec<String>, Vec<String>) =
            server.metrics().series().into_iter().partition(|series| series.contains("Invented"));
        assert_eq!(invented, Vec::<String>::new());
        assert!(known.iter().any(|series| series.contains("method=\"other\"")), "{known:?}");
    }
}

/// The names in the section of docs/operations.md.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let section = text.split("## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(','));
    names.map(|name| name.trim().trim_matches('`').to_owned()).collect()
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_exists() {
    let cluster = Cluster::start("tiny", &[]).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    generate(&cluster.gateway, good.clone()).await.unwrap();
    generate(&cluster.gateway, GenerateImageRequest { n: Some(1000), ..good }).await.unwrap_err();
    assert_eq!(json_call(&cluster.gateway, "ListModels", &json!({})).await.status, 200);

    call_invented(&cluster.gateway, "unclip.v1.Invented/x").await;

    // The last ones are counted when their answers have been read.
    assert_idle(&cluster.gateway).await;
    let scrapes = cluster.servers().map(|(_, server)| server.metrics());
    let found: BTreeSet<String> = scrapes.iter().flat_map(|scrape| scrape.kinds().into_keys()).collect();
    let documented = documented();
    let undocumented: Vec<_> = found.difference(&documented).collect();
    assert!(undocumented.is_empty(), "not in docs/operations.md: {undocumented:?}");
    let missing: Vec<_> = documented.difference(&found).collect();
    assert!(missing.is_empty(), "in docs/operations.md, but no server has it from its start: {missing:?}");

    for scrape in &scrapes {
        for (name, kind) in scrape.kinds() {
            let kinds = match name.as_str() {
                name if name.ends_with("_total") => ["counter"].as_slice(),
                "unclip_engine_batch_lanes" => &["histogram"],
                name if name.starts_with("unclip") && name.ends_with("_seconds") => &["histogram"],
                _ => &["gauge"],
            };
            assert!(kinds.contains(&kind.as_str()), "{name} is a {kind}");
        }
        assert!(scrape.sum("process_resident_memory_bytes", &[]) > 1e6);
        assert!(scrape.sum("process_threads", &[]) >= 1.0);
        let build = scrape.sum("unclip_build_info", &[("version", env!("CARGO_PKG_VERSION"))]);
        assert!((build - 1.0).abs() < 0.5, "{build}");
    }
}
