//! Files that commands read. What is in them is told by their content, not by their names.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use image::ImageFormat;
use safetensors::SafeTensors;
use unclip_service::MAX_MESSAGE_BYTES;

use crate::output::is_dash;

/// Whether standard input was read.
static STANDARD_INPUT_IS_READ: AtomicBool = AtomicBool::new(false);

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// PNG, JPEG or WebP.
    Picture,
    /// Tensors.
    Safetensors,
    /// A picture of another format.
    OtherPicture(ImageFormat),
    /// None of these.
    Unknown,
}

/// Looks into a file.
pub(crate) fn content(bytes: &[u8]) -> Content {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP) => Content::Picture,
        Ok(other) => Content::OtherPicture(other),
        Err(_) if SafeTensors::read_metadata(bytes).is_ok() => Content::Safetensors,
        Err(_) => Content::Unknown,
    }
}

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// It can't be read, or is larger than what a call takes.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    if is_dash(path) {
        if STANDARD_INPUT_IS_READ.swap(true, Ordering::Relaxed) {
            bail!("-: standard input can be read once; give the other file by its name");
        }
        return bounded(std::io::stdin().lock()).context("standard input");
    }
    if let Some((scheme @ ("http" | "https"), _)) = path.to_string_lossy().split_once("://") {
        bail!(
            "{name} is an address, and {scheme} is not fetched; fetch it, as by `curl {name}`, and give - to read it from the pipe"
        );
    }
    let file = std::fs::File::open(path).with_context(|| format!("{name} can't be read"))?;
    bounded(file).with_context(|| format!("{name} can't be read"))
}

fn bounded(source: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_MESSAGE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() {
        0 => bail!("it is empty"),
        length if length > MAX_MESSAGE_BYTES => bail!("it is larger than {} MiB", MAX_MESSAGE_BYTES >> 20),
        _ => Ok(bytes),
    }
}

/// Reads a picture.
///
/// # Errors
/// It can't be read, or is no PNG, JPEG or WebP file.
pub(crate) fn picture(path: &Path) -> anyhow::Result<Vec<u8>> {
    let (bytes, name) = (read(path)?, path.display());
    match content(&bytes) {
        Content::Picture => Ok(bytes),
        Content::Safetensors => bail!("{name} holds tensors; a picture is needed here"),
        Content::OtherPicture(format) => bail!("{}", other_picture(path, format)),
        Content::Unknown => bail!("{name} is no picture; PNG, JPEG and WebP are read"),
    }
}

/// What to say of a picture of a format that no stage reads.
pub(crate) fn other_picture(path: &Path, format: ImageFormat) -> String {
    let format = format.extensions_str().first().unwrap_or(&"another").to_uppercase();
    format!("{} is a {format} file; make a PNG, JPEG or WebP of it", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let tensors =
            safetensors::serialize(Vec::<(&str, safetensors::tensor::TensorView<'_>)>::new(), None).unwrap();
        for (name, bytes, problem) in [
            ("a.safetensors", &b"\x89PNG\r\n\x1a\n"[..], None),
            ("b.png", &tensors[..], Some("holds tensors")),
            ("c.png", b"GIF89a", Some("is a GIF file; make a PNG")),
            ("d.png", b"nothing", Some("is no picture")),
            ("e.png", b"", Some("it is empty")),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let found = picture(&path).map(drop).map_err(|error| format!("{error:#}"));
            match problem {
                None => assert_eq!(found, Ok(())),
                Some(problem) => assert!(found.as_ref().unwrap_err().contains(problem), "{found:?}"),
            }
        }
    }

    #[test]
    fn addresses_folders_and_what_has_no_end_are_refused() {
        for (name, problem) in [
            ("https://example.org/fox.png", "is an address"),
            ("/", "can't be read"),
            ("no/such.png", "no/such.png can't be read"),
            ("/dev/zero", "larger than"),
        ] {
            let text = format!("{:#}", read(Path::new(name)).unwrap_err());
            assert!(text.contains(problem), "{text}");
        }
    }
}
