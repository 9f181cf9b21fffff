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
    /// Added tokens by id, in newer files. Where the key is there, `special_tokens_map.json` does not count.
    pub added_tokens_decoder: Option<BTreeMap<u32, AddedToken>>,
}

/// A special token: a string, or an object with the string as `content`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SpecialToken {
    /// The string itself.
    Text(String),
    /// The string and how it is found in a text.
    Added(AddedToken),
}

/// transformers' `AddedToken`: a text that is one token wherever it occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AddedToken {
    /// The text.
    pub content: String,
    /// Whether it counts between word boundaries only.
    pub single_word: bool,
    /// Whether it swallows white space before it.
    pub lstrip: bool,
    /// Whether it swallows white space after it.
    pub rstrip: bool,
    /// Whether it is looked for in the normalised (lower-case) text; by default unless it is special.
    pub normalized: Option<bool>,
    /// Whether it carries no text of its own.
    pub special: bool,
}

impl SpecialToken {
    /// The token's text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(content) => content,
            Self::Added(token) => &token.content,
        }
    }

    /// The token as it is added to the vocabulary.
    pub fn to_added(&self) -> AddedToken {
        let token = match self {
            Self::Text(content) => AddedToken { content: content.clone(), ..AddedToken::default() },
            Self::Added(token) => token.clone(),
        };
        AddedToken { special: true, ..token }
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
            added_tokens_decoder: None,
        }
    }
}

impl Config for TokenizerConfig {
    const FILE: &'static str = "tokenizer_config.json";

    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("tokenizer_class", &[json!("CLIPTokenizer"), json!("CLIPTokenizerFast")])?;
        raw.only("padding_side", &[json!("right")])?;
        raw.only("truncation_side", &[json!("right")])?;
        raw.within("model_max_length", self.model_max_length, 2..=4096)
    }
}
