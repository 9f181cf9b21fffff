//! Loading the text encoder.

use unclip_bundle::config::{ClipTextConfig, TokenizerConfig};
use unclip_bundle::{Bundle, Component, Stage};
use unclip_clip::{TextTower, init};
use unclip_engine::ComputePermit;
use unclip_service::Error;
use unclip_stage::{BundleArgs, StageInfo, Worker};

use crate::TextEncoder;
use crate::rpc::STAGE;

/// Calls that may wait.
const QUEUE: usize = 256;

impl TextEncoder {
    /// Loads the text tower. `permit` is shared with whatever else computes on the CPU. `onnxruntime` is the library's
    /// path; without one it is looked for beside the program.
    ///
    /// # Errors
    /// A bundle that is incomplete or not imported, or no ONNX Runtime.
    pub async fn start(
        bundle: &BundleArgs,
        onnxruntime: Option<&std::path::Path>,
        permit: ComputePermit,
    ) -> anyhow::Result<Self> {
        let (files, opened) = bundle.open(Stage::TextEncoder)?;
        init(onnxruntime)?;
        let info = info(opened, &files)?;
        let threads = bundle.threads();
        let build = move || TextTower::load(&files, threads).map_err(anyhow::Error::from);
        let encode = |tower: &mut TextTower, texts: Vec<String>| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            tower
                .encode(&texts)
                .map_err(|error| Error::internal("the text encoder failed; its log says why", error))
        };
        let worker = Worker::start(STAGE, QUEUE, permit, build, encode).await?;
        Ok(Self::new(worker, info))
    }
}

fn info(opened: StageInfo, bundle: &Bundle) -> anyhow::Result<StageInfo> {
    let config: ClipTextConfig = bundle.config(Component::TextEncoder)?;
    let tokenizer: TokenizerConfig = bundle.config(Component::Tokenizer)?;
    let mut info =
        opened.embeddings(config.projection_dim).texts(tokenizer.model_max_length, config.hidden_size);
    info.model.logit_scale = bundle.logit_scale()?;
    Ok(info)
}
