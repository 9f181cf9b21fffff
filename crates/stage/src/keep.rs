//! Edits with a mask, checked.

use unclip_engine::Keep;
use unclip_proto::v1::Keep as KeepMessage;
use unclip_proto::{FieldError, required};

/// The most repetitions of a step.
const MAX_RESAMPLE: u32 = 50;

/// What an edit keeps of a sample of `shape`, which is `[3, height, width]`.
///
/// # Errors
/// A missing or ill-shaped picture or mask, a mask of other values than 0 and 1, or too many repetitions.
pub(crate) fn keep(message: &KeepMessage, shape: [usize; 3]) -> Result<Keep, FieldError> {
    let [channels, height, width] = shape;
    let x_0 = required(message.image.as_ref(), "keep.image")?.floats("keep.image", &shape)?;
    let mask = required(message.mask.as_ref(), "keep.mask")?.bytes("keep.mask", &[height, width])?;
    if let Some((at, value)) = mask.iter().enumerate().find(|(_, value)| **value > 1) {
        let problem = format!("element {at} is {value}, every element must be 0 (drawn) or 1 (kept)");
        return Err(FieldError::new("keep.mask", problem));
    }
    if message.resample > MAX_RESAMPLE {
        return Err(FieldError::out_of_range("keep.resample", message.resample, 0, MAX_RESAMPLE));
    }
    let kept: Vec<bool> = mask.iter().map(|value| *value == 1).collect();
    Ok(Keep { x_0: x_0.into(), mask: kept.repeat(channels).into(), resample: message.resample })
}

#[cfg(test)]
mod tests {
    use unclip_proto::v1::Tensor;

    use super::*;

    fn message(mask: Vec<u8>) -> KeepMessage {
        let image = Some(Tensor::from_f32(&[3, 1, 2], &[0.5; 6]));
        KeepMessage { image, mask: Some(Tensor::from_u8(&[1, mask.len()], mask)), resample: 2 }
    }

    #[test]
    fn a_pixel_is_kept_in_every_channel() {
        let keep = keep(&message(vec![1, 0]), [3, 1, 2]).unwrap();
        assert_eq!(keep.mask[..], [true, false, true, false, true, false]);
        assert_eq!((keep.x_0.len(), keep.resample), (6, 2));
    }

    #[test]
    fn defects_are_named() {
        let good = message(vec![1, 0]);
        let cases = [
            (KeepMessage { image: None, ..good.clone() }, "keep.image: missing"),
            (KeepMessage { mask: None, ..good.clone() }, "keep.mask: missing"),
            (message(vec![1, 0, 1]), "keep.mask.shape: [1, 3], this model takes [1, 2]"),
            (message(vec![1, 2]), "keep.mask: element 1 is 2"),
            (
                KeepMessage { resample: 51, ..good },
                "keep.resample: 51 is out of range, it must be from 0 to 50",
            ),
        ];
        for (message, expected) in cases {
            let text = keep(&message, [3, 1, 2]).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
