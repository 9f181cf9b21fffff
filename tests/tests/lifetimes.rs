//! How work ends early: the client leaves, the deadline passes, the server is told to stop.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use tokio::task::{JoinSet, LocalSet};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use unclip_proto::v1::decoder_service_client::DecoderServiceClient;
use unclip_proto::v1::generate_image_response::Event;
use unclip_proto::v1::prior_service_client::PriorServiceClient;
use unclip_proto::v1::text_encoder_service_client::TextEncoderServiceClient;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{
    DecodeRequest, EncodeTextRequest, GenerateImageRequest, ListModelsRequest, SamplePriorRequest, Stage,
};
use unclip_tests::{Bundle, CPU, Cluster, Inputs, MANY, Server, bare, generate, wait_for, with_timeout};

/// As much text as one request may bring: no machine encodes it in a millisecond.
fn much_text() -> EncodeTextRequest {
    EncodeTextRequest { texts: vec!["a word ".repeat(1000); 64] }
}

/// Waits until a stage has left a job it had begun.
async fn assert_leaves(stage: &Server, engine: &str) {
    let labels = [("engine", engine)];
    wait_for("the row to leave", async || {
        let metrics = stage.metrics();
        let saved = metrics.sum("unclip_engine_saved_steps_total", &labels);
        let rows = metrics.sum("unclip_engine_rows", &labels);
        (saved > 0.0 && rows < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stage_stops_when_its_client_leaves() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await;
    let decoder = Server::stage("unclip-decoder", &cluster.bundle.path(), &CPU).await;
    let mut client = DecoderServiceClient::new(decoder.channel());
    let request = DecodeRequest { options: MANY, ..good.decode };
    let mut stream = client.decode(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    assert_leaves(&decoder, "decoder").await;

    let prior = Server::stage("unclip-prior", &cluster.bundle.path(), &CPU).await;
    let mut client = PriorServiceClient::new(prior.channel());
    let request = SamplePriorRequest { options: MANY, candidates: Some(8), ..good.prior };
    let mut stream = client.sample_prior(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    assert_leaves(&prior, "prior").await;
}

#[tokio::test]
async fn stages_stop_when_the_gateways_client_leaves() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    for (stage, server, engine, request) in [
        (
            Stage::Prior,
            &cluster.prior,
            "prior",
            GenerateImageRequest { prior: MANY, candidates: Some(8), ..good.clone() },
        ),
        (Stage::Decoder, &cluster.decoder, "decoder", GenerateImageRequest { decoder: MANY, ..good }),
    ] {
        let mut client = UnclipServiceClient::new(cluster.gateway.channel());
        let mut stream = client.generate_image(request).await.unwrap().into_inner();
        loop {
            match stream.message().await.unwrap().unwrap().event.unwrap() {
                Event::Progress(progress) if progress.stage() == stage => break,
                Event::Progress(_) | Event::Preview(_) => {}
                Event::Image(_) => panic!("the picture was finished first"),
            }
        }
        drop(stream);
        assert_leaves(server, engine).await;
    }
}

fn assert_deadline<T>(what: &str, result: Result<T, Status>) {
    let status = result.map(|_| ()).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{what}: {status:?}");
    assert!(status.message().contains("allow more time"), "{what}: {status:?}");
}

#[tokio::test]
async fn a_passed_deadline_is_told_as_one() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await;

    let (client, origin) = bare(&cluster.text_encoder);
    let mut client = TextEncoderServiceClient::with_origin(client, origin);
    assert_deadline("unary", client.encode_text(with_timeout(much_text(), "1m")).await);

    let (client, origin) = bare(&cluster.decoder);
    let mut client = DecoderServiceClient::with_origin(client, origin);
    let request = with_timeout(DecodeRequest { options: MANY, ..good.decode }, "200m");
    let mut stream = client.decode(request).await.unwrap().into_inner();
    let end = loop {
        match stream.message().await {
            Ok(message) => drop(message.unwrap()),
            Err(status) => break status,
        }
    };
    assert_deadline("decoder", Err::<(), _>(end));

    let (client, origin) = bare(&cluster.prior);
    let mut client = PriorServiceClient::with_origin(client, origin);
    let request =
        with_timeout(SamplePriorRequest { options: MANY, candidates: Some(8), ..good.prior }, "200m");
    let mut stream = client.sample_prior(request).await.unwrap().into_inner();
    let end = loop {
        match stream.message().await {
            Ok(message) => drop(message.unwrap()),
            Err(status) => break status,
        }
    };
    assert_deadline("prior", Err::<(), _>(end));
}

/// Draws through a plain client until the deadline.
async fn draw_until(gateway: &Server, request: GenerateImageRequest, timeout: &'static str) -> Status {
    let (client, origin) = bare(gateway);
    let mut client = UnclipServiceClient::with_origin(client, origin);
    let mut stream = match client.generate_image(with_timeout(request, timeout)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return status,
    };
    loop {
        match stream.message().await {
            Ok(message) => drop(message.unwrap()),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn a_gateway_tells_deadlines_of_busy_and_of_hung_stages() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    generate(&cluster.gateway, good.clone()).await.unwrap();
    for (stage, request) in [
        ("prior", GenerateImageRequest { prior: MANY, candidates: Some(8), ..good.clone() }),
        ("decoder", GenerateImageRequest { decoder: MANY, ..good.clone() }),
        ("upsampler", GenerateImageRequest { upsampler: MANY, n: Some(4), ..good.clone() }),
    ] {
        let status = draw_until(&cluster.gateway, request, "300m").await;
        assert_deadline(&format!("busy {stage}"), Err::<(), _>(status));
    }
    // A stage that neither answers nor hangs up. The gateway that is new asks it first of all what it serves.
    let fresh = cluster.another_gateway(&[]).await;
    for (name, stage, request) in [
        ("upsampler", &cluster.upsampler, good.clone()),
        ("decoder", &cluster.decoder, good.clone()),
        ("prior", &cluster.prior, GenerateImageRequest { seed: Some(77), ..good.clone() }),
        ("text encoder", &cluster.text_encoder, GenerateImageRequest { prompt: "an owl".to_owned(), ..good }),
    ] {
        stage.signal("STOP");
        for (gateway, which) in [(&cluster.gateway, "known"), (&fresh, "new")] {
            let status = draw_until(gateway, request.clone(), "300m").await;
            assert_deadline(&format!("hung {name}, {which} gateway"), Err::<(), _>(status));
        }
    }
    // What is known is told, whoever hangs.
    let (client, origin) = bare(&fresh);
    let mut client = UnclipServiceClient::with_origin(client, origin);
    let models = client.list_models(with_timeout(ListModelsRequest {}, "300m")).await.unwrap();
    assert_eq!(models.into_inner().models.len(), 4);
}

/// Starts a program, opens a stream that never ends by itself, sends the signal, and checks how the program ends.
async fn assert_ends(name: &'static str, arguments: Vec<String>, signal: &'static str) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = Server::start(name, &[&arguments[..], &["--drain-seconds", "1"]].concat()).await;
    let request = HealthCheckRequest { service: "liveness".to_owned() };
    let mut watch = HealthClient::new(server.channel()).watch(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    server.signal(signal);
    let status = server.exit().await;
    assert_eq!(status.code(), Some(0), "{name} after SIG{signal}: {status}");
}

#[tokio::test]
async fn every_program_ends_cleanly_with_a_stream_open() {
    let bundle = Bundle::imported("tiny");
    let with_bundle =
        ["--bundle", bundle.path().to_str().unwrap(), "--threads", "1"].map(str::to_owned).to_vec();
    for signal in ["INT", "TERM"] {
        let (local, mut ends) = (LocalSet::new(), JoinSet::new());
        ends.spawn_local_on(assert_ends("unclip-gateway", Vec::new(), signal), &local);
        for name in [
            "unclip serve",
            "unclip-text-encoder",
            "unclip-image-encoder",
            "unclip-prior",
            "unclip-decoder",
            "unclip-upsampler",
        ] {
            ends.spawn_local_on(assert_ends(name, with_bundle.clone(), signal), &local);
        }
        local.run_until(ends.join_all()).await;
    }
}

#[tokio::test]
async fn programs_end_cleanly_with_work_under_way() {
    let bundle = Bundle::imported("tiny");
    let text_encoder = Server::stage("unclip-text-encoder", &bundle.path(), &["--drain-seconds", "0"]).await;
    let good = Inputs::new(&text_encoder).await;
    let request = DecodeRequest { options: MANY, ..good.decode };
    let flags = [&CPU[..], &["--drain-seconds", "1"]].concat();
    for name in ["unclip-decoder", "unclip serve"] {
        let mut server = Server::stage(name, &bundle.path(), &flags).await;
        let mut streams = Vec::new();
        for _ in 0..4 {
            let mut client = DecoderServiceClient::new(server.channel());
            let mut stream = client.decode(request.clone()).await.unwrap().into_inner();
            stream.message().await.unwrap().unwrap();
            streams.push(stream);
        }
        assert_ends_at_term(name, &mut server).await;
    }
    let mut client = TextEncoderServiceClient::new(text_encoder.channel());
    let call = tokio::spawn(async move { client.encode_text(much_text()).await });
    let calls = async || (text_encoder.metrics().calls("EncodeText") == 2).then_some(());
    wait_for("the text encoder to be called", calls).await;
    let mut text_encoder = text_encoder;
    assert_ends_at_term("unclip-text-encoder", &mut text_encoder).await;
    call.abort();
}

#[tokio::test]
async fn a_second_signal_ends_a_program_at_once() {
    let bundle = Bundle::imported("tiny");
    let text_encoder = Server::stage("unclip-text-encoder", &bundle.path(), &["--drain-seconds", "0"]).await;
    let good = Inputs::new(&text_encoder).await;
    let request = DecodeRequest { options: MANY, ..good.decode };
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let flags = [&CPU[..], &["--drain-seconds", "3600"]].concat();
        let mut server = Server::stage("unclip-decoder", &bundle.path(), &flags).await;
        let mut client = DecoderServiceClient::new(server.channel());
        let mut stream = client.decode(request.clone()).await.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();
        server.signal(signal);
        server.logged(&["draining"]).await;
        assert!(stream.message().await.unwrap().is_some(), "work goes on");
        server.signal(signal);
        assert_eq!(server.exit().await.code(), Some(code), "SIG{signal}");
    }
}

#[tokio::test]
async fn a_health_watch_does_not_hold_up_the_end() {
    let mut server = Server::start("unclip-gateway", &["--drain-seconds", "3600"]).await;
    let request = HealthCheckRequest { service: "readiness".to_owned() };
    let mut watch = HealthClient::new(server.channel()).watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.signal("TERM");
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_before_anything_is_loaded() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    // Loading would fail, too.
    for (name, bundle) in [
        ("unclip-gateway", &[][..]),
        ("unclip serve", &["--bundle", "/nowhere"]),
        ("unclip-text-encoder", &["--bundle", "/nowhere"]),
        ("unclip-image-encoder", &["--bundle", "/nowhere"]),
        ("unclip-prior", &["--bundle", "/nowhere"]),
        ("unclip-decoder", &["--bundle", "/nowhere"]),
        ("unclip-upsampler", &["--bundle", "/nowhere"]),
    ] {
        let flags = [bundle, &["--listen", &taken]].concat();
        let log = Server::try_start(name, &flags).await.err().unwrap();
        let expected = format!("--listen: {taken} can't be bound; is another server running there?");
        assert!(log.contains(&expected), "{name}: {log}");
    }
}

async fn assert_ends_at_term(name: &str, server: &mut Server) {
    server.signal("TERM");
    let status = server.exit().await;
    assert_eq!(status.code(), Some(0), "{name}: {status}");
}
