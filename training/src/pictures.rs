//! Batches as tensors, and pictures of another size.

use tch::{Kind, Tensor};
use unclip_clip::ClipTokenizer;

use crate::TrainError;
use crate::data::Batch;
use crate::params::to_i64;

/// The pictures of a batch, `[batch, 3, side, side]`, f32 on the CPU.
pub(crate) fn picture_tensor(batch: &Batch) -> Result<Tensor, TrainError> {
    let side = to_i64(batch.side);
    Ok(Tensor::f_from_slice(&batch.images)?.f_view([-1, 3, side, side])?)
}

/// Token ids and mask of captions, `[batch, tokens]` each, cut after the longest caption's end: i64 and bool on the CPU.
pub(crate) fn token_tensor(
    tokenizer: &ClipTokenizer,
    captions: &[String],
) -> Result<(Tensor, Tensor), TrainError> {
    let texts = captions.iter().map(|caption| tokenizer.encode(caption)).collect::<Result<Vec<_>, _>>()?;
    let live = |mask: &[bool]| mask.iter().filter(|seen| **seen).count();
    let longest = texts.iter().map(|text| live(&text.mask)).max().unwrap_or(2);
    let ids: Vec<i64> = texts.iter().flat_map(|text| text.ids[..longest].iter().copied()).collect();
    let mask: Vec<bool> = texts.iter().flat_map(|text| text.mask[..longest].iter().copied()).collect();
    let shape = [to_i64(texts.len()), to_i64(longest)];
    Ok((Tensor::f_from_slice(&ids)?.f_view(shape)?, Tensor::f_from_slice(&mask)?.f_view(shape)?))
}

/// Pictures `[batch, 3, side, side]` with another side: the mean of whole blocks where the factor is whole, else
/// antialiased bicubic.
///
/// # Errors
/// libtorch refuses an operation.
pub fn resize(pictures: &Tensor, side: usize) -> Result<Tensor, TrainError> {
    let (old, new) = (pictures.size()[2], to_i64(side));
    if old == new {
        return Ok(pictures.shallow_clone());
    }
    if old > new && old % new == 0 {
        let block = old / new;
        return Ok(pictures.f_avg_pool2d([block, block], [block, block], [0, 0], false, true, None)?);
    }
    Ok(bicubic(pictures, side)?.clamp(-1.0, 1.0))
}

/// Antialiased bicubic resampling, the one the upsampler's server uses on the small picture.
///
/// # Errors
/// libtorch refuses an operation.
pub fn bicubic(pictures: &Tensor, side: usize) -> Result<Tensor, TrainError> {
    let side = to_i64(side);
    Ok(pictures.f_to_kind(Kind::Float)?.f_internal_upsample_bicubic2d_aa([side, side], false, None, None)?)
}

/// The rows of a batch as plain values in -1 to 1.
pub(crate) fn rows(pictures: &Tensor) -> Result<Vec<Vec<f32>>, TrainError> {
    Ok(unclip_models::rows::split_rows(&pictures.clamp(-1.0, 1.0))?)
}
