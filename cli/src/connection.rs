//! A gateway to ask: elsewhere, or with all stages in this process.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ArgGroup;
use tonic::Code;
use unclip_gateway::{CacheArgs, HttpArgs, RequestArgs};
use unclip_proto::v1::ListModelsRequest;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_service::{
    MAX_MESSAGE_BYTES, PictureArgs, RequestContext, TelemetryArgs, Transport, connect, in_process, server_url,
};
use unclip_stage::{BundleArgs, DeviceArgs, EngineArgs, NetworkArgs, OnnxRuntimeArgs};

use crate::import::import_if_needed;
use crate::local::{LocalArgs, services};

/// Flags of models in this process; what is elsewhere has its own.
const LOCAL: [&str; 8] =
    ["threads", "device", "dtype", "max_batch", "max_active", "max_queue", "batch_invariant", "onnxruntime"];

/// Where the models are.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("where").required(true).args(["bundle", "endpoint"]))]
pub(crate) struct ConnectionArgs {
    /// Directory of a bundle to use, in this process
    #[arg(long, env = "UNCLIP_BUNDLE", value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Address of a gateway to ask instead, as http://HOST:PORT. It goes before UNCLIP_BUNDLE
    #[arg(long, value_parser = server_url, value_name = "URL", conflicts_with_all = LOCAL)]
    endpoint: Option<String>,
    /// Threads of one operation on the CPU. Absent: one per core
    #[arg(long, env = "UNCLIP_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    onnxruntime: OnnxRuntimeArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

impl ConnectionArgs {
    /// A client of the gateway. Logs go to standard error from now on.
    pub(crate) async fn client(&self) -> anyhow::Result<UnclipServiceClient<Transport>> {
        Ok(UnclipServiceClient::new(self.transport().await?)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    /// The way to all services that are there. Logs go to standard error from now on.
    pub(crate) async fn transport(&self) -> anyhow::Result<Transport> {
        self.telemetry.start("warn")?;
        match &self.endpoint {
            Some(endpoint) => Ok(connect("--endpoint", endpoint)?),
            None => self.local().await,
        }
    }

    async fn local(&self) -> anyhow::Result<Transport> {
        let bundle = self.bundle.clone().context("--bundle or --endpoint is needed")?;
        import_if_needed(&bundle)?;
        let local = LocalArgs {
            network: NetworkArgs {
                bundle: BundleArgs { bundle, threads: self.threads },
                device: self.device.clone(),
                engine: self.engine.clone(),
            },
            onnxruntime: self.onnxruntime.clone(),
            cache: CacheArgs::in_memory(),
            requests: RequestArgs::unlimited(),
            http: HttpArgs::default(),
            pictures: PictureArgs::default(),
        };
        Ok(in_process(services(&local).await?))
    }
}

/// The CLIP space of the embeddings that the decoder takes.
///
/// # Errors
/// What the gateway refused with.
pub(crate) async fn space(client: &mut UnclipServiceClient<Transport>) -> anyhow::Result<String> {
    let request = RequestContext::fresh().request(ListModelsRequest {});
    let models = client.list_models(request).await.map_err(refused)?.into_inner().models;
    let decoder = models.into_iter().find(|model| model.stage == "decoder");
    Ok(decoder.context("the gateway names no decoder")?.space)
}

/// What a server answered instead of a result.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    message: String,
    code: Code,
}

impl Refused {
    /// Whether the server failed, rather than the request.
    pub(crate) fn is_servers_fault(&self) -> bool {
        match self.code {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => false,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => true,
        }
    }
}

/// What the gateway refused with, as an error of this program.
pub(crate) fn refused(status: tonic::Status) -> anyhow::Error {
    let message = match status.message() {
        "" => format!("the server answered {:?} without a word", status.code()),
        message => message.to_owned(),
    };
    Refused { message, code: status.code() }.into()
}
