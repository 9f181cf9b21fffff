//! The `config.json` of each component, as diffusers and transformers write them.
//!
//! A key that changes the network in a way unclip does not implement is refused by name, so that an unknown variant
//! never loads and draws noise.

mod clip;
mod prior;
mod text_proj;
mod tokenizer;
mod unet;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::BundleError;

pub use clip::{Activation, ClipTextConfig, ClipVisionConfig, PreprocessorConfig, Size};
pub use prior::PriorConfig;
pub use text_proj::TextProjConfig;
pub use tokenizer::{AddedToken, SpecialToken, TokenizerConfig};
pub use unet::{
    BlockType, PerLevel, SampleSize, TimeScaleShift, UNet2DConditionConfig, UNet2DConfig, UNetTrunk,
};

/// A config that knows its file name and checks its own values.
pub trait Config: DeserializeOwned {
    /// The file inside the component's folder.
    const FILE: &'static str = "config.json";

    /// Refuses what the network does not implement and what can't be (zero widths, indivisible heads).
    ///
    /// # Errors
    /// The first bad key with its value and what is supported.
    fn check(&self, raw: &RawConfig) -> Result<(), BundleError>;
}

/// Reads and checks the config of type `C` in `folder`.
///
/// # Errors
/// A missing or unreadable file, and whatever [`Config::check`] refuses.
pub fn read<C: Config>(folder: &Path) -> Result<C, BundleError> {
    let raw = RawConfig::read(&folder.join(C::FILE))?;
    let config: C = serde_json::from_value(Value::Object(raw.map.clone()))
        .map_err(|error| BundleError::Config { path: raw.path.clone(), reason: error.to_string() })?;
    config.check(&raw)?;
    Ok(config)
}

/// Reads a JSON file.
///
/// # Errors
/// A missing file, or one that does not parse as `T`.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, BundleError> {
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => BundleError::Missing {
            path: path.to_path_buf(),
            hint: "a bundle is a directory in diffusers' layout; complete the download".to_owned(),
        },
        _ => BundleError::Io { path: path.to_path_buf(), source },
    })?;
    serde_json::from_str(&text)
        .map_err(|error| BundleError::Config { path: path.to_path_buf(), reason: error.to_string() })
}

/// A config file as it stands, for checks on keys that only one value is supported of.
#[derive(Clone, Debug)]
pub struct RawConfig {
    path: PathBuf,
    map: Map<String, Value>,
}

impl RawConfig {
    fn read(path: &Path) -> Result<Self, BundleError> {
        Ok(Self { path: path.to_path_buf(), map: read_json(path)? })
    }

    /// Refuses the file when `key` is there with a value outside `supported`. An absent key has its default, which must
    /// be among the supported ones.
    ///
    /// # Errors
    /// [`BundleError::Unsupported`].
    pub fn only(&self, key: &str, supported: &[Value]) -> Result<(), BundleError> {
        match self.map.get(key) {
            Some(value) if !supported.contains(value) => {
                let supported: Vec<_> = supported.iter().map(Value::to_string).collect();
                Err(self.unsupported(key, value, supported.join(", ")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses the file when `key` is absent and its default would be another network.
    ///
    /// # Errors
    /// [`BundleError::Config`].
    pub fn required(&self, key: &str) -> Result<(), BundleError> {
        if self.map.contains_key(key) {
            return Ok(());
        }
        Err(BundleError::Config { path: self.path.clone(), reason: format!("the key {key} is missing") })
    }

    /// Refuses the file when a number is not in `range`, as a zero width would be.
    ///
    /// # Errors
    /// [`BundleError::Unsupported`].
    pub fn within(
        &self,
        key: &str,
        value: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<(), BundleError> {
        if range.contains(&value) {
            return Ok(());
        }
        Err(self.unsupported(key, value, format!("{} to {}", range.start(), range.end())))
    }

    /// The error for a key with an unsupported value.
    pub fn unsupported(&self, key: &str, found: impl ToString, supported: impl ToString) -> BundleError {
        BundleError::Unsupported {
            path: self.path.clone(),
            key: key.to_owned(),
            found: found.to_string(),
            supported: supported.to_string(),
        }
    }
}
