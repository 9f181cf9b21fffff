//! Text to token ids.
use unclip_bundle::{Bundle, BundleError};

use crate::ClipError;

/// A text as CLIP reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedText {
    /// Token ids `[tokens]`, padded.
    pub ids: Vec<i64>,
    /// `[tokens]`, true from the start token to the end token.
    pub mask: Vec<bool>,
    /// Whether the text was too long and lost its end.
    pub truncated: bool,
}

/// transformers' `CLIPTokenizer`.
pub struct ClipTokenizer {}

impl ClipTokenizer {
    /// Loads the bundle's tokenizer.
    ///
    /// # Errors
    /// A missing or damaged file.
    pub fn load(_bundle: &Bundle) -> Result<Self, BundleError> {
        todo!()
    }

    /// Tokens of a text.
    pub fn tokens(&self) -> usize {
        todo!()
    }

    /// Encodes a text.
    ///
    /// # Errors
    /// None that a text is known to cause.
    pub fn encode(&self, _text: &str) -> Result<TokenizedText, ClipError> {
        todo!()
    }
}
