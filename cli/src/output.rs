//! What commands print, and where they write pictures.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use unclip_proto::v1::{GeneratedImage, ImageFormat, Receipt, Stage, StageReceipt};

/// Prints a line to standard output.
pub(crate) fn say(line: &str) {
    // A reader that is gone, as after `| head`, has seen what it wanted.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The format that a file's name asks for.
///
/// # Errors
/// Another ending than png, jpg, jpeg or webp.
pub(crate) fn format_of(path: &Path) -> anyhow::Result<ImageFormat> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "png" => Ok(ImageFormat::Png),
        "jpg" | "jpeg" => Ok(ImageFormat::Jpeg),
        "webp" => Ok(ImageFormat::Webp),
        _ => bail!("--output: {} has no ending that names a format; use .png, .jpg or .webp", path.display()),
    }
}

/// Where picture `index` of `count` goes: the path itself, or with `-0`, `-1`, ... before the ending.
pub(crate) fn path_of(path: &Path, index: u32, count: u32) -> PathBuf {
    if count == 1 {
        return path.to_path_buf();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{index}.{ending}"))
}

/// Writes a file, and the folder it goes into.
///
/// # Errors
/// A place that can't be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    std::fs::write(path, bytes).with_context(|| format!("{} can't be written", path.display()))
}

/// Writes the receipts of pictures, named as the pictures are.
///
/// # Errors
/// A place that can't be written.
pub(crate) fn write_receipts(path: &Path, images: &[GeneratedImage]) -> anyhow::Result<()> {
    let count = u32::try_from(images.len())?;
    for image in images {
        let receipt = image.receipt.as_ref().map(Receipt::to_json).transpose()?.unwrap_or_default();
        let text = serde_json::to_string_pretty(&receipt)? + "\n";
        write(&path_of(path, image.image_index, count), text.as_bytes())?;
    }
    Ok(())
}

/// Prints where a picture is and how it was made.
pub(crate) fn report(path: &Path, image: &GeneratedImage) {
    let receipt = image.receipt.clone().unwrap_or_default();
    say(&format!("{}  {} x {}  seed {}", path.display(), image.width, image.height, receipt.seed));
    if receipt.prompt_truncated {
        say("  the prompt was longer than the model takes: its end was cut off");
    }
    for stage in &receipt.stages {
        say(&format!("  {}", stage_line(stage)));
    }
}

fn stage_line(receipt: &StageReceipt) -> String {
    let name = stage_name(receipt.stage());
    let from = if receipt.cached { "cached" } else { receipt.dtype.as_str() };
    let mut line = format!("{name:<13} {:>8.2} s  {from}", receipt.seconds);
    if receipt.steps > 0 {
        line += &format!(", {} steps", receipt.steps);
    }
    if matches!(receipt.stage(), Stage::Prior | Stage::Decoder) {
        line += &format!(", guidance {}", receipt.guidance_scale);
    }
    line
}

/// A stage's name for people.
pub(crate) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::TextEncoder => "text encoder",
        Stage::Prior => "prior",
        Stage::Decoder => "decoder",
        Stage::Upsampler => "upsampler",
        Stage::ImageEncoder => "image encoder",
        Stage::Inversion => "inversion",
        Stage::Unspecified => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pictures_get_numbers() {
        assert_eq!(path_of(Path::new("out/a.b.png"), 0, 1), Path::new("out/a.b.png"));
        assert_eq!(path_of(Path::new("out/a.b.png"), 3, 4), Path::new("out/a.b-3.png"));
    }

    #[test]
    fn the_ending_names_the_format() {
        assert_eq!(format_of(Path::new("x.JPEG")).unwrap(), ImageFormat::Jpeg);
        assert!(format_of(Path::new("x.gif")).unwrap_err().to_string().contains("--output"));
        assert!(format_of(Path::new("x")).is_err());
    }
}
