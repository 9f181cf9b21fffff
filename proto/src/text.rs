//! Text encodings as plain Rust.

use crate::FieldError;
use crate::v1::{Embedding, Tensor, TextEncoding};

/// The longest text that is taken, in characters (Unicode scalar values): as many as OpenAI's API takes.
pub const MAX_TEXT_CHARACTERS: usize = 32_000;

/// Refuses a text that is too long to be tokenised for nothing.
///
/// # Errors
/// More than [`MAX_TEXT_CHARACTERS`].
pub fn check_text(field: &str, text: &str) -> Result<(), FieldError> {
    // A character is a byte at least.
    let count = if text.len() <= MAX_TEXT_CHARACTERS { 0 } else { text.chars().count() };
    if count <= MAX_TEXT_CHARACTERS {
        return Ok(());
    }
    let problem = format!("{count} characters, at most {MAX_TEXT_CHARACTERS} are allowed; shorten the text");
    Err(FieldError::new(field, problem))
}

/// The sizes that a text encoding must have for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextShape {
    /// Width of the text embedding.
    pub embedding_dim: usize,
    /// Tokens.
    pub tokens: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
}

/// A text encoding, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainText {
    /// Fingerprint of the CLIP model.
    pub space: String,
    /// `[dim]`.
    pub embedding: Vec<f32>,
    /// `[tokens, hidden_size]`.
    pub hidden_states: Vec<f32>,
    /// `[tokens]`.
    pub mask: Vec<bool>,
}

impl TextEncoding {
    /// Checks the encoding against the sizes of a model and takes it apart.
    ///
    /// # Errors
    /// A missing or ill-shaped part.
    pub fn plain(&self, field: &str, shape: TextShape) -> Result<PlainText, FieldError> {
        let embedding = required(self.embedding.as_ref(), &format!("{field}.embedding"))?;
        let hidden_states = required(self.hidden_states.as_ref(), &format!("{field}.hidden_states"))?;
        let mask = required(self.mask.as_ref(), &format!("{field}.mask"))?;
        let values = embedding.values(&format!("{field}.embedding"), shape.embedding_dim)?;
        let hidden_states =
            hidden_states.floats(&format!("{field}.hidden_states"), &[shape.tokens, shape.hidden_size])?;
        let mask = mask.bytes(&format!("{field}.mask"), &[shape.tokens])?;
        if !mask.contains(&1) || mask.iter().any(|live| *live > 1) {
            let problem = "every element must be 0 or 1, and at least one must be 1";
            return Err(FieldError::new(format!("{field}.mask"), problem));
        }
        Ok(PlainText {
            space: embedding.space.clone(),
            embedding: values,
            hidden_states,
            mask: mask.iter().map(|live| *live == 1).collect(),
        })
    }
}

impl Embedding {
    /// An embedding of `space`.
    pub fn new(space: &str, values: &[f32]) -> Self {
        Self { space: space.to_owned(), tensor: Some(Tensor::from_f32(&[values.len()], values)) }
    }

    /// The values, which must be `dim` many.
    ///
    /// # Errors
    /// A missing or ill-shaped tensor.
    pub fn values(&self, field: &str, dim: usize) -> Result<Vec<f32>, FieldError> {
        let field = format!("{field}.tensor");
        required(self.tensor.as_ref(), &field)?.floats(&field, &[dim])
    }
}

/// The value of a field that must be there.
///
/// # Errors
/// It is not.
pub fn required<'a, T>(value: Option<&'a T>, field: &str) -> Result<&'a T, FieldError> {
    value.ok_or_else(|| FieldError::missing(field))
}
