//! What the endpoints share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::request::Parts;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{ListModelsRequest, ModelInfo};
use unclip_service::{MAX_MESSAGE_BYTES, RequestContext, Transport};

use super::error::ApiError;
use super::files::Files;
use crate::http::Public;
use crate::{HttpArgs, ModelNames};

/// The gateway, and what this API holds besides.
#[derive(Clone)]
pub(super) struct Api {
    gateway: Transport,
    settings: Arc<Settings>,
}

/// Flags and what lives as long as the server.
pub(super) struct Settings {
    public: Public,
    pub(super) model_name: String,
    model_names: ModelNames,
    /// What can't be honoured is refused.
    pub(super) strict: bool,
    pub(super) files: Files,
    /// When this server started, in seconds since 1970.
    pub(super) started: u64,
}

impl Api {
    /// An API in front of this gateway.
    pub(super) fn new(gateway: Transport, public: &Public, args: &HttpArgs) -> Self {
        let settings = Settings {
            public: public.clone(),
            model_name: args.model_name.clone(),
            model_names: args.openai_models,
            strict: args.openai_strict,
            files: Files::new(u64::from(args.pictures_mib) << 20),
            started: now(),
        };
        Self { gateway, settings: Arc::new(settings) }
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
        self.settings.public.base_url(&parts.uri, &parts.headers)
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
