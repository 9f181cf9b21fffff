//! The image tower: pictures to embeddings.

use image::RgbImage;
use ort::session::Session;
use ort::value::Tensor;
use unclip_bundle::{Bundle, Component};

use crate::tower::{self, Network, row_length};
use crate::{ClipError, ClipPreprocessor, onnx, runtime};

/// Pictures per run of the network; bounds its memory.
const BATCH: usize = 8;

/// transformers' `CLIPVisionModelWithProjection` with its preprocessing.
pub struct ImageTower {
    network: Network,
    preprocessor: ClipPreprocessor,
    embedding_dim: usize,
}

impl ImageTower {
    /// Loads the bundle's preprocessing and `image_encoder/model.onnx`, to be run on `threads` threads.
    ///
    /// # Errors
    /// [`unclip_bundle::BundleError::NotImported`] when the graph is missing or was written for other weights, whatever
    /// [`crate::check_image_tower`] finds wrong with the bundle, and [`crate::init`]'s.
    pub fn load(bundle: &Bundle, threads: usize) -> Result<Self, ClipError> {
        let preprocessor = ClipPreprocessor::load(bundle)?;
        let graph = onnx::image_graph(bundle)?;
        let network = tower::load(bundle, Component::ImageEncoder, graph, threads)?;
        Ok(Self { embedding_dim: row_length(&network.session, "image_embeds"), network, preprocessor })
    }

    /// Width of the embedding.
    pub fn embedding_dim(&self) -> usize {
        self.embedding_dim
    }

    /// Encodes any number of pictures, each as if it were alone: an embedding `[embedding_dim]` each, not normalised.
    ///
    /// # Errors
    /// [`ClipError::Image`] for a picture without pixels, and [`ClipError::Session`].
    pub fn encode(&mut self, images: &[RgbImage]) -> Result<Vec<Vec<f32>>, ClipError> {
        let mut embeddings = Vec::with_capacity(images.len());
        for images in images.chunks(BATCH) {
            let pixels: Vec<_> =
                images.iter().map(|image| self.preprocessor.run(image)).collect::<Result<_, _>>()?;
            embeddings.extend(self.encode_pixels(&pixels)?);
        }
        Ok(embeddings)
    }

    /// The same of pictures that went through [`ClipPreprocessor::run`] already: `[3, height, width]` each.
    ///
    /// # Errors
    /// [`ClipError::Session`].
    pub fn encode_pixels(&mut self, pictures: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, ClipError> {
        let mut embeddings = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(BATCH) {
            embeddings.extend(self.run(pictures.len(), pictures.concat())?);
        }
        Ok(embeddings)
    }

    fn run(&mut self, batch: usize, pixels: Vec<f32>) -> Result<Vec<Vec<f32>>, ClipError> {
        let (height, width) = self.preprocessor.size();
        let rows = forward(&mut self.network.session, [batch, 3, height, width], pixels)
            .map_err(|error| runtime::failed(&self.network.path, &error))?;
        Ok(rows.chunks_exact(self.embedding_dim).map(<[f32]>::to_vec).collect())
    }
}

/// Image embeddings `[batch, embedding_dim]`.
fn forward(session: &mut Session, shape: [usize; 4], pixels: Vec<f32>) -> ort::Result<Vec<f32>> {
    let pixels = Tensor::from_array((shape, pixels))?;
    let outputs = session.run(ort::inputs!["pixel_values" => pixels])?;
    Ok(outputs["image_embeds"].try_extract_tensor::<f32>()?.1.to_vec())
}
