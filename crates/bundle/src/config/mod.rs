//! The `config.json` of each component, as diffusers and transformers write them.
//!
//! A key that changes the network in a way unclip does not implement is refused by name, so that an unknown variant
//! never loads and draws noise.

mod clip;
mod preprocessor;
mod prior;
mod raw;
mod text_proj;
mod tokenizer;
mod unet;

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{BundleError, files};

pub use clip::{Activation, ClipTextConfig, ClipVisionConfig};
pub use preprocessor::{PreprocessorConfig, Size};
pub use prior::PriorConfig;
pub use raw::RawConfig;
pub use text_proj::TextProjConfig;
pub use tokenizer::{AddedToken, SpecialToken, TokenizerConfig};
pub use unet::{
    BlockType, PerLevel, TimeScaleShift, UNet2DConditionConfig, UNet2DConfig, UNetTrunk, upsampler_sides,
};

/// A config that knows its file's name and how its keys are read.
pub trait Config: Sized {
    /// The file inside the component's folder.
    const FILE: &'static str = "config.json";

    /// Takes what the network needs, and refuses what it does not implement and what can't be (zero widths, indivisible
    /// heads).
    ///
    /// # Errors
    /// The first bad key with its value and what is supported.
    fn parse(raw: &RawConfig) -> Result<Self, BundleError>;
}

/// Reads the config of type `C` in `folder`.
///
/// # Errors
/// A missing or unreadable file, and whatever [`Config::parse`] refuses.
pub fn read<C: Config>(folder: &Path) -> Result<C, BundleError> {
    C::parse(&RawConfig::read(&folder.join(C::FILE))?)
}

/// Reads a JSON file.
///
/// # Errors
/// A missing file, or one that does not parse as `T`, with the field where it does not.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, BundleError> {
    const HINT: &str = "a bundle is a directory in diffusers' layout; complete the download";
    let text = files::read_text(path, HINT)?;
    let refused = |reason: String| BundleError::Config { path: path.to_path_buf(), reason };
    let mut json = serde_json::Deserializer::from_str(&text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let reason = error.into_inner().to_string();
        // The path of the document itself is a dot.
        refused(if field == "." { reason } else { format!("{field}: {reason}") })
    })?;
    json.end().map_err(|error| refused(error.to_string()))?;
    Ok(value)
}
