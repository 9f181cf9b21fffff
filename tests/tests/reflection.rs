//! What a server lists by reflection it can also describe, in both versions: clients like buf ask for all of it.

use tonic_reflection::pb::{v1, v1alpha};
use unclip_tests::{Cluster, Server};

/// Lists the services of a server and asks for the file of each, by one version of the protocol.
macro_rules! described {
    ($version:ident, $server:expr) => {{
        use $version::server_reflection_client::ServerReflectionClient;
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let ask = async |request: MessageRequest| {
            let request =
                $version::ServerReflectionRequest { host: String::new(), message_request: Some(request) };
            let mut client = ServerReflectionClient::new($server.channel());
            let answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
            answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap()
        };
        let MessageResponse::ListServicesResponse(list) =
            ask(MessageRequest::ListServices(String::new())).await
        else {
            panic!("no list");
        };
        let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
        for name in &names {
            let answer = ask(MessageRequest::FileContainingSymbol(name.clone())).await;
            assert!(
                matches!(answer, MessageResponse::FileDescriptorResponse(_)),
                "{name} is listed, but: {answer:?}"
            );
        }
        names
    }};
}

async fn assert_described(service: &str, server: &Server) {
    let names = described!(v1, server);
    assert_eq!(names, described!(v1alpha, server), "{service}");
    for expected in [service, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.iter().any(|name| name == expected), "{expected} is not in {names:?}");
    }
}

#[tokio::test]
async fn every_listed_service_is_described_in_both_versions() {
    let cluster = Cluster::shared("tiny").await;
    for (service, server) in cluster.servers() {
        assert_described(service, server).await;
    }
}
