//! A trained CLIP, as the prior and the decoder use it.

use std::path::Path;

use tch::{Device, Kind, Tensor};
use unclip_bundle::config::{ClipTextConfig, ClipVisionConfig};
use unclip_bundle::{Bundle, Component};
use unclip_clip::ClipTokenizer;
use unclip_models::{ModelError, Params, Placement, SafetensorsSource};

use super::{TextTower, VisionTower};
use crate::TrainError;
use crate::bundle::clip_fingerprint;
use crate::pictures::{picture_tensor, resize, token_tensor};
use crate::run::BatchSource;

/// Pictures, in batches of 256, that the embeddings' mean and deviation are computed from.
const STATISTICS_BATCHES: u64 = 24;

/// The seed's other sequence of batches, for what happens before training.
const BEFORE: u64 = 0x5eed;

/// Deviations below this would blow up what hardly varies.
const SMALLEST_DEVIATION: f64 = 1e-3;

/// How a CLIP's embeddings of training pictures spread, `[1, dim]` each, f32 on the CPU.
pub struct Statistics {
    /// Their mean.
    pub mean: Tensor,
    /// Their standard deviation, at least a thousandth.
    pub deviation: Tensor,
}

/// The files of a trained CLIP. Towers are loaded once per network with [`FrozenClip::towers`].
pub struct FrozenClip {
    bundle: Bundle,
    text: ClipTextConfig,
    vision: ClipVisionConfig,
    tokenizer: ClipTokenizer,
    fingerprint: String,
}

/// What a batch of captions becomes.
pub struct TextStates {
    /// `[batch, dim]`.
    pub embedding: Tensor,
    /// `[batch, tokens, dim]`.
    pub states: Tensor,
}

impl FrozenClip {
    /// Opens a bundle's tokenizer and towers: the `bundle/` of a run of CLIP's trainer, or any other.
    ///
    /// # Errors
    /// A part that is missing or damaged.
    pub fn open(root: &Path) -> Result<Self, TrainError> {
        let bundle = Bundle::open(root)?;
        Ok(Self {
            text: bundle.config(Component::TextEncoder)?,
            vision: bundle.config(Component::ImageEncoder)?,
            tokenizer: ClipTokenizer::load(&bundle)?,
            fingerprint: clip_fingerprint(&bundle)?,
            bundle,
        })
    }

    /// Width of an embedding.
    pub fn dim(&self) -> usize {
        self.text.projection_dim
    }

    /// Tokens of a text.
    pub fn tokens(&self) -> usize {
        self.tokenizer.tokens()
    }

    /// Side of the pictures it looks at.
    pub fn side(&self) -> usize {
        self.vision.image_size
    }

    /// Which CLIP it is.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Ids and mask of captions, see `token_tensor`.
    ///
    /// # Errors
    /// A caption that can't be tokenized.
    pub fn tokenize(&self, captions: &[String]) -> Result<(Tensor, Tensor), TrainError> {
        token_tensor(&self.tokenizer, captions)
    }

    /// Mean and standard deviation of the embeddings of training pictures.
    ///
    /// # Errors
    /// Weights that are missing, or what libtorch refuses.
    pub fn statistics(
        &self,
        train: &dyn BatchSource,
        seed: u64,
        placement: Placement,
    ) -> Result<Statistics, TrainError> {
        let towers = self.towers(placement)?;
        let embed = |step| {
            let pictures = picture_tensor(&train.batch(seed ^ BEFORE, step, 256))?;
            let embedded = towers.pictures(&pictures.f_to_device(placement.device)?)?;
            Ok(embedded.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?)
        };
        let all = (0..STATISTICS_BATCHES).map(embed).collect::<Result<Vec<_>, TrainError>>()?;
        let all = Tensor::f_cat(&all, 0)?;
        let mean = all.mean_dim([0_i64].as_slice(), true, Kind::Float);
        let deviation = all.std_dim([0_i64].as_slice(), true, true).clamp_min(SMALLEST_DEVIATION);
        Ok(Statistics { mean, deviation })
    }

    /// Both towers, without gradients.
    ///
    /// # Errors
    /// Weights that are missing or of another shape.
    pub fn towers(&self, placement: Placement) -> Result<FrozenTowers, ModelError> {
        let text = self.bundle.weights(Component::TextEncoder)?;
        let text = TextTower::new(&Params::root(&SafetensorsSource::new(&text, placement)), &self.text)?;
        let vision = self.bundle.weights(Component::ImageEncoder)?;
        let source = SafetensorsSource::new(&vision, placement);
        let vision = VisionTower::new(&Params::root(&source), &self.vision)?;
        Ok(FrozenTowers { text, vision, side: self.side() })
    }
}

/// Towers that are not trained.
pub struct FrozenTowers {
    text: TextTower,
    vision: VisionTower,
    side: usize,
}

impl FrozenTowers {
    /// Encodes token ids `[batch, tokens]`.
    pub fn texts(&self, ids: &Tensor) -> TextStates {
        let output = tch::no_grad(|| self.text.forward(ids));
        TextStates { embedding: output.embedding, states: output.states }
    }

    /// Embeds pictures `[batch, 3, side, side]` of any side, as `[batch, dim]`.
    ///
    /// # Errors
    /// libtorch can't resize them.
    pub fn pictures(&self, pictures: &Tensor) -> Result<Tensor, TrainError> {
        tch::no_grad(|| Ok(self.vision.forward(&resize(pictures, self.side)?)))
    }
}
