//! `GET /v1/models`: the one model behind the gateway.

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use unclip_proto::v1::ListModelsRequest;
use unclip_service::RequestContext;

use super::api::Api;
use super::error::{ApiError, json_response};

/// All models.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(context): Extension<RequestContext>,
) -> Result<Response, ApiError> {
    let model = model(&api, &context).await?;
    Ok(json_response(StatusCode::OK, &json!({"object": "list", "data": [model]})))
}

/// One model. Names that are only taken for it are not listed, so they are not here either.
pub(super) async fn retrieve(
    State(api): State<Api>,
    Extension(context): Extension<RequestContext>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let own = &api.settings().model_name;
    // A name that is no UTF-8 is no model's.
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    match name == *own {
        true => Ok(json_response(StatusCode::OK, &model(&api, &context).await?)),
        false => Err(ApiError::no_model(&name, own)),
    }
}

async fn model(api: &Api, context: &RequestContext) -> Result<Value, ApiError> {
    let request = context.request(ListModelsRequest {});
    let stages = api.client().list_models(request).await?.into_inner().models;
    let size = stages.iter().find(|stage| stage.stage == "upsampler");
    let size = size.map(|stage| format!("{}x{}", stage.width, stage.height));
    let stages: Vec<_> = stages
        .iter()
        .map(|stage| json!({"stage": stage.stage, "fingerprint": stage.fingerprint, "dtype": stage.dtype}))
        .collect();
    Ok(json!({
        "id": api.settings().model_name,
        "object": "model",
        "created": api.settings().started,
        "owned_by": "unclip",
        "size": size,
        "stages": stages,
    }))
}
