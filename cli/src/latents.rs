//! Latents on the command line and in files.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use unclip_proto::v1::latent::Source;
use unclip_proto::v1::{Embedding, Latent, Tensor};

const EMBEDDING: &str = "image_embedding";
const NOISE: &str = "x_t";
/// The key of the CLIP space in a file's metadata.
pub(crate) const SPACE: &str = "space";

/// A latent as it is typed: `text:CAPTION`, a file of latents (.safetensors), or a picture.
///
/// # Errors
/// A file that can't be read, or latents that are none.
pub(crate) fn parse(argument: &str) -> anyhow::Result<Latent> {
    if let Some(text) = argument.strip_prefix("text:") {
        return Ok(Latent { source: Some(Source::Text(text.to_owned())), x_t: None });
    }
    let bytes = read(Path::new(argument))?;
    if argument.ends_with(".safetensors") {
        return open(&bytes).with_context(|| format!("{argument} has no latents"));
    }
    Ok(Latent { source: Some(Source::Image(bytes.into())), x_t: None })
}

/// Reads a file.
///
/// # Errors
/// It can't be read.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))
}

fn open(bytes: &[u8]) -> anyhow::Result<Latent> {
    let space = space(bytes)?;
    let file = SafeTensors::deserialize(bytes)?;
    let embedding = tensor(&file.tensor(EMBEDDING)?)?;
    let x_t = file.tensor(NOISE).ok().map(|view| tensor(&view)).transpose()?;
    Ok(Latent { source: Some(Source::ImageEmbedding(Embedding { space, tensor: Some(embedding) })), x_t })
}

/// The CLIP space that a file names.
///
/// # Errors
/// A file without one.
pub(crate) fn space(bytes: &[u8]) -> anyhow::Result<String> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    Ok(header.metadata().as_ref().and_then(|data| data.get(SPACE)).context("no CLIP space")?.clone())
}

/// A tensor of a file.
///
/// # Errors
/// Another dtype than F32.
pub(crate) fn tensor(view: &TensorView<'_>) -> anyhow::Result<Tensor> {
    if view.dtype() != Dtype::F32 {
        bail!("a tensor of dtype {:?}; F32 is needed", view.dtype());
    }
    let values: Vec<f32> =
        view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(Tensor::from_f32(view.shape(), &values))
}

/// Writes an embedding and perhaps x_T as safetensors, f32, with the CLIP space as metadata.
///
/// # Errors
/// A place that can't be written, or an embedding without values.
pub(crate) fn write(path: &Path, embedding: &Embedding, x_t: Option<&Tensor>) -> anyhow::Result<()> {
    let embedded = embedding.tensor.as_ref().context("the gateway sent no embedding")?;
    let parts = [(EMBEDDING, Some(embedded)), (NOISE, x_t)];
    let mut views = Vec::new();
    for (name, part) in parts.iter().filter_map(|(name, part)| Some((*name, (*part)?))) {
        views.push((name, TensorView::new(Dtype::F32, part.checked_shape(name)?, &part.data)?));
    }
    let metadata = HashMap::from([(SPACE.to_owned(), embedding.space.clone())]);
    crate::output::write(path, &safetensors::serialize(views, Some(metadata))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_come_back_from_a_file() {
        let path = std::env::temp_dir().join(format!("unclip-{}.safetensors", std::process::id()));
        let (embedding, x_t) = (Embedding::new("s", &[1.0, 2.0]), Tensor::from_f32(&[1, 2], &[3.0, 4.0]));
        write(&path, &embedding, Some(&x_t)).unwrap();
        let latent = parse(path.to_str().unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(latent, Latent { source: Some(Source::ImageEmbedding(embedding)), x_t: Some(x_t) });
        assert_eq!(parse("text:a b").unwrap().source, Some(Source::Text("a b".to_owned())));
        let missing = parse("no/such.png").unwrap_err().to_string();
        assert!(missing.contains("no/such.png can't be read"), "{missing}");
        assert!(open(b"nothing").is_err());
    }
}
