//! Stages that hang, and addresses behind which there is nothing: what they cost, and for how long.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tonic::{Code, Status};
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{
    GenerateImageRequest, ListModelsRequest, SamplingOptions, UnclipServiceEncodeTextRequest,
};
use unclip_tests::{CPU, Cluster, PATIENCE, Server, generate, wait_for, with_timeout};

fn request(prompt: &str, steps: u32) -> GenerateImageRequest {
    let options = Some(SamplingOptions { steps: Some(steps), ..Default::default() });
    GenerateImageRequest {
        prompt: prompt.to_owned(),
        prior: options,
        decoder: options,
        upsampler: options,
        ..Default::default()
    }
}

async fn refusal(gateway: &Server, prompt: &str) -> Status {
    let drawn = tokio::time::timeout(PATIENCE, generate(gateway, request(prompt, 1))).await;
    drawn.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}")).unwrap_err()
}

fn is_silent(gateway: &Server, stage: &str) -> bool {
    gateway.metrics().sum("unclip_stage_silent", &[("stage", &stage.replace(' ', "-"))]) > 0.5
}

/// Many requests, each of which would have to wait for a hung stage if that was not known.
async fn many_refusals(gateway: &Server, stage: &str) {
    let all = async {
        for number in 0..30 {
            let status = refusal(gateway, &format!("{stage} {number}")).await;
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            assert_eq!(status.message(), format!("the {stage} does not answer; try again later"));
        }
    };
    assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "30 refusals took longer than {PATIENCE:?}");
}

#[tokio::test]
async fn a_stage_that_hangs_costs_requests_nothing_once_that_is_known() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let gateway = &cluster.gateway;
    let stages = [
        ("text encoder", &cluster.text_encoder),
        ("prior", &cluster.prior),
        ("decoder", &cluster.decoder),
        ("upsampler", &cluster.upsampler),
    ];
    generate(gateway, request("a fox", 1)).await.unwrap();
    for (stage, server) in stages {
        server.signal("STOP");
        // One that is on its way when the stage falls silent ends too.
        let status = refusal(gateway, &format!("before {stage}")).await;
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        wait_for("the silence to be noticed", async || is_silent(gateway, stage).then_some(())).await;
        many_refusals(gateway, stage).await;
        server.signal("CONT");
        wait_for("the stage to be used again", async || {
            generate(gateway, request(&format!("after {stage}"), 1)).await.ok()
        })
        .await;
        assert!(!is_silent(gateway, stage));
    }
}

#[tokio::test]
async fn what_needs_no_silent_stage_goes_on() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let mut client = UnclipServiceClient::new(cluster.gateway.channel());
    generate(&cluster.gateway, request("a fox", 1)).await.unwrap();
    cluster.decoder.signal("STOP");
    let stopped = async || is_silent(&cluster.gateway, "decoder").then_some(());
    wait_for("the silence to be noticed", stopped).await;
    let texts = vec!["an owl".to_owned()];
    client.encode_text(UnclipServiceEncodeTextRequest { texts }).await.unwrap();
    // Known from before.
    let models = client.list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
    assert_eq!(models.len(), 4);
}

/// An address that takes no connection and refuses none: its queue of connections is full.
async fn black_hole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500));
    let queued: Vec<_> = std::iter::from_fn(|| connect().ok()).take(64).collect();
    assert!(queued.len() < 64, "the queue has no end");
    (address, listener, queued)
}

#[tokio::test]
async fn an_address_behind_which_there_is_nothing_costs_one_wait() {
    let cluster = Cluster::shared("tiny").await;
    let (address, _listener, _queued) = black_hole().await;
    let gateway = cluster.gateway_to_decoder_at(&format!("http://{address}"), &[]).await;
    let all = async {
        for number in 0..30 {
            let status = refusal(&gateway, &format!("{number}")).await;
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            assert!(status.message().starts_with("the decoder "), "{status}");
        }
    };
    assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "30 refusals took longer than {PATIENCE:?}");
}

#[tokio::test]
async fn a_request_without_a_deadline_gets_the_default_one() {
    let cluster = Cluster::shared("tiny").await;
    let gateway = cluster.another_gateway(&["--default-deadline", "1"]).await;
    let long = || GenerateImageRequest { n: Some(16), ..request("a long way", 1000) };
    let status = generate(&gateway, long()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    // A deadline of its own counts, shorter or longer.
    let mut client = UnclipServiceClient::new(gateway.channel());
    let own = with_timeout(UnclipServiceEncodeTextRequest { texts: vec!["an owl".to_owned()] }, "90S");
    client.encode_text(own).await.unwrap();
}
