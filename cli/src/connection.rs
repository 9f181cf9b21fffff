//! A gateway to ask: elsewhere, or with all stages in this process.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ArgGroup;
use unclip_gateway::{CacheArgs, HttpArgs};
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_service::{MAX_MESSAGE_BYTES, TelemetryArgs, Transport, connect, in_process};
use unclip_stage::{BundleArgs, DeviceArgs, EngineArgs, NetworkArgs, OnnxRuntimeArgs};

use crate::import::import_if_needed;
use crate::local::{LocalArgs, services};

/// Where the models are.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("where").required(true).args(["bundle", "endpoint"]))]
pub(crate) struct ConnectionArgs {
    /// Directory of a bundle to use, in this process
    #[arg(long, env = "UNCLIP_BUNDLE", value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Address of a gateway to ask instead, as http://HOST:PORT
    #[arg(long, value_name = "URL")]
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
        self.telemetry.start("warn")?;
        let transport = match &self.endpoint {
            Some(endpoint) => connect("--endpoint", endpoint)?,
            None => self.local().await?,
        };
        Ok(UnclipServiceClient::new(transport)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
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
            http: HttpArgs::default(),
        };
        Ok(in_process(services(&local).await?))
    }
}

/// What the gateway refused with, as an error of this program.
pub(crate) fn refused(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
}
