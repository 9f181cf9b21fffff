//! The RPCs that can be called, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use unclip_service::Code;

use super::failure::Failure;

/// The service whose methods are served.
const SERVICE: &str = "unclip.v1.UnclipService";

/// The methods of the gateway's service.
#[derive(Clone, Debug)]
pub(super) struct Methods(Arc<BTreeMap<String, MethodDescriptor>>);

impl Methods {
    /// From the contracts that are compiled in.
    pub(super) fn of_gateway() -> Self {
        let service = DescriptorPool::decode(unclip_proto::FILE_DESCRIPTOR_SET)
            .inspect_err(|error| tracing::error!(%error, "the contracts can't be read: no JSON calls"))
            .ok()
            .and_then(|pool| pool.get_service_by_name(SERVICE));
        let methods = service.iter().flat_map(|service| service.methods().collect::<Vec<_>>());
        Self(Arc::new(methods.map(|method| (method.name().to_owned(), method)).collect()))
    }

    /// The method of that name.
    pub(super) fn find(&self, service: &str, method: &str) -> Result<MethodDescriptor, Failure> {
        let found = self.0.get(method).filter(|_| service == SERVICE).cloned();
        found.ok_or_else(|| self.nothing_here())
    }

    /// Where they are called.
    pub(super) fn paths(&self) -> Vec<String> {
        self.0.keys().map(|method| format!("/api/{SERVICE}/{method}")).collect()
    }

    /// For a path that no method has.
    pub(super) fn nothing_here(&self) -> Failure {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let message = format!(
            "no such method; POST to /api/{SERVICE}/METHOD, where METHOD is one of {}",
            names.join(", ")
        );
        Failure::new(StatusCode::NOT_FOUND, Code::NotFound, message)
    }

    /// For a call that is no POST.
    pub(super) fn only_post(&self) -> Failure {
        let message = "calls are POST requests with a JSON body; an empty request is {}";
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidArgument, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_and_nothing_else() {
        let methods = Methods::of_gateway();
        assert!(methods.find(SERVICE, "GenerateImage").unwrap().is_server_streaming());
        assert!(!methods.find(SERVICE, "ListModels").unwrap().is_server_streaming());
        assert_eq!(methods.0.len(), 12);
        for (service, method) in [(SERVICE, "generateImage"), ("unclip.v1.PriorService", "SamplePrior")] {
            let failure = methods.find(service, method).unwrap_err();
            assert!(
                failure.message.contains("one of Classify, ComputeBasis, DiffImage,"),
                "{}",
                failure.message
            );
        }
    }
}
