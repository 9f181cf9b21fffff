//! Which files a bundle has and where.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::config::{self, Config};
use crate::{BundleError, BundleSampling, WeightFiles, Weights};

/// The architecture family, told by `_class_name` in `model_index.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Karlo: diffusers' `UnCLIPPipeline` or `UnCLIPImageVariationPipeline`.
    Karlo,
}

/// A folder of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// `CLIPTokenizer`.
    Tokenizer,
    /// `CLIPTextModelWithProjection`.
    TextEncoder,
    /// `CLIPImageProcessor`.
    FeatureExtractor,
    /// `CLIPVisionModelWithProjection`.
    ImageEncoder,
    /// `PriorTransformer`.
    Prior,
    /// `UnCLIPScheduler` of the prior.
    PriorScheduler,
    /// `UnCLIPTextProjModel`.
    TextProj,
    /// `UNet2DConditionModel`.
    Decoder,
    /// `UnCLIPScheduler` of the decoder.
    DecoderScheduler,
    /// `UNet2DModel`, for all steps but the last.
    SuperResFirst,
    /// `UNet2DModel`, for the last step.
    SuperResLast,
    /// `UnCLIPScheduler` of the upsampler.
    SuperResScheduler,
}

impl Component {
    /// The folder's name.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Tokenizer => "tokenizer",
            Self::TextEncoder => "text_encoder",
            Self::FeatureExtractor => "feature_extractor",
            Self::ImageEncoder => "image_encoder",
            Self::Prior => "prior",
            Self::PriorScheduler => "prior_scheduler",
            Self::TextProj => "text_proj",
            Self::Decoder => "decoder",
            Self::DecoderScheduler => "decoder_scheduler",
            Self::SuperResFirst => "super_res_first",
            Self::SuperResLast => "super_res_last",
            Self::SuperResScheduler => "super_res_scheduler",
        }
    }

    /// Whether it has weights beside its config.
    pub fn has_weights(self) -> bool {
        !matches!(
            self,
            Self::Tokenizer
                | Self::FeatureExtractor
                | Self::PriorScheduler
                | Self::DecoderScheduler
                | Self::SuperResScheduler
        )
    }

    /// The weights' file name without `.safetensors`: transformers and diffusers differ.
    pub fn weights_stem(self) -> &'static str {
        match self {
            Self::TextEncoder | Self::ImageEncoder => "model",
            _ => "diffusion_pytorch_model",
        }
    }
}

/// A model directory in diffusers' layout.
#[derive(Clone, Debug)]
pub struct Bundle {
    root: PathBuf,
    family: Family,
    sampling: BundleSampling,
    /// `model_index.json`.
    index: Map<String, Value>,
    /// The variant of the weights that is wanted.
    variant: Option<String>,
}

impl Bundle {
    /// Reads `model_index.json` and, where there is one, `sampling.json` in `root`.
    ///
    /// # Errors
    /// No such directory, no index, a pipeline class that unclip does not serve, or defaults that can't be.
    pub fn open(root: &Path) -> Result<Self, BundleError> {
        if !root.is_dir() {
            let hint = "give the directory of a checkpoint in diffusers' layout".to_owned();
            return Err(BundleError::Missing { path: root.to_path_buf(), hint });
        }
        let path = root.join("model_index.json");
        let index: Map<String, Value> = config::read_json(&path)?;
        let family = family(&index).map_err(|found| BundleError::Unsupported {
            path,
            key: "_class_name".to_owned(),
            found,
            supported: "UnCLIPPipeline, UnCLIPImageVariationPipeline (Karlo)".to_owned(),
        })?;
        let sampling = BundleSampling::read(root)?;
        Ok(Self { root: root.to_path_buf(), family, sampling, index, variant: None })
    }

    /// The same bundle with the weights of this variant, where a part has it.
    #[must_use]
    pub fn with_variant(self, variant: Option<String>) -> Self {
        Self { variant, ..self }
    }

    /// The variant of the weights that is wanted.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The architecture family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// How the stages sample unless a request says otherwise.
    pub fn sampling(&self) -> BundleSampling {
        self.sampling
    }

    /// The folder of a component.
    pub fn folder(&self, component: Component) -> PathBuf {
        self.root.join(component.folder())
    }

    /// Whether `model_index.json` lists the component. diffusers writes `[null, null]` for an optional one that is not
    /// there.
    pub fn lists(&self, component: Component) -> bool {
        match self.index.get(component.folder()) {
            None | Some(Value::Null) => false,
            Some(Value::Array(parts)) => !parts.iter().all(Value::is_null),
            Some(_) => true,
        }
    }

    /// Whether the component's folder is there.
    pub fn has(&self, component: Component) -> bool {
        self.folder(component).is_dir()
    }

    /// Reads the config of a component.
    ///
    /// # Errors
    /// See [`config::read`].
    pub fn config<C: Config>(&self, component: Component) -> Result<C, BundleError> {
        config::read(&self.folder(component))
    }

    /// Reads a component's `scheduler_config.json`.
    ///
    /// # Errors
    /// A missing or unreadable file.
    pub fn json<T: serde::de::DeserializeOwned>(
        &self,
        component: Component,
        file: &str,
    ) -> Result<T, BundleError> {
        config::read_json(&self.folder(component).join(file))
    }

    /// Finds the files of a component's weights.
    ///
    /// # Errors
    /// See [`WeightFiles::find`].
    pub fn weight_files(&self, component: Component) -> Result<WeightFiles, BundleError> {
        WeightFiles::find(&self.folder(component), component.weights_stem(), self.variant())
    }

    /// Maps the weights of a component.
    ///
    /// # Errors
    /// See [`WeightFiles::find`] and [`Weights::open`].
    pub fn weights(&self, component: Component) -> Result<Weights, BundleError> {
        Weights::open(self.weight_files(component)?)
    }
}

/// The family of a pipeline, or what stands in place of its class.
fn family(index: &Map<String, Value>) -> Result<Family, String> {
    match index.get("_class_name") {
        Some(Value::String(class)) => match class.as_str() {
            "UnCLIPPipeline" | "UnCLIPImageVariationPipeline" => Ok(Family::Karlo),
            other => Err(other.to_owned()),
        },
        Some(other) => Err(other.to_string()),
        None => Err("absent".to_owned()),
    }
}
