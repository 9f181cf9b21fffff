//! What the endpoints share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{ListModelsRequest, ModelInfo};
use unclip_service::{Code, Error, MAX_MESSAGE_BYTES, RequestContext, Transport};

use super::budget::Budget;
use super::error::ApiError;
use super::files::Files;
use crate::{HttpArgs, ModelNames};

/// The gateway, and what this API holds besides.
#[derive(Clone)]
pub(super) struct Api {
    gateway: Transport,
    settings: Arc<Settings>,
}

/// Flags and what lives as long as the server.
pub(super) struct Settings {
    public_url: Option<String>,
    pub(super) model_name: String,
    model_names: ModelNames,
    pub(super) files: Files,
    pub(super) uploads: Arc<Budget>,
    /// When this server started, in seconds since 1970.
    pub(super) started: u64,
}

impl Api {
    /// An API in front of this gateway.
    pub(super) fn new(gateway: Transport, args: &HttpArgs) -> Result<Self, Error> {
        let settings = Settings {
            public_url: args.public_url.as_deref().map(public_url).transpose()?,
            model_name: args.model_name.clone(),
            model_names: args.openai_models,
            files: Files::new(u64::from(args.pictures_mib) << 20),
            uploads: Budget::new((args.uploads_mib as usize) << 20),
            started: now(),
        };
        Ok(Self { gateway, settings: Arc::new(settings) })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A client of the gateway.
    pub(super) fn client(&self) -> UnclipServiceClient<Transport> {
        UnclipServiceClient::new(self.gateway.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// What a stage says of itself.
    pub(super) async fn stage(&self, context: &RequestContext, stage: &str) -> Result<ModelInfo, ApiError> {
        let models =
            self.client().list_models(context.request(ListModelsRequest {})).await?.into_inner().models;
        let found = models.into_iter().find(|model| model.stage == stage);
        found.ok_or_else(|| ApiError::internal("the gateway did not say what it serves", stage))
    }

    /// Refuses a model's name that is not taken.
    pub(super) fn check_model(&self, name: Option<&str>) -> Result<(), ApiError> {
        let own = &self.settings.model_name;
        match (name, self.settings.model_names) {
            (Some(name), ModelNames::Listed) if name != own => Err(ApiError::no_model(name, own)),
            _ => Ok(()),
        }
    }

    /// Where the client reaches this server.
    pub(super) fn base_url(&self, parts: &Parts) -> Option<String> {
        match &self.settings.public_url {
            Some(url) => Some(url.clone()),
            None => host(&parts.uri, &parts.headers).map(|host| format!("http://{host}")),
        }
    }
}

/// The host that the request names: HTTP/2 has it in the address, HTTP/1.1 in a header.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let header = || headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    uri.authority().cloned().or_else(header)
}

fn public_url(url: &str) -> Result<String, Error> {
    let problem = || {
        let message = format!(
            "--public-url: `{url}` is no address; give http://HOST or https://HOST, with a path if need be"
        );
        Error::new(Code::InvalidArgument, message)
    };
    let uri: Uri = url.parse().map_err(|_| problem())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    match is_http && uri.authority().is_some() && uri.query().is_none() {
        true => Ok(url.trim_end_matches('/').to_owned()),
        false => Err(problem()),
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_address() {
        assert_eq!(
            public_url("https://pictures.example/unclip/").unwrap(),
            "https://pictures.example/unclip"
        );
        for bad in ["pictures.example", "ftp://pictures.example", "http://", "https://a/?b=c", ""] {
            let text = public_url(bad).unwrap_err().to_string();
            assert!(text.starts_with(&format!("--public-url: `{bad}` is no address")), "{text}");
        }
    }

    #[test]
    fn the_host_comes_with_the_request() {
        let mut headers = HeaderMap::new();
        assert_eq!(host(&"/v1/models".parse().unwrap(), &headers), None);
        headers.insert(header::HOST, "a.example:8080".parse().unwrap());
        assert_eq!(host(&"/v1".parse().unwrap(), &headers).unwrap(), "a.example:8080");
        assert_eq!(host(&"http://b.example/v1".parse().unwrap(), &headers).unwrap(), "b.example");
        headers.insert(header::HOST, "no host\u{7f}".parse().unwrap_or_else(|_| "a b".parse().unwrap()));
        assert_eq!(host(&"/v1".parse().unwrap(), &headers), None);
    }
}
