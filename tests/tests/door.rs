//! The door of every server: paths, content types, hosts, origins, and what clients may take of connections and memory.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use tonic::Code;
use unclip_proto::v1::ListModelsRequest;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_tests::{Cluster, Inputs, Server, form, generate, head, json_call, send, send_raw, wait_for};

const JSON: &str = "Content-Type: application/json";
const GRPC: &str = "Content-Type: application/grpc";
const TEXT: &str = "Content-Type: text/plain";
const GENERATIONS: &str = "POST /v1/images/generations";
const EDITS: &str = "POST /v1/images/edits";
const LIST: &str = "/unclip.v1.UnclipService/ListModels";

/// An empty message of gRPC.
const FRAME: &[u8] = b"\0\0\0\0\0";

#[tokio::test]
async fn unknown_paths_are_not_found_and_say_what_was_meant() {
    let cluster = Cluster::shared("tiny").await;
    for (request, expected) in [
        ("GET /healthz", "health is the gRPC service grpc.health.v1.Health"),
        ("GET /metrics", "--metrics-listen"),
        ("POST /images/generations", "did you mean /v1/images/generations?"),
        ("POST /v1/v1/images/generations", "did you mean /v1/images/generations?"),
        ("GET /models", "did you mean /v1/models?"),
        ("POST /UnclipService/GenerateImage", "did you mean /api/unclip.v1.UnclipService/GenerateImage?"),
        ("GET /favicon.ico", "the page is at /"),
        ("POST /grpc.health.v1.Health/Check", "content type application/grpc"),
    ] {
        let answer = send(&cluster.gateway, request, &[JSON], b"{}");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(matches!(answer.status, 404 | 415), "{request}: {answer:?}");
        assert!(text.contains(expected), "{request}: {text}");
        assert!(!answer.header("content-type").unwrap().contains("grpc"), "{request}: {answer:?}");
        assert!(answer.header("x-request-id").is_some(), "{request}: {answer:?}");
    }
    for (name, stage) in cluster.servers() {
        for request in ["GET /healthz", "GET /nothing", "POST /v1/images/generation"] {
            let answer = send(stage, request, &[JSON], b"{}");
            assert_eq!(answer.status, 404, "{name} {request}: {answer:?}");
        }
        let answer = send(stage, "POST /v1/images/generation", &[JSON], b"{}");
        assert!(answer.json()["error"]["message"].is_string(), "{name}: {answer:?}");
    }
    let answer = send(&cluster.decoder, "GET /", &[], b"");
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 404);
    assert!(text.contains("speaks gRPC only (unclip.v1.DecoderService)"), "{text}");
}

#[tokio::test]
async fn slashes_too_many_change_nothing() {
    let cluster = Cluster::shared("tiny").await;
    let api = "/api/unclip.v1.UnclipService/ListModels";
    for path in ["/v1/models", "/v1/models/", "//v1/models", "/v1//models//"] {
        assert_eq!(send(&cluster.gateway, &format!("GET {path}"), &[], b"").status, 200, "{path}");
    }
    for path in [
        api.to_owned(),
        format!("/{api}"),
        format!("{api}/"),
        api.replace("/Unc", "//Unc").replace('/', "//"),
    ] {
        assert_eq!(send(&cluster.gateway, &format!("POST {path}"), &[JSON], b"{}").status, 200, "{path}");
    }
    let answer = send(&cluster.gateway, &format!("POST /{LIST}/"), &[GRPC], FRAME);
    assert!(answer.status == 200 && answer.header("grpc-status").is_none(), "{answer:?}");
}

#[tokio::test]
async fn a_grpc_client_hears_of_services_that_are_not_there() {
    let cluster = Cluster::shared("tiny").await;
    let mut client = UnclipServiceClient::new(cluster.decoder.channel());
    let status = client.list_models(ListModelsRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("this server has unclip.v1.DecoderService"), "{status:?}");
}

#[tokio::test]
async fn only_grpc_reaches_grpc() {
    let cluster = Cluster::shared("tiny").await;
    let list = format!("POST {LIST}");
    for headers in [&[TEXT][..], &[JSON], &["Content-Type: application/x-www-form-urlencoded"], &[]] {
        let answer = send(&cluster.gateway, &list, headers, FRAME);
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 415, "{headers:?}: {answer:?}");
        assert!(text.contains("POST to /api/unclip.v1.UnclipService/ListModels"), "{text}");
    }
    let info = "POST /unclip.v1.DecoderService/GetModelInfo";
    assert_eq!(send(&cluster.decoder, info, &[TEXT], FRAME).status, 415);
    assert_eq!(send(&cluster.decoder, info, &[GRPC], FRAME).status, 200);
}

/// What a foreign page makes a browser send.
const FOREIGN: [&[&str]; 4] = [
    &["Origin: http://evil.example"],
    &["Origin: null"],
    &["Sec-Fetch-Site: cross-site"],
    &["Sec-Fetch-Site: same-site", "Origin: http://localhost:3000"],
];

#[tokio::test]
async fn foreign_pages_get_no_work_done() {
    let cluster = Cluster::shared("tiny").await;
    let (multipart, body) = form(&[("image", "a.png", b"no picture")]);
    for foreign in FOREIGN {
        for (request, header, body) in [
            (GENERATIONS, JSON, &b"{\"prompt\": \"a fox\"}"[..]),
            ("POST /v1/images/variations", multipart, &body),
            ("POST /api/unclip.v1.UnclipService/ListModels", JSON, b"{}"),
            (EDITS, TEXT, b""),
        ] {
            let answer = send(&cluster.gateway, request, &[foreign, &[header]].concat(), body);
            assert_eq!(answer.status, 403, "{request} {foreign:?}: {answer:?}");
            assert!(answer.json()["error"]["message"].as_str().unwrap().contains("--allow-origin"));
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        let grpc = [foreign, &[GRPC]].concat();
        let answer = send(&cluster.decoder, "POST /unclip.v1.DecoderService/GetModelInfo", &grpc, FRAME);
        assert_eq!(answer.header("grpc-status"), Some("7"), "{answer:?}");
    }
    let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"];
    assert_eq!(send(&cluster.gateway, "GET /", &link, b"").status, 200, "a link on another site");
}

#[tokio::test]
async fn sites_that_are_named_may_call() {
    let cluster = Cluster::shared("tiny").await;
    let flags = [
        "--allow-origin",
        "https://app.example,http://localhost:3000",
        "--public-url",
        "https://draw.example/x",
    ];
    let server = cluster.another_gateway(&flags).await;
    let list = "POST /api/unclip.v1.UnclipService/ListModels";
    for origin in ["https://app.example", "http://localhost:3000", "https://draw.example"] {
        let headers = [JSON, &format!("Origin: {origin}"), "Sec-Fetch-Site: cross-site"];
        assert_eq!(send(&server, list, &headers, b"{}").status, 200, "{origin}");
    }
    let preflight = |origin| {
        let origin = format!("Origin: {origin}");
        let headers =
            [&origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"];
        send(&server, &list.replace("POST", "OPTIONS"), &headers, b"")
    };
    let answer = preflight("https://app.example");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type"), "{answer:?}");
    assert_eq!(preflight("https://evil.example").header("access-control-allow-origin"), None);
    let log = Server::try_start("unclip-gateway", &["--allow-origin", "app.example"]).await.err().unwrap();
    assert!(log.contains("--allow-origin: `app.example` is no origin"), "{log}");
}

/// The status of a request for a host.
fn status_of_host(server: &Server, request: &str, host: &str) -> u16 {
    let bytes =
        format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    unclip_tests::Answer::read(&mut send_raw(server, bytes.as_bytes())).status
}

#[tokio::test]
async fn a_server_on_the_loopback_address_answers_to_no_foreign_name() {
    let cluster = Cluster::shared("tiny").await;
    let server = cluster
        .another_gateway(&["--public-url", "https://draw.example/", "--allow-host", "other.example"])
        .await;
    for host in ["127.0.0.1", "localhost:8080", "[::1]:1", "draw.example", "other.example:50051"] {
        assert_eq!(status_of_host(&server, "GET /v1/models", host), 200, "{host}");
    }
    for host in ["evil.example", "draw.example.evil.example", "0.0.0.0"] {
        for request in ["GET /", "GET /v1/models", "POST /api/unclip.v1.UnclipService/ListModels"] {
            assert_eq!(status_of_host(&server, request, host), 403, "{request} {host}");
        }
    }
    assert_eq!(status_of_host(&cluster.decoder, "GET /", "evil.example"), 403);
    let open = Server::start("unclip-gateway", &["--listen", "0.0.0.0:0"]).await;
    for host in ["unclip.default.svc.cluster.local", "evil.example"] {
        assert_eq!(status_of_host(&open, "GET /", host), 200, "in a cluster names are its own business");
    }
}

/// Waits until the server has closed a connection.
async fn closed(what: &str, mut stream: TcpStream) -> Vec<u8> {
    stream.set_nonblocking(true).unwrap();
    let mut read = Vec::new();
    wait_for(what, async || match stream.read_to_end(&mut read) {
        Ok(_) => Some(()),
        Err(error) => (error.kind() != ErrorKind::WouldBlock).then_some(()),
    })
    .await;
    read
}

#[tokio::test]
async fn silent_clients_are_let_go() {
    let cluster = Cluster::shared("tiny").await;
    let flags =
        ["--header-timeout-seconds", "1", "--body-timeout-seconds", "1", "--idle-timeout-seconds", "2"];
    let server = cluster.another_gateway(&flags).await;
    let body = head(GENERATIONS, &[JSON], 100);
    let (multipart, _) = form(&[]);
    let connections = [
        ("silence", Vec::new(), ""),
        ("half a head", body[..20].to_vec(), ""),
        ("half a preface", b"PRI * HT".to_vec(), ""),
        ("HTTP/2 without a request", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), ""),
        ("half JSON for OpenAI's API", [&body, &b"{"[..]].concat(), "body_stalled"),
        ("half a form", [&head(EDITS, &[multipart], 100), &b"--edge\r\n"[..]].concat(), "body_stalled"),
        (
            "half JSON",
            [&head("POST /api/unclip.v1.UnclipService/ListModels", &[JSON], 9), &b"{"[..]].concat(),
            "DEADLINE_EXCEEDED",
        ),
        (
            "half a message",
            [&head(&format!("POST {LIST}"), &[GRPC], 9), &b"\0\0\0\0\x05"[..]].concat(),
            "grpc-status: 4",
        ),
        (
            "a connection that is kept",
            b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            "200 OK",
        ),
    ];
    for (what, bytes, expected) in connections {
        let answer = closed(what, send_raw(&server, &bytes)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(expected), "{what}: {answer}");
    }
}

#[tokio::test]
async fn slow_uploads_make_room() {
    let cluster = Cluster::shared("tiny").await;
    let server = cluster.another_gateway(&["--uploads-mib", "64", "--body-timeout-seconds", "3600"]).await;
    let file = vec![0; 20 << 20];
    let (header, body) = form(&[("image", "a.png", &file), ("mask", "b.png", &file), ("prompt", "", b"a")]);
    let halves: Vec<_> = (0..2)
        .map(|_| send_raw(&server, &[&head(EDITS, &[header], body.len()), &body[..31 << 20]].concat()))
        .collect();
    let held = async || (server.metrics().sum("unclip_upload_bytes", &[]) > 60e6).then_some(());
    wait_for("the memory for uploads to be full", held).await;
    // What is silent has to go for what is not, over each interface.
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    wait_for("a form", async || (send(&server, EDITS, &[header], &body).status == 400).then_some(())).await;
    assert_eq!(json_call(&server, "ListModels", &serde_json::json!({})).await.status, 200);
    generate(&server, good).await.unwrap();
    drop(halves);
    let free = async || (server.metrics().sum("unclip_upload_bytes", &[]) < 1.0).then_some(());
    wait_for("all memory to be free again", free).await;
}

#[tokio::test]
async fn a_body_that_can_never_fit_is_refused_for_good() {
    let cluster = Cluster::shared("tiny").await;
    let server = cluster.another_gateway(&["--uploads-mib", "64"]).await;
    let body = [&b"{\"images\": [\""[..], &vec![b'A'; 70 << 20], b"\"]}"].concat();
    let answer = send(&server, "POST /api/unclip.v1.UnclipService/EncodeImage", &[JSON], &body);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("--uploads-mib"), "{answer:?}");
}

#[tokio::test]
async fn a_full_house_has_room_for_who_asks() {
    let cluster = Cluster::shared("tiny").await;
    let server = cluster.another_gateway(&["--max-connections", "4"]).await;
    let half = [head(GENERATIONS, &[JSON], 100), b"{".to_vec()].concat();
    let mut guests: Vec<_> =
        (0..8).map(|at| send_raw(&server, if at % 2 == 0 { &[] } else { &half })).collect();
    for _ in 0..8 {
        assert_eq!(send(&server, "GET /v1/models", &[], b"").status, 200);
        guests.push(send_raw(&server, b""));
    }
    let mut models = UnclipServiceClient::new(server.channel());
    models.list_models(ListModelsRequest {}).await.unwrap();
    assert!(server.metrics().sum("unclip_connections", &[]) <= 5.0);
}

#[tokio::test]
async fn a_server_that_drains_waits_for_no_silent_client() {
    let cluster = Cluster::shared("tiny").await;
    let mut server =
        cluster.another_gateway(&["--drain-seconds", "3600", "--body-timeout-seconds", "3600"]).await;
    let half = head(GENERATIONS, &[JSON], 100);
    let silent =
        [&b""[..], &half[..20], &half, &[&half, &b"{"[..]].concat(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    let connections = silent.map(|bytes| send_raw(&server, bytes));
    // An answer that is over, on a connection that is kept.
    let mut kept = send_raw(&server, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
    kept.read_exact(&mut [0; 12]).unwrap();
    server.signal("TERM");
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(!server.has_logged("cut off"));
    drop((connections, kept));
}
