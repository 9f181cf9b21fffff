//! Loading the image encoder.

use std::sync::Arc;

use unclip_bundle::config::ClipVisionConfig;
use unclip_bundle::{Bundle, Component, Stage};
use unclip_clip::{ClipPreprocessor, ImageTower, init};
use unclip_engine::ComputePermit;
use unclip_pictures::Pool;
use unclip_service::Error;
use unclip_stage::{BundleArgs, StageInfo, Worker};

use crate::ImageEncoder;
use crate::rpc::STAGE;

/// Calls that may wait. Pictures are large.
const QUEUE: usize = 32;

impl ImageEncoder {
    /// Loads the image tower. `permit` is shared with whatever else computes on the CPU. `onnxruntime` is the library's
    /// path; without one it is looked for beside the program. Pictures are decoded in `pool`.
    ///
    /// # Errors
    /// A bundle that is incomplete, not imported or without an image encoder, or no ONNX Runtime.
    pub async fn start(
        bundle: &BundleArgs,
        onnxruntime: Option<&std::path::Path>,
        permit: ComputePermit,
        pool: Pool,
    ) -> anyhow::Result<Self> {
        let (files, opened) = bundle.open(Stage::ImageEncoder)?;
        init(onnxruntime)?;
        let info = info(opened, &files)?;
        let preprocessor = Arc::new(ClipPreprocessor::load(&files)?);
        let threads = bundle.threads();
        let build = move || ImageTower::load(&files, threads).map_err(anyhow::Error::from);
        let encode = |tower: &mut ImageTower, pictures: Vec<Vec<f32>>| {
            let failed = |error| Error::internal("the image encoder failed; its log says why", error);
            tower.encode_pixels(&pictures).map_err(failed)
        };
        let worker = Worker::start(STAGE, QUEUE, permit, build, encode).await?;
        Ok(Self { worker, preprocessor, pool, info })
    }
}

fn info(opened: StageInfo, bundle: &Bundle) -> anyhow::Result<StageInfo> {
    let config: ClipVisionConfig = bundle.config(Component::ImageEncoder)?;
    Ok(opened.embeddings(config.projection_dim))
}
