//! From a file to pixels.

use std::io::Cursor;

use image::error::ImageFormatHint;
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, Rgba, RgbaImage,
};

use crate::{Error, Mask, Permit, Pool};

/// The longest file, in bytes.
pub const MAX_BYTES: usize = 20 << 20;

/// The longest side, in pixels.
pub const MAX_SIDE: u32 = 4096;

/// What a decoder may allocate: a picture of the longest sides with 16 bits in four channels, and as much again.
const MAX_ALLOCATION: u64 = 256 << 20;

/// Bytes that a pixel takes while its transparency is laid over white: RGBA and RGB.
const FLATTENED: u64 = 4 + 3;

/// Bytes that a pixel takes inside the JPEG decoder: 16-bit coefficients of three channels, where the file is progressive.
const COEFFICIENTS: u64 = 6;

/// A decoded picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Without transparency: laid over white.
    pub pixels: RgbImage,
    /// What of it is transparent. None: the file has no transparency.
    pub mask: Option<Mask>,
}

/// Decodes a file within the pool's budget, and makes of it what is kept: `reduce` runs there too, so that no more than its
/// result is held afterwards. `field` names the picture in errors.
///
/// # Errors
/// As [`decode`], [`Error::Full`] when the pool is, and what `reduce` fails with.
pub async fn decode_in<T, E, F>(
    pool: &Pool,
    field: &str,
    file: impl AsRef<[u8]> + Send + 'static,
    reduce: F,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: FnOnce(Picture) -> Result<T, E> + Send + 'static,
{
    let permit = pool.admit(decoded_bytes(field, file.as_ref())?).await?;
    let field = field.to_owned();
    pool.run(permit, move |permit| reduce(decode(permit, &field, file.as_ref())?)).await
}

/// The memory that decoding a PNG, JPEG or WebP file takes, in bytes: known from its head, before any pixel is read.
///
/// # Errors
/// More than 20 MiB or 4096 pixels a side, another format, or a damaged head.
pub fn decoded_bytes(field: &str, file: &[u8]) -> Result<u64, Error> {
    let (decoder, format) = open(field, file)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    let native = decoder.total_bytes();
    // Turned upright and converted one after the other.
    let after = native.max(pixels * FLATTENED);
    let inside = if format == ImageFormat::Jpeg { pixels * COEFFICIENTS + file.len() as u64 } else { 0 };
    Ok(native + after + inside)
}

/// Decodes a PNG, JPEG or WebP file: upright as its EXIF orientation says, the first frame of an animation, palettes,
/// greys, CMYK and 16 bits as eight-bit RGB. The permit is for [`decoded_bytes`].
///
/// # Errors
/// More than 20 MiB or 4096 pixels a side, another format, or a damaged file.
pub fn decode(_: &Permit, field: &str, file: &[u8]) -> Result<Picture, Error> {
    let (mut decoder, _) = open(field, file)?;
    let read = || -> Result<DynamicImage, ImageError> {
        let orientation = decoder.orientation()?;
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        Ok(image)
    };
    let image = read().map_err(|error| refused(field, &error))?;
    if !image.color().has_alpha() {
        return Ok(Picture { pixels: image.into_rgb8(), mask: None });
    }
    let image = image.into_rgba8();
    let mask = Mask::of(&image);
    Ok(Picture { pixels: over_white(&image), mask: Some(mask).filter(|mask| !mask.keeps_all()) })
}

/// Reads the head of a file, and refuses what no pixel needs to be read for.
fn open<'a>(field: &str, file: &'a [u8]) -> Result<(impl ImageDecoder + use<'a>, ImageFormat), Error> {
    if file.is_empty() {
        return Err(Error::invalid(field, "no readable picture (0 bytes); send a PNG, JPEG or WebP file"));
    }
    if file.len() > MAX_BYTES {
        let problem = format!("{} bytes, at most {MAX_BYTES} are allowed", file.len());
        return Err(Error::invalid(field, problem));
    }
    decoder(file).map_err(|error| refused(field, &error))
}

fn decoder(file: &[u8]) -> Result<(impl ImageDecoder + use<'_>, ImageFormat), ImageError> {
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format()?;
    // Whatever other formats another crate of the build turns on are not ours to take.
    let format = reader.format();
    let Some(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) = format else {
        return Err(ImageError::Unsupported(ImageFormatHint::Unknown.into()));
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    Ok((reader.into_decoder()?, format))
}

fn refused(field: &str, error: &ImageError) -> Error {
    let problem = match error {
        ImageError::Limits(_) => {
            format!("the picture is too large, at most {MAX_SIDE} x {MAX_SIDE} pixels are allowed")
        }
        error => format!("no readable picture ({error}); send a PNG, JPEG or WebP file"),
    };
    Error::invalid(field, problem)
}

/// The picture without transparency: laid over white.
fn over_white(image: &RgbaImage) -> RgbImage {
    let mut flat = RgbImage::new(image.width(), image.height());
    for (pixel, Rgba([red, green, blue, alpha])) in flat.pixels_mut().zip(image.pixels()) {
        pixel.0 = [*red, *green, *blue].map(|value| blend(value, *alpha));
    }
    flat
}

fn blend(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u16::from(value), u16::from(alpha));
    let mixed = (value * alpha + 255 * (255 - alpha) + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}
