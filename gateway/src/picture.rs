//! Pictures as files, made in the pool: away from the async threads and within its budget.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use unclip_pictures::{Pool, pad};
use unclip_proto::v1::{ImageFormat, Preview, Tensor};
use unclip_service::Error;

/// Bytes that a pixel takes on its way into a file: three floats, and three bytes for each of the picture drawn, the one resized
/// and the file.
const BYTES_PER_PIXEL: u64 = 3 * 4 + 3 * 3;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// Lossless.
    Png,
    /// With a quality of 1 to 100.
    Jpeg { quality: u8 },
    /// With a quality of 0 to 100, lossless without one.
    Webp { quality: Option<u8> },
}

impl FileFormat {
    /// Its name in the contract.
    pub(crate) fn name(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg { .. } => ImageFormat::Jpeg,
            Self::Webp { .. } => ImageFormat::Webp,
        }
    }
}

/// A picture's file.
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    /// Width and height.
    pub(crate) size: (u32, u32),
    /// Width and height before it was resized.
    pub(crate) drawn: (u32, u32),
}

/// Writes a stage's picture, `[3, height, width]` with values in [0, 1], at `size` unless that is its own. What lies outside the
/// range is clamped.
pub(crate) async fn write(
    pool: &Pool,
    tensor: Tensor,
    size: Option<(u32, u32)>,
    format: FileFormat,
) -> Result<File, Error> {
    let drawn = dimensions(&tensor)?;
    let size = size.unwrap_or(drawn);
    let permit = pool.room(pixels(drawn).max(pixels(size)) * BYTES_PER_PIXEL).await?;
    let made = pool.run(permit, move |_| {
        let image = image(&tensor, |value| value)?;
        let image = if size == drawn { image } else { pad(&image, size.0, size.1) };
        encode(&image, format)
    });
    Ok(File { bytes: made.await?, size, drawn })
}

/// Writes a stage's estimate, `[3, height, width]` with values in [-1, 1], as a PNG.
pub(crate) async fn estimate(pool: &Pool, preview: Preview) -> Result<Vec<u8>, Error> {
    let tensor = preview.x_0.ok_or_else(|| damaged("no x_0"))?;
    write_signed(pool, tensor).await
}

/// Writes a picture with values in [-1, 1] as a PNG.
pub(crate) async fn write_signed(pool: &Pool, tensor: Tensor) -> Result<Vec<u8>, Error> {
    let permit = pool.room(pixels(dimensions(&tensor)?) * BYTES_PER_PIXEL).await?;
    pool.run(permit, move |_| encode(&image(&tensor, |value| value.midpoint(1.0))?, FileFormat::Png)).await
}

fn pixels((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height)
}

/// Width and height of `[3, height, width]`.
fn dimensions(tensor: &Tensor) -> Result<(u32, u32), Error> {
    match tensor.shape[..] {
        [3, height, width] => Ok((width, height)),
        _ => Err(damaged(format!("shape {:?}", tensor.shape))),
    }
}

fn image(tensor: &Tensor, value: impl Fn(f32) -> f32) -> Result<RgbImage, Error> {
    let (width, height) = dimensions(tensor)?;
    let shape = tensor.checked_shape("image").map_err(damaged)?;
    let mut values = tensor.floats("image", &shape).map_err(damaged)?;
    values.iter_mut().for_each(|it| *it = value(*it));
    RgbImage::from_raw(width, height, interleave(&values)).ok_or_else(|| damaged("size and values disagree"))
}

fn damaged(detail: impl std::fmt::Display) -> Error {
    Error::internal("a stage's picture is damaged", detail)
}

fn encode(image: &RgbImage, format: FileFormat) -> Result<Vec<u8>, Error> {
    let failed = |detail: &dyn std::fmt::Display| Error::internal("the picture could not be encoded", detail);
    let (width, height) = image.dimensions();
    let mut file = Cursor::new(Vec::new());
    match format {
        FileFormat::Jpeg { quality } => JpegEncoder::new_with_quality(&mut file, quality).write_image(
            image.as_raw(),
            width,
            height,
            ExtendedColorType::Rgb8,
        ),
        FileFormat::Webp { quality: Some(quality) } => {
            // The image crate writes WebP without loss alone.
            let encoder = webp::Encoder::from_rgb(image.as_raw(), width, height);
            let written = encoder.encode_simple(false, f32::from(quality));
            return written.map(|file| file.to_vec()).map_err(|error| failed(&format!("{error:?}")));
        }
        FileFormat::Webp { quality: None } => image.write_to(&mut file, image::ImageFormat::WebP),
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

    const FORMATS: [FileFormat; 4] = [
        FileFormat::Png,
        FileFormat::Jpeg { quality: 90 },
        FileFormat::Webp { quality: None },
        FileFormat::Webp { quality: Some(80) },
    ];

    #[test]
    fn pixels_keep_their_place() {
        // Two pixels: red and a half grey that rounds to even.
        let values = [1.0, 0.5, 0.0, 0.5, -3.0, 0.5];
        assert_eq!(interleave(&values), [255, 0, 0, 128, 128, 128]);
    }

    #[tokio::test]
    async fn every_format_decodes_again_at_the_size_that_was_asked_for() {
        let pool = Pool::new(0);
        for format in FORMATS {
            for (asked, size) in [(None, (6, 8)), (Some((30, 24)), (30, 24)), (Some((6, 8)), (6, 8))] {
                let tensor = Tensor::from_f32(&[3, 8, 6], &[0.25; 3 * 8 * 6]);
                let file = write(&pool, tensor, asked, format).await.unwrap();
                assert_eq!((file.size, file.drawn), (size, (6, 8)));
                let image = image::load_from_memory(&file.bytes).unwrap().into_rgb8();
                assert_eq!(image.dimensions(), size);
                assert!(image.get_pixel(3, 3).0.iter().all(|value| value.abs_diff(64) <= 3), "{format:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_damaged_tensor_is_no_panic() {
        for shape in [&[3, 8][..], &[1, 8, 6]] {
            let tensor = Tensor::from_f32(shape, &vec![0.5; shape.iter().product()]);
            assert!(write(&Pool::new(0), tensor, None, FileFormat::Png).await.is_err());
        }
    }
}
