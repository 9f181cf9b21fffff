//! `--tensors`: what passed between the stages, as one safetensors file.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use safetensors::tensor::{Dtype, TensorView};
use unclip_proto::v1::{GeneratedImage, ImageTensors, Tensor};

use crate::latents::{IMAGE_EMBEDDING, SPACE, TEXT_EMBEDDING};

type Part = fn(&ImageTensors) -> Option<&Tensor>;

const PARTS: [(&str, Part); 5] = [
    (TEXT_EMBEDDING, |tensors| tensors.text_embedding.as_ref()),
    ("text_hidden_states", |tensors| tensors.text_hidden_states.as_ref()),
    (IMAGE_EMBEDDING, |tensors| tensors.image_embedding.as_ref()),
    ("decoded", |tensors| tensors.decoded.as_ref()),
    ("image", |tensors| tensors.image.as_ref()),
];

/// Writes the tensors of all pictures, batch first and f32, with the CLIP space of the embeddings as metadata. So the file
/// is one of latents too.
///
/// # Errors
/// An answer without tensors, or a place that can't be written.
pub(crate) fn write(path: &Path, images: &[GeneratedImage], space: &str) -> anyhow::Result<()> {
    let mut tensors = Vec::new();
    for (name, part) in PARTS {
        // A caption alone is decoded without an image embedding.
        let none =
            images.iter().filter_map(|image| image.tensors.as_ref()).all(|tensors| part(tensors).is_none());
        if name != IMAGE_EMBEDDING || !none {
            tensors.push(stack(name, part, images)?);
        }
    }
    let views = tensors
        .iter()
        .map(|(name, shape, data)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let metadata = HashMap::from([(SPACE.to_owned(), space.to_owned())]);
    let bytes = safetensors::serialize(views, Some(metadata))?;
    crate::output::write(path, &bytes)
}

fn stack(
    name: &'static str,
    part: Part,
    images: &[GeneratedImage],
) -> anyhow::Result<(&'static str, Vec<usize>, Vec<u8>)> {
    let (mut shape, mut data) = (Vec::new(), Vec::new());
    for image in images {
        let tensors = image.tensors.as_ref().context("the gateway sent no tensors")?;
        let tensor = part(tensors).with_context(|| format!("the gateway sent no {name}"))?;
        let own = tensor.checked_shape(name)?;
        let values = tensor.floats(name, &own)?;
        if !shape.is_empty() && shape != own {
            bail!("{name}: shapes {shape:?} and {own:?} in one answer");
        }
        shape = own;
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    shape.insert(0, images.len());
    Ok((name, shape, data))
}
