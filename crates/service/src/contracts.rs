//! The contracts that servers know, and the methods in them.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// Every contract as an encoded `FileDescriptorSet`: unclip's own, health, and both versions of reflection, each of which
/// lists the other.
pub(crate) const DESCRIPTOR_SETS: [&[u8]; 4] = [
    unclip_proto::FILE_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// A method of a contract, by its names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// The service with its package, as `unclip.v1.UnclipService`.
    pub(crate) service: String,
    /// As `GenerateImage`.
    pub(crate) name: String,
}

static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let files = DESCRIPTOR_SETS.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok());
    files.flat_map(methods).map(|method| (format!("/{}/{}", method.service, method.name), method)).collect()
});

static OTHER: LazyLock<Method> =
    LazyLock::new(|| Method { service: "other".to_owned(), name: "other".to_owned() });

fn methods(set: FileDescriptorSet) -> Vec<Method> {
    let mut found = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            found.extend(
                service
                    .method
                    .iter()
                    .map(|method| Method { service: service_name.clone(), name: method.name().to_owned() }),
            );
        }
    }
    found
}

impl Method {
    /// The method at a path, as `/unclip.v1.UnclipService/GenerateImage`. Whatever no contract has is one and the same method,
    /// `other`: a client that invents paths must not fill the metrics.
    pub(crate) fn at(path: &str) -> &'static Self {
        METHODS.get(path).unwrap_or(&OTHER)
    }

    /// Whether nobody wants a line in the log for each of its calls: health, reflection, and what gateways ask of stages.
    pub(crate) fn is_asked_all_the_time(&self) -> bool {
        self.service.starts_with("grpc.") || self.name == "GetModelInfo"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_the_contracts_are_known() {
        for (path, service, name) in [
            ("/unclip.v1.UnclipService/GenerateImage", "unclip.v1.UnclipService", "GenerateImage"),
            ("/grpc.health.v1.Health/Watch", "grpc.health.v1.Health", "Watch"),
            (
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                "grpc.reflection.v1alpha.ServerReflection",
                "ServerReflectionInfo",
            ),
        ] {
            assert_eq!(Method::at(path), &Method { service: service.to_owned(), name: name.to_owned() });
        }
    }

    #[test]
    fn whatever_a_client_invents_is_one_method() {
        for path in [
            "",
            "/",
            "/unclip.v1.Invented/x",
            "/unclip.v1.UnclipService/Invented",
            "/unclip.v1.UnclipService/GenerateImage/",
            "//unclip.v1.UnclipService/GenerateImage",
            "/grpc.invented/x",
        ] {
            assert_eq!(Method::at(path).service, "other", "{path}");
        }
    }
}
