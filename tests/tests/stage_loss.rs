//! A stage that dies, drains or is replaced: its clients hear that it is not there and when to try again, never that they
//! cancelled.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::cell::Cell;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use unclip_proto::v1::generate_image_response::Event;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{GenerateImageRequest, Stage};
use unclip_tests::{Balancer, CPU, Cluster, Inputs, MANY, Server, generate, json_stream, wait_for};

/// A stage that was lost: try again, in a while.
fn assert_lost(what: &str, status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{what}: {status:?}");
    assert!(status.message().contains("try again"), "{what}: {status:?}");
    let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| delay > Duration::ZERO), "{what}: {status:?}");
}

/// Draws until `stage` is at work, then calls `disturb`; what the stream ends with.
async fn disturbed(
    gateway: &Server,
    request: GenerateImageRequest,
    stage: Stage,
    disturb: impl FnOnce(),
) -> Status {
    let mut client = UnclipServiceClient::new(gateway.channel());
    let mut stream = client.generate_image(request).await.unwrap().into_inner();
    let mut disturb = Some(disturb);
    loop {
        match stream.message().await {
            Ok(message) => {
                let Some(Event::Progress(progress)) = message.unwrap().event else { continue };
                let at_work = progress.stage() == stage && progress.progress.unwrap().step > 0;
                if at_work && let Some(disturb) = disturb.take() {
                    disturb();
                }
            }
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn a_stage_that_is_killed_in_a_drawing_is_told_as_unavailable() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    for (name, stage, server, request) in [
        (
            "upsampler",
            Stage::Upsampler,
            &cluster.upsampler,
            GenerateImageRequest { upsampler: MANY, ..good.clone() },
        ),
        ("decoder", Stage::Decoder, &cluster.decoder, GenerateImageRequest { decoder: MANY, ..good.clone() }),
        ("prior", Stage::Prior, &cluster.prior, GenerateImageRequest { prior: MANY, ..good.clone() }),
    ] {
        let status = disturbed(&cluster.gateway, request, stage, || server.signal("KILL")).await;
        assert_lost(name, &status);
        // And now it is not there at all.
        let request = GenerateImageRequest { seed: Some(99), ..good.clone() };
        assert_lost(name, &generate(&cluster.gateway, request).await.unwrap_err());
    }
}

#[tokio::test]
async fn a_stage_that_is_killed_is_503_over_http() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let request = json!({"prompt": "a fox", "decoder": {"steps": 1000}}).to_string();
    let mut stream = json_stream(&cluster.gateway, "GenerateImage", &request, &[]).await;
    stream.more().await.unwrap();
    wait_for("the decoder to work", async || {
        let rows = cluster.decoder.metrics().sum("unclip_engine_steps_total", &[]);
        (rows > 0.0).then_some(())
    })
    .await;
    cluster.decoder.signal("KILL");
    let end = stream.finish().await;
    let last = end.lines().pop().unwrap();
    assert_eq!(last["error"]["code"], "UNAVAILABLE", "{last}");
    assert!(last["error"]["retryAfterSeconds"].as_f64().unwrap() > 0.0, "{last}");

    let body = br#"{"prompt": "a fox"}"#;
    let answer = unclip_tests::send(
        &cluster.gateway,
        "POST /v1/images/generations",
        &["Content-Type: application/json"],
        body,
    );
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

#[tokio::test]
async fn a_stage_that_is_stopped_under_load_is_told_as_unavailable() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    let drained = [&CPU[..], &["--drain-seconds", "1"]].concat();
    let mut decoder = Server::stage("unclip-decoder", &cluster.bundle.path(), &drained).await;
    let gateway = cluster.gateway_to_decoder(&decoder, &[]).await;
    let request = GenerateImageRequest { decoder: MANY, n: Some(2), ..good };
    let (first, second) = tokio::join!(
        disturbed(&gateway, request.clone(), Stage::Decoder, || decoder.signal("TERM")),
        disturbed(&gateway, request, Stage::Decoder, || {}),
    );
    assert_lost("the one", &first);
    assert_lost("the other", &second);
    assert_eq!(decoder.exit().await.code(), Some(0));
    let gone = gateway.metrics().sum("unclip_request_errors_total", &[("code", "1")]);
    assert!(gone < 0.5, "{gone} calls are counted as cancelled by their clients");
}

#[tokio::test]
async fn a_gateway_that_stops_tells_its_clients() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    let gateway = cluster.another_gateway(&["--drain-seconds", "1"]).await;
    let request = GenerateImageRequest { decoder: MANY, ..good };
    let status = disturbed(&gateway, request, Stage::Decoder, || gateway.signal("TERM")).await;
    assert_lost("the gateway", &status);
}

#[tokio::test]
async fn what_was_not_begun_is_asked_again() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    let balancer = Balancer::start(&[cluster.decoder.address()]).await;
    let gateway = cluster.gateway_to_decoder_at(&balancer.url(), &[]).await;
    balancer.lose(1);
    generate(&gateway, good.clone()).await.unwrap();
    let retries = gateway.metrics().sum("unclip_stage_retries_total", &[("stage", "decoder")]);
    assert!(retries > 0.5, "{retries}");

    // Nobody is there at all: two tries, and no third.
    balancer.route_to(&[]);
    let empty = cluster.gateway_to_decoder_at(&balancer.url(), &[]).await;
    assert_lost("no replica", &generate(&empty, good).await.unwrap_err());
}

#[tokio::test]
async fn a_rolling_update_costs_no_request() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    let replica = async || Server::stage("unclip-decoder", &cluster.bundle.path(), &CPU).await;
    let mut current = replica().await;
    let balancer = Balancer::start(&[current.address()]).await;
    let gateway = cluster.gateway_to_decoder_at(&balancer.url(), &[]).await;
    let updated = Cell::new(false);
    let clients = (0..4_u64).map(async |client| {
        let mut seed = client << 32;
        while !updated.get() {
            let request = GenerateImageRequest { seed: Some(seed), ..good.clone() };
            generate(&gateway, request).await.unwrap();
            seed += 1;
        }
        seed - (client << 32)
    });
    let update = async {
        for _ in 0..3 {
            let next = replica().await;
            balancer.route_to(&[next.address()]);
            current.signal("TERM");
            assert_eq!(current.exit().await.code(), Some(0));
            current = next;
        }
        updated.set(true);
    };
    let (drawn, ()) = tokio::join!(join_all(clients), update);
    assert!(drawn.iter().all(|count| *count > 0), "{drawn:?}");
}
