//! `tokenizer/tokenizer_config.json`: transformers' `CLIPTokenizer`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Config, RawConfig};
use crate::BundleError;

/// Tokens of a text where a tokenizer has no limit of its own: CLIP's.
const TOKENS: usize = 77;

/// What transformers writes for "no limit" is 10^30; anything from here on means that.
const NO_LIMIT: f64 = 1e9;

/// The special tokens and the length limit of a CLIP tokenizer. Defaults are those of transformers 5.23.0.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[serde(untagged, expecting = "a special token is a text, or an object with the text as its content")]
pub enum SpecialToken {
    /// The string itself.
    Text(String),
    /// The string and how it is found in a text.
    Added(AddedToken),
}

/// transformers' `AddedToken`: a text that is one token wherever it occurs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AddedToken {
    /// The text.
    pub content: String,
    /// Whether it counts between word boundaries only.
    #[serde(default)]
    pub single_word: bool,
    /// Whether it swallows white space before it.
    #[serde(default)]
    pub lstrip: bool,
    /// Whether it swallows white space after it.
    #[serde(default)]
    pub rstrip: bool,
    /// Whether it is looked for in the normalised (lower-case) text; by default unless it is special.
    #[serde(default)]
    pub normalized: Option<bool>,
    /// Whether it carries no text of its own.
    #[serde(default)]
    pub special: bool,
}

impl AddedToken {
    /// A text with everything else as transformers has it by default.
    pub fn new(content: &str, special: bool) -> Self {
        let content = content.to_owned();
        Self { content, single_word: false, lstrip: false, rstrip: false, normalized: None, special }
    }
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
        match self {
            Self::Text(content) => AddedToken::new(content, true),
            Self::Added(token) => AddedToken { special: true, ..token.clone() },
        }
    }
}

impl Config for TokenizerConfig {
    const FILE: &'static str = "tokenizer_config.json";

    fn parse(raw: &RawConfig) -> Result<Self, BundleError> {
        let class = json!("CLIPTokenizer");
        raw.only("tokenizer_class", &class, &[class.clone(), json!("CLIPTokenizerFast"), Value::Null])?;
        for side in ["padding_side", "truncation_side"] {
            raw.only(side, &json!("right"), &[json!("right")])?;
        }
        let decoder = "an object of added tokens by their ids";
        Ok(Self {
            model_max_length: model_max_length(raw)?,
            bos_token: special(raw, "bos_token", "<|startoftext|>")?,
            eos_token: special(raw, "eos_token", "<|endoftext|>")?,
            pad_token: special(raw, "pad_token", "<|endoftext|>")?,
            unk_token: special(raw, "unk_token", "<|endoftext|>")?,
            added_tokens_decoder: raw.parsed("added_tokens_decoder", None, decoder)?,
        })
    }
}

fn model_max_length(raw: &RawConfig) -> Result<usize, BundleError> {
    match raw.get("model_max_length") {
        Some(Value::Null) => Ok(TOKENS),
        Some(limit) if limit.as_f64().is_some_and(|limit| limit >= NO_LIMIT) => Ok(TOKENS),
        _ => raw.size("model_max_length", TOKENS, 2..=4096),
    }
}

fn special(raw: &RawConfig, key: &str, default: &str) -> Result<SpecialToken, BundleError> {
    let supported = "a text, or an object with the text as its content";
    raw.parsed(key, SpecialToken::Text(default.to_owned()), supported)
}
