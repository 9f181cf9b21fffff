//! Mean and standard deviation of CLIP image embeddings: the prior works on `(z - mean) / std`.

use unclip_bundle::config::PriorConfig;
use unclip_bundle::{Bundle, Component};

use crate::error::expect_len;
use crate::rows::{to_i64, to_vec};
use crate::{ModelError, Params, Placement, SafetensorsSource};

/// The prior's `clip_mean` and `clip_std`, in f32 whatever the network's dtype: they are the last thing done to an
/// embedding.
#[derive(Clone, Debug)]
pub struct EmbeddingStatistics {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl EmbeddingStatistics {
    /// Reads them from `prior/`.
    ///
    /// # Errors
    /// Files that are missing, damaged or don't fit the config.
    pub fn load(bundle: &Bundle) -> Result<Self, ModelError> {
        let config: PriorConfig = bundle.config(Component::Prior)?;
        let weights = bundle.weights(Component::Prior)?;
        let source = SafetensorsSource::new(&weights, Placement::REFERENCE);
        let params = Params::root(&source);
        let read = |name| to_vec(&params.tensor(name, &[1, to_i64(config.embedding_dim)])?);
        Ok(Self { mean: read("clip_mean")?, std: read("clip_std")? })
    }

    /// A normalised image embedding `[dim]` as CLIP's own: `z * clip_std + clip_mean`.
    ///
    /// # Errors
    /// [`ModelError::Input`] where the length is not the embedding's.
    pub fn denormalise(&self, embedding: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.apply(embedding, |z, mean, std| z * std + mean)
    }

    /// The inverse of [`EmbeddingStatistics::denormalise`]: `(embedding - clip_mean) / clip_std`.
    ///
    /// # Errors
    /// [`ModelError::Input`] where the length is not the embedding's.
    pub fn normalise(&self, embedding: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.apply(embedding, |z, mean, std| (z - mean) / std)
    }

    fn apply(
        &self,
        embedding: &[f32],
        change: impl Fn(f32, f32, f32) -> f32,
    ) -> Result<Vec<f32>, ModelError> {
        expect_len("embedding", embedding.len(), self.mean.len(), "values")?;
        let statistics = self.mean.iter().zip(&self.std);
        Ok(embedding.iter().zip(statistics).map(|(value, (mean, std))| change(*value, *mean, *std)).collect())
    }
}
