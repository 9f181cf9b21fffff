//! Pictures as files.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use unclip_proto::v1::ImageFormat;
use unclip_service::Error;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// Lossless.
    Png,
    /// With a quality of 1 to 100.
    Jpeg { quality: u8 },
    /// Lossless.
    Webp,
}

impl FileFormat {
    /// Its name in the contract.
    pub(crate) fn name(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg { .. } => ImageFormat::Jpeg,
            Self::Webp => ImageFormat::Webp,
        }
    }
}

/// Encodes a picture of shape `[3, height, width]` with values in [0, 1]; what lies outside is clamped.
pub(crate) fn encode(values: &[f32], height: u32, width: u32, format: FileFormat) -> Result<Vec<u8>, Error> {
    let failed = |detail: &dyn std::fmt::Display| Error::internal("the picture could not be encoded", detail);
    let pixels = interleave(values);
    let image =
        RgbImage::from_raw(width, height, pixels).ok_or_else(|| failed(&"size and values disagree"))?;
    let mut file = Cursor::new(Vec::new());
    match format {
        FileFormat::Jpeg { quality } => JpegEncoder::new_with_quality(&mut file, quality).write_image(
            image.as_raw(),
            width,
            height,
            ExtendedColorType::Rgb8,
        ),
        FileFormat::Webp => image.write_to(&mut file, image::ImageFormat::WebP),
        FileFormat::Png => image.write_to(&mut file, image::ImageFormat::Png),
    }
    .map_err(|error| failed(&error))?;
    Ok(file.into_inner())
}

/// `[3, h, w]` floats to `[h, w, 3]` bytes, rounded half to even as numpy does in the reference pipeline.
fn interleave(values: &[f32]) -> Vec<u8> {
    let plane = values.len() / 3;
    (0..plane * 3)
        .map(|at| {
            let value = values[(at % 3) * plane + at / 3].clamp(0.0, 1.0) * 255.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to 0 to 255"
            )]
            let byte = value.round_ties_even() as u8;
            byte
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_keep_their_place() {
        // Two pixels: red and a half grey that rounds to even.
        let values = [1.0, 0.5, 0.0, 0.5, -3.0, 0.5];
        assert_eq!(interleave(&values), [255, 0, 0, 128, 128, 128]);
    }

    #[test]
    fn every_format_decodes_again() {
        let values = vec![0.25; 3 * 8 * 6];
        for format in [FileFormat::Png, FileFormat::Jpeg { quality: 90 }, FileFormat::Webp] {
            let file = encode(&values, 8, 6, format).unwrap();
            let image = image::load_from_memory(&file).unwrap().into_rgb8();
            assert_eq!(image.dimensions(), (6, 8));
            assert!(image.get_pixel(3, 3).0.iter().all(|value| value.abs_diff(64) <= 1));
        }
    }
}
