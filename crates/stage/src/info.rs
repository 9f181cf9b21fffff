//! What a stage says of itself.

use unclip_bundle::{EmbeddingSpace, Stage};
use unclip_proto::v1::{Embedding, ModelInfo, Tensor, TextEncoding};
use unclip_proto::{FieldError, Maker, PlainText, TextShape, required};
use unclip_service::Error;

/// A stage's model info, and the checks on what other stages send it.
#[derive(Clone, Debug)]
pub struct StageInfo {
    /// The answer to `GetModelInfo`.
    pub model: ModelInfo,
}

impl StageInfo {
    /// The info of a stage, on the CPU in f32, without sizes yet.
    pub fn new(stage: Stage, fingerprint: &str, space: &EmbeddingSpace) -> Self {
        let model = ModelInfo {
            stage: stage.name().to_owned(),
            fingerprint: fingerprint.to_owned(),
            space: space.0.clone(),
            device: "cpu".to_owned(),
            dtype: "f32".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        };
        Self { model }
    }

    /// Where it runs and in what it computes.
    #[must_use]
    pub fn on(mut self, device: String, dtype: &str) -> Self {
        self.model.device = device;
        dtype.clone_into(&mut self.model.dtype);
        self
    }

    /// The width of CLIP embeddings.
    #[must_use]
    pub fn embeddings(mut self, dim: usize) -> Self {
        self.model.embedding_dim = wire(dim);
        self
    }

    /// The sizes of text encodings.
    #[must_use]
    pub fn texts(mut self, tokens: usize, hidden_size: usize) -> Self {
        self.model.tokens = wire(tokens);
        self.model.hidden_size = wire(hidden_size);
        self
    }

    /// The size of the pictures that come out.
    #[must_use]
    pub fn pictures(mut self, height: usize, width: usize) -> Self {
        self.model.height = wire(height);
        self.model.width = wire(width);
        self
    }

    /// `[3, height, width]` of the pictures that come out.
    pub fn picture_shape(&self) -> [usize; 3] {
        [3, self.model.height as usize, self.model.width as usize]
    }

    /// What stands in the stage's results for whoever made them.
    pub fn maker(&self) -> Maker {
        Maker::from(&self.model)
    }

    /// The sizes of a text encoding that this stage takes.
    pub fn text_shape(&self) -> TextShape {
        TextShape {
            embedding_dim: self.model.embedding_dim as usize,
            tokens: self.model.tokens as usize,
            hidden_size: self.model.hidden_size as usize,
        }
    }

    /// Checks and takes apart a text encoding.
    ///
    /// # Errors
    /// A missing or ill-shaped part, or another CLIP space.
    pub fn text(&self, field: &str, encoding: Option<&TextEncoding>) -> Result<PlainText, Error> {
        let text = required(encoding, field)?.plain(field, self.text_shape())?;
        self.check_space(&format!("{field}.embedding.space"), &text.space)?;
        Ok(text)
    }

    /// Checks and takes apart an embedding.
    ///
    /// # Errors
    /// A missing or ill-shaped tensor, or another CLIP space.
    pub fn embedding(&self, field: &str, embedding: Option<&Embedding>) -> Result<Vec<f32>, Error> {
        let embedding = required(embedding, field)?;
        let values = embedding.values(field, self.model.embedding_dim as usize)?;
        self.check_space(&format!("{field}.space"), &embedding.space)?;
        Ok(values)
    }

    /// Checks and takes apart a picture of shape `[3, h, w]`: its values, height and width.
    ///
    /// # Errors
    /// A missing or ill-shaped tensor, or a side longer than this stage's own.
    pub fn picture(&self, field: &str, tensor: Option<&Tensor>) -> Result<(Vec<f32>, usize, usize), Error> {
        let tensor = required(tensor, field)?;
        let limit = [self.model.height as usize, self.model.width as usize];
        let shape = tensor.checked_shape(field)?;
        match shape[..] {
            [3, height, width] if height <= limit[0] && width <= limit[1] => {
                Ok((tensor.floats(field, &shape)?, height, width))
            }
            _ => {
                let problem = format!(
                    "{shape:?}, this model takes [3, h, w] of at most [3, {}, {}]",
                    limit[0], limit[1]
                );
                Err(FieldError::new(format!("{field}.shape"), problem).into())
            }
        }
    }

    fn check_space(&self, field: &str, found: &str) -> Result<(), Error> {
        if found == self.model.space {
            Ok(())
        } else {
            Err(Error::wrong_space(field, found, &self.model.space))
        }
    }
}

/// Sizes of models are far below 2^32: their configs are checked.
fn wire(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use unclip_service::Code;

    use super::*;

    fn info() -> StageInfo {
        let model =
            ModelInfo { space: "a".to_owned(), embedding_dim: 2, height: 8, width: 8, ..Default::default() };
        StageInfo { model }
    }

    #[test]
    fn another_space_is_a_failed_precondition_that_names_both() {
        let error = info().embedding("image_embedding", Some(&Embedding::new("b", &[1.0, 2.0]))).unwrap_err();
        assert_eq!(error.code, Code::FailedPrecondition);
        assert!(error.message.contains("`a`") && error.message.contains("`b`"), "{error}");
    }

    #[test]
    fn a_width_that_does_not_fit_is_an_invalid_argument() {
        let error = info().embedding("image_embedding", Some(&Embedding::new("a", &[1.0]))).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert_eq!(error.message, "image_embedding.tensor.shape: [1], this model takes [2]");
    }

    #[test]
    fn a_picture_may_be_smaller_but_not_larger() {
        let picture = |shape: [usize; 3]| Tensor::from_f32(&shape, &vec![0.0; shape.iter().product()]);
        assert!(info().picture("image", Some(&picture([3, 4, 8]))).is_ok());
        for bad in [[3, 9, 8], [4, 8, 8]] {
            let error = info().picture("image", Some(&picture(bad))).unwrap_err();
            assert!(error.message.starts_with("image.shape: ["), "{error}");
        }
    }
}
