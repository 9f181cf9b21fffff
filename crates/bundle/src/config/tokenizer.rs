//! `tokenizer/tokenizer_config.json`: transformers' `CLIPTokenizer`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Config, RawConfig};
use crate::BundleError;

/// The special tokens and the length limit of a CLIP tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TokenizerConfig {
    /// Tokens of a text, start and end included; shorter texts are padded to it.
    pub model_max_length: usize,
    /// Starts every text.
    pub bos_token: SpecialToken,
    /// Ends every text.
    pub eos_token: SpecialToken,
    /// Fills the rest. Karlo's is "!" (id 0), OpenAI's own is the end token.
    pub pad_token: SpecialToken,
    /// Stands for what the vocabulary lacks.
    pub unk_token: SpecialToken,
    /// Added tokens by id, in newer files.
    pub added_tokens_decoder: BTreeMap<String, serde_json::Value>,
}

/// A special token: a string, or an object with the string as `content`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SpecialToken {
    /// The string itself.
    Text(String),
    /// transformers' `AddedToken`.
    Added {
        /// The string.
        content: String,
    },
}

impl SpecialToken {
    /// The token's text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(content) | Self::Added { content } => content,
        }
    }
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        let token = |text: &str| SpecialToken::Text(text.to_owned());
        Self {
            model_max_length: 77,
            bos_token: token("<|startoftext|>"),
            eos_token: token("<|endoftext|>"),
            pad_token: token("<|endoftext|>"),
            unk_token: token("<|endoftext|>"),
            added_tokens_decoder: BTreeMap::new(),
        }
    }
}

impl Config for TokenizerConfig {
    const FILE: &'static str = "tokenizer_config.json";

    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only(
            "tokenizer_class",
            &[json!("CLIPTokenizer"), json!("CLIPTokenizerFast")],
        )?;
        raw.within("model_max_length", self.model_max_length, 2..=4096)
    }
}
