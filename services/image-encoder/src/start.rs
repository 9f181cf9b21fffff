//! Loading the image encoder.

use image::RgbImage;
use unclip_bundle::config::ClipVisionConfig;
use unclip_bundle::{Bundle, Component, Manifest};
use unclip_clip::{ImageTower, init};
use unclip_engine::ComputePermit;
use unclip_service::{Code, Error};
use unclip_stage::{BundleArgs, StageInfo, Worker};

use crate::ImageEncoder;
use crate::rpc::STAGE;

/// Calls that may wait. Pictures are large.
const QUEUE: usize = 32;

impl ImageEncoder {
    /// Loads the image tower. `permit` is shared with whatever else computes on the CPU. `onnxruntime` is the library's
    /// path; without one it is looked for beside the program.
    ///
    /// # Errors
    /// A bundle that is incomplete, not imported or without an image encoder, or no ONNX Runtime.
    pub async fn start(
        bundle: &BundleArgs,
        onnxruntime: Option<&std::path::Path>,
        permit: ComputePermit,
    ) -> anyhow::Result<Self> {
        let (files, manifest) = bundle.open()?;
        init(onnxruntime)?;
        let info = info(&files, &manifest)?;
        let threads = bundle.threads();
        let build = move || ImageTower::load(&files, threads).map_err(anyhow::Error::from);
        let encode = |tower: &mut ImageTower, images: Vec<RgbImage>| {
            tower.encode(&images).map_err(|error| match error {
                unclip_clip::ClipError::Image { .. } => {
                    Error::new(Code::InvalidArgument, format!("images: {error}"))
                }
                error => Error::internal("the image encoder failed; its log says why", error),
            })
        };
        let worker = Worker::start(STAGE, QUEUE, permit, build, encode).await?;
        Ok(Self::new(worker, info))
    }
}

fn info(bundle: &Bundle, manifest: &Manifest) -> anyhow::Result<StageInfo> {
    let config: ClipVisionConfig = bundle.config(Component::ImageEncoder)?;
    Ok(StageInfo::new("image-encoder", bundle, manifest)?.embeddings(config.projection_dim))
}
