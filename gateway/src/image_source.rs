//! Where the image embedding that is decoded comes from.

use unclip_proto::FieldError;
use unclip_proto::v1::{GenerateImageRequest, PriorMode, Tensor};

/// Where the image embedding comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ImageSource {
    /// The prior samples it.
    Prior,
    /// The text embedding takes its place.
    TextEmbedding,
    /// There is none: the decoder sees the caption alone.
    CaptionOnly,
    /// The request brought it: f32, `[dim]`.
    Given(Tensor),
}

impl ImageSource {
    /// What a request asks for. Embeddings are `dim` wide, where the decoder is known already.
    ///
    /// # Errors
    /// An unknown mode, an embedding that no decoder takes, or fields that contradict each other.
    pub(crate) fn of(request: &GenerateImageRequest, dim: Option<usize>) -> Result<Self, FieldError> {
        let mode = PriorMode::try_from(request.prior_mode).map_err(|_| unknown(request.prior_mode))?;
        let source = match (mode, &request.image_embedding) {
            (PriorMode::Unspecified | PriorMode::Full, None) => Self::Prior,
            (PriorMode::Unspecified | PriorMode::Full, Some(tensor)) => Self::Given(given(tensor, dim)?),
            (PriorMode::TextEmbedding, None) => Self::TextEmbedding,
            (PriorMode::CaptionOnly, None) => Self::CaptionOnly,
            (mode, Some(_)) => return Err(contradiction(mode)),
        };
        match request.candidates {
            Some(candidates) if candidates > 1 && source != Self::Prior => Err(no_candidates(candidates)),
            _ => Ok(source),
        }
    }

    /// The mode as a receipt has it.
    pub(crate) fn mode(&self) -> PriorMode {
        match self {
            Self::Prior => PriorMode::Full,
            Self::TextEmbedding => PriorMode::TextEmbedding,
            Self::CaptionOnly => PriorMode::CaptionOnly,
            Self::Given(_) => PriorMode::Unspecified,
        }
    }
}

fn given(tensor: &Tensor, dim: Option<usize>) -> Result<Tensor, FieldError> {
    const FIELD: &str = "image_embedding";
    let shape = tensor.checked_shape(FIELD)?;
    if shape.len() != 1 {
        return Err(FieldError::new(format!("{FIELD}.shape"), format!("{shape:?}, it must be [dim]")));
    }
    let values = tensor.floats(FIELD, &[dim.unwrap_or(shape[0])])?;
    Ok(Tensor::from_f32(&shape, &values))
}

fn unknown(number: i32) -> FieldError {
    let problem = format!("{number} is no prior mode; use PRIOR_MODE_FULL, _TEXT_EMBEDDING or _CAPTION_ONLY");
    FieldError::new("prior_mode", problem)
}

fn contradiction(mode: PriorMode) -> FieldError {
    let problem = format!(
        "an embedding is given, but prior_mode is {}; leave one of the two fields out",
        mode.as_str_name()
    );
    FieldError::new("image_embedding", problem)
}

fn no_candidates(candidates: u32) -> FieldError {
    let problem = format!(
        "{candidates} candidates, but no prior is asked; leave the field out, or ask for PRIOR_MODE_FULL without an \
         image_embedding"
    );
    FieldError::new("candidates", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedding(shape: &[usize], value: f32) -> Option<Tensor> {
        Some(Tensor::from_f32(shape, &vec![value; shape.iter().product()]))
    }

    fn request(mode: PriorMode, image_embedding: Option<Tensor>) -> GenerateImageRequest {
        GenerateImageRequest { prior_mode: mode as i32, image_embedding, ..Default::default() }
    }

    #[test]
    fn good_requests_have_one_source() {
        let given = embedding(&[2], 0.5);
        for (mode, tensor, expected) in [
            (PriorMode::Unspecified, None, ImageSource::Prior),
            (PriorMode::Full, None, ImageSource::Prior),
            (PriorMode::TextEmbedding, None, ImageSource::TextEmbedding),
            (PriorMode::CaptionOnly, None, ImageSource::CaptionOnly),
            (PriorMode::Unspecified, given.clone(), ImageSource::Given(given.clone().unwrap())),
            (PriorMode::Full, given.clone(), ImageSource::Given(given.clone().unwrap())),
        ] {
            assert_eq!(ImageSource::of(&request(mode, tensor), Some(2)).unwrap(), expected);
        }
    }

    #[test]
    fn bad_requests_are_refused_by_field() {
        let full = PriorMode::Full;
        let two = |mode, tensor| GenerateImageRequest { candidates: Some(2), ..request(mode, tensor) };
        let cases = [
            (GenerateImageRequest { prior_mode: 9, ..Default::default() }, "prior_mode: 9 is no prior mode"),
            (
                request(PriorMode::TextEmbedding, embedding(&[2], 0.5)),
                "image_embedding: an embedding is given, but prior_mode is PRIOR_MODE_TEXT_EMBEDDING",
            ),
            (
                request(PriorMode::CaptionOnly, embedding(&[2], 0.5)),
                "image_embedding: an embedding is given, but prior_mode is PRIOR_MODE_CAPTION_ONLY",
            ),
            (request(full, embedding(&[3], 0.5)), "image_embedding.shape: [3], this model takes [2]"),
            (request(full, embedding(&[1, 2], 0.5)), "image_embedding.shape: [1, 2], it must be [dim]"),
            (request(full, embedding(&[], 0.5)), "image_embedding.shape: [], it must be [dim]"),
            (request(full, embedding(&[2], f32::NAN)), "image_embedding: element 0 is NaN"),
            (request(full, Some(Tensor::default())), "image_embedding.dtype: 0 is no dtype"),
            (two(PriorMode::TextEmbedding, None), "candidates: 2 candidates, but no prior is asked"),
            (two(PriorMode::CaptionOnly, None), "candidates: 2 candidates, but no prior is asked"),
            (two(full, embedding(&[2], 0.5)), "candidates: 2 candidates, but no prior is asked"),
        ];
        for (request, expected) in cases {
            let text = ImageSource::of(&request, Some(2)).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn the_width_is_checked_when_it_is_known() {
        assert!(ImageSource::of(&request(PriorMode::Full, embedding(&[3], 0.5)), None).is_ok());
    }
}
