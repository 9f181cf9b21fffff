//! Latents on the command line and in files.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use unclip_proto::v1::latent::Source;
use unclip_proto::v1::{Embedding, Latent, Sampler, SamplingOptions, Tensor};

use crate::inputs::{Content, content, other_picture, read};

/// The name of a picture's embedding, z_i.
pub(crate) const IMAGE_EMBEDDING: &str = "image_embedding";
/// The name of a text's embedding, which stands for no picture.
pub(crate) const TEXT_EMBEDDING: &str = "text_embedding";
const NOISE: &str = "x_t";
/// The key of the CLIP space in a file's metadata.
pub(crate) const SPACE: &str = "space";
/// The keys of what brings x_T back to its picture.
const STEPS: &str = "decoder_steps";
const GUIDANCE_SCALE: &str = "decoder_guidance_scale";

/// A latent as it is typed: `text:CAPTION`, a picture, or a file of latents; of a file that holds several, FILE#K is number
/// K. `-` is standard input.
///
/// # Errors
/// A file that can't be read, or that holds something else.
pub(crate) fn parse(argument: &str) -> anyhow::Result<Latent> {
    if let Some(text) = argument.strip_prefix("text:") {
        return Ok(Latent { source: Some(Source::Text(text.to_owned())), ..Default::default() });
    }
    let (path, index) = numbered(argument);
    let bytes = read(path)?;
    match (content(&bytes), index) {
        (Content::Picture, None) => {
            Ok(Latent { source: Some(Source::Image(bytes.into())), ..Default::default() })
        }
        (Content::Picture, Some(_)) => bail!("{argument}: a picture has no numbers; give {}", path.display()),
        (Content::Safetensors, index) => {
            one(&bytes, index).with_context(|| format!("{} has no latent", path.display()))
        }
        (other, _) => bail!("{}", no_latent(path, other)),
    }
}

/// A picture's embedding, as it is typed: a file of latents, or FILE#K.
///
/// # Errors
/// As [`parse`], and for a picture.
pub(crate) fn parse_embedding(argument: &str) -> anyhow::Result<Embedding> {
    match parse(argument)?.source {
        Some(Source::ImageEmbedding(embedding)) => Ok(embedding),
        _ => bail!("{argument} is no file of latents; `unclip prior` and `unclip encode` write one"),
    }
}

/// A picture, or all latents of a file.
pub(crate) enum Many {
    Picture(Bytes),
    Embeddings(Vec<Embedding>),
}

/// What a file has for a set of pictures.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_many(path: &Path) -> anyhow::Result<Many> {
    let bytes = read(path)?;
    match content(&bytes) {
        Content::Safetensors => {
            let all = embeddings(&bytes).with_context(|| format!("{} has no latent", path.display()))?;
            Ok(Many::Embeddings(all))
        }
        Content::Picture => Ok(Many::Picture(bytes.into())),
        other => bail!("{}", no_latent(path, other)),
    }
}

fn embeddings(bytes: &[u8]) -> anyhow::Result<Vec<Embedding>> {
    Ok(Embeddings::open(bytes)?.all().collect())
}

fn no_latent(path: &Path, content: Content) -> String {
    match content {
        Content::OtherPicture(format) => other_picture(path, format),
        _ => format!(
            "{} is neither a picture (PNG, JPEG or WebP) nor a file of latents (.safetensors)",
            path.display()
        ),
    }
}

/// The file and the number of `FILE#K`. A file whose whole name this is goes before.
fn numbered(argument: &str) -> (&Path, Option<usize>) {
    let whole = Path::new(argument);
    match argument.rsplit_once('#').and_then(|(path, number)| Some((path, number.parse().ok()?))) {
        Some((path, number)) if !whole.exists() => (Path::new(path), Some(number)),
        _ => (whole, None),
    }
}

fn one(bytes: &[u8], index: Option<usize>) -> anyhow::Result<Latent> {
    let embeddings = Embeddings::open(bytes)?;
    let count = embeddings.count;
    let index = match index {
        None if count > 1 => {
            bail!("it holds {count} of them; choose one with #0 to #{} behind the name", count - 1)
        }
        Some(index) if index >= count => bail!("there is no number {index}: it holds {count}, from #0"),
        index => index.unwrap_or(0),
    };
    let x_t = SafeTensors::deserialize(bytes)?.tensor(NOISE).ok().map(|view| tensor(&view)).transpose()?;
    if x_t.is_some() && count > 1 {
        bail!("it holds several embeddings and one {NOISE}");
    }
    let decoder = way_back(bytes)?.filter(|_| x_t.is_some());
    Ok(Latent { source: embeddings.all().nth(index).map(Source::ImageEmbedding), x_t, decoder })
}

/// The embeddings of a file, `[dim]` or `[count, dim]`.
struct Embeddings {
    space: String,
    values: Vec<f32>,
    dim: usize,
    count: usize,
}

impl Embeddings {
    fn open(bytes: &[u8]) -> anyhow::Result<Self> {
        let file = SafeTensors::deserialize(bytes)?;
        let Ok(view) = file.tensor(IMAGE_EMBEDDING) else {
            bail!("{}", without_embedding(&file));
        };
        let (dim, count) = match *view.shape() {
            [dim] if dim > 0 => (dim, 1),
            [count, dim] if dim > 0 && count > 0 => (dim, count),
            ref shape => bail!("{IMAGE_EMBEDDING} has the shape {shape:?}; [dim] or [count, dim] is needed"),
        };
        let values = tensor(&view)?.floats(IMAGE_EMBEDDING, view.shape())?;
        Ok(Self { space: space(bytes)?, values, dim, count })
    }

    fn all(&self) -> impl Iterator<Item = Embedding> {
        self.values.chunks_exact(self.dim).map(|values| Embedding::new(&self.space, values))
    }
}

/// Why a file of tensors can't be taken for a picture.
fn without_embedding(file: &SafeTensors<'_>) -> String {
    let names = file.names();
    if names.contains(&TEXT_EMBEDDING) {
        return "it is the embedding of a text, and the decoder takes those of pictures; `unclip prior` samples one for a \
                caption"
            .to_owned();
    }
    format!("there is no {IMAGE_EMBEDDING} among {}", names.join(", "))
}

/// A file's metadata.
fn metadata(bytes: &[u8]) -> anyhow::Result<HashMap<String, String>> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    Ok(header.metadata().clone().unwrap_or_default())
}

/// How a file's x_T becomes its picture again: DDIM without noise of its own. None where the file doesn't say.
fn way_back(bytes: &[u8]) -> anyhow::Result<Option<SamplingOptions>> {
    let metadata = metadata(bytes)?;
    let (steps, scale) = (metadata.get(STEPS), metadata.get(GUIDANCE_SCALE));
    if steps.is_none() && scale.is_none() {
        return Ok(None);
    }
    Ok(Some(SamplingOptions {
        steps: steps.map(|text| text.parse().with_context(|| format!("{STEPS}: {text}"))).transpose()?,
        guidance_scale: scale
            .map(|text| text.parse().with_context(|| format!("{GUIDANCE_SCALE}: {text}")))
            .transpose()?,
        sampler: Sampler::Ddim as i32,
        eta: Some(0.0),
        clamped_epsilon: None,
    }))
}

/// The CLIP space that a file names.
///
/// # Errors
/// A file without one.
pub(crate) fn space(bytes: &[u8]) -> anyhow::Result<String> {
    metadata(bytes)?.remove(SPACE).context("its metadata has no `space`, the fingerprint of the CLIP model")
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

/// What brings a picture back beside its embedding.
#[derive(Default)]
pub(crate) struct Noise<'a> {
    /// x_T, `[3, height, width]`.
    pub(crate) x_t: Option<&'a Tensor>,
    /// How it becomes its picture again.
    pub(crate) decoder: Option<&'a SamplingOptions>,
}

/// Writes an embedding under `name`, and perhaps x_T, as safetensors, f32, with the CLIP space and the way back as metadata.
///
/// # Errors
/// A place that can't be written, or an embedding without values.
pub(crate) fn write(path: &Path, name: &str, embedding: &Embedding, noise: &Noise<'_>) -> anyhow::Result<()> {
    let embedded = embedding.tensor.as_ref().context("the gateway sent no embedding")?;
    let parts = [(name, Some(embedded)), (NOISE, noise.x_t)];
    let mut views = Vec::new();
    for (name, part) in parts.iter().filter_map(|(name, part)| Some((*name, (*part)?))) {
        views.push((name, TensorView::new(Dtype::F32, part.checked_shape(name)?, &part.data)?));
    }
    let way_back = noise.decoder.copied().unwrap_or_default();
    let metadata = [
        (SPACE, Some(embedding.space.clone())),
        (STEPS, way_back.steps.map(|steps| steps.to_string())),
        (GUIDANCE_SCALE, way_back.guidance_scale.map(|scale| scale.to_string())),
    ];
    let metadata = metadata.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    crate::output::write(path, &safetensors::serialize(views, Some(metadata))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with `values` under `name`.
    fn file(name: &str, shape: &[usize], values: &[f32]) -> Vec<u8> {
        let tensor = Tensor::from_f32(shape, values);
        let view = TensorView::new(Dtype::F32, shape.to_vec(), &tensor.data).unwrap();
        let metadata = HashMap::from([(SPACE.to_owned(), "s".to_owned())]);
        safetensors::serialize(vec![(name, view)], Some(metadata)).unwrap()
    }

    #[test]
    fn latents_come_back_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CAT#1.SAFETENSORS");
        let (embedding, x_t) = (Embedding::new("s", &[1.0, 2.0]), Tensor::from_f32(&[1, 2], &[3.0, 4.0]));
        let decoder = SamplingOptions {
            steps: Some(20),
            guidance_scale: Some(1.5),
            sampler: Sampler::Ddim as i32,
            eta: Some(0.0),
            clamped_epsilon: None,
        };
        let source = Some(Source::ImageEmbedding(embedding.clone()));
        let name = path.to_str().unwrap();
        let read = |noise: &Noise<'_>| {
            write(&path, IMAGE_EMBEDDING, &embedding, noise).unwrap();
            parse(name).unwrap()
        };
        let latent = read(&Noise { x_t: Some(&x_t), decoder: Some(&decoder) });
        assert_eq!(latent, Latent { source: source.clone(), x_t: Some(x_t.clone()), decoder: Some(decoder) });
        let silent = read(&Noise { x_t: Some(&x_t), decoder: None });
        assert_eq!(silent, Latent { source: source.clone(), x_t: Some(x_t), decoder: None });
        assert_eq!(read(&Noise::default()), Latent { source, ..Default::default() });
        assert_eq!(parse_embedding(name).unwrap(), embedding);
        assert_eq!(parse("text:- a b").unwrap().source, Some(Source::Text("- a b".to_owned())));
        let missing = parse("no/such.png").unwrap_err().to_string();
        assert!(missing.contains("no/such.png can't be read"), "{missing}");
    }

    #[test]
    fn one_of_several_is_chosen_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.safetensors");
        let bytes = file(IMAGE_EMBEDDING, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        std::fs::write(&path, &bytes).unwrap();
        let name = path.to_str().unwrap();
        let second = parse_embedding(&format!("{name}#1")).unwrap();
        assert_eq!(second, Embedding::new("s", &[3.0, 4.0]));
        assert_eq!(embeddings(&bytes).unwrap().len(), 2);
        for (name, problem) in [
            (name.to_owned(), "it holds 2 of them; choose one with #0 to #1"),
            (format!("{name}#2"), "no number 2"),
        ] {
            let text = format!("{:#}", parse(&name).unwrap_err());
            assert!(text.contains(problem), "{text}");
        }
    }

    #[test]
    fn what_is_no_pictures_embedding_is_refused_by_its_name() {
        for (bytes, problem) in [
            (file(TEXT_EMBEDDING, &[2], &[1.0, 2.0]), "it is the embedding of a text"),
            (file("weights", &[1], &[1.0]), "there is no image_embedding among weights"),
            (file(IMAGE_EMBEDDING, &[1, 1, 2], &[1.0, 2.0]), "has the shape [1, 1, 2]"),
            (file(IMAGE_EMBEDDING, &[0], &[]), "has the shape [0]"),
        ] {
            let text = embeddings(&bytes).unwrap_err().to_string();
            assert!(text.contains(problem), "{text}");
        }
        assert!(embeddings(b"nothing").is_err());
    }
}
