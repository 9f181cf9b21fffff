//! Foreign clients: Python's grpcio with health and reflection, without any code generated from our contracts.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::process::Command;

use serde_json::{Value, json};
use unclip_tests::{Cluster, Server, repository};

/// What tests/clients/foreign.py finds at a server.
fn foreign(server: &Server, service: &str) -> Value {
    let packages = repository().join(".python/clients");
    assert!(packages.is_dir(), "{}: not found; run make setup-tests", packages.display());
    let output = Command::new("python3")
        .arg(repository().join("tests/clients/foreign.py"))
        .args([&server.address().to_string(), service, "a red fox"])
        .env("PYTHONPATH", packages)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{service}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How many messages tell of progress depends on how fast they are read.
fn without_progress(found: &Value) -> Value {
    let mut found = found.clone();
    if let Some(drawn) = found.get_mut("drawn").and_then(Value::as_object_mut) {
        drawn.remove("progress");
    }
    found
}

#[tokio::test]
async fn grpcio_finds_and_calls_every_service_by_reflection() {
    let cluster = Cluster::shared("tiny").await;
    for (service, server) in cluster.servers() {
        let found = foreign(server, service);
        let [v1, v1alpha] = ["v1", "v1alpha"].map(|version| without_progress(&found[version]));
        assert_eq!(v1, v1alpha, "{service}: both versions of reflection");
        let serving =
            json!({"": "SERVING", service: "SERVING", "readiness": "SERVING", "liveness": "SERVING"});
        assert_eq!(found["health"], serving, "{service}");
        assert_eq!(found["unknown"], "NOT_FOUND", "{service}");
        assert_eq!(found["well_known_client"], found["v1"]["methods"], "{service}");
        let mut services = vec![
            service,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ];
        services.sort_unstable();
        assert_eq!(found["v1"]["services"], json!(services), "{service} lists what it serves");
        if service != "unclip.v1.UnclipService" {
            let info = &found["v1"]["GetModelInfo"][0]["modelInfo"];
            assert_eq!(info["fingerprint"].as_str().map(str::len), Some(32), "{service}: {info}");
            assert_eq!(info["dtype"], "f32", "{service}: {info}");
        }
    }
}

#[tokio::test]
async fn grpcio_draws_pictures_by_reflection() {
    let cluster = Cluster::shared("tiny").await;
    let found = foreign(&cluster.gateway, "unclip.v1.UnclipService");
    let drawn = &found["v1"]["drawn"];
    assert_eq!(drawn["png"], json!([true, true]));
    assert_eq!(drawn["seeds"], json!([7, 8]));
    assert_eq!(drawn["width"], 32);
    assert!(drawn["progress"].as_u64().unwrap() >= 8, "{drawn}");
    let models = found["v1"]["ListModels"][0]["models"].as_array().unwrap();
    let stages: Vec<_> = models.iter().map(|model| model["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["text-encoder", "prior", "decoder", "upsampler"]);
}
