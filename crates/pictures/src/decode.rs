//! From a file to pixels.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, Rgba, RgbaImage,
};
use unclip_proto::FieldError;

/// The longest file, in bytes.
pub const MAX_BYTES: usize = 20 << 20;

/// The longest side, in pixels.
pub const MAX_SIDE: u32 = 4096;

/// What a decoder may allocate: a picture of the longest sides with 16 bits in four channels, and as much again.
const MAX_ALLOCATION: u64 = 256 << 20;

/// Decodes a PNG, JPEG or WebP file: upright as its EXIF orientation says, the first frame of an animation, palettes,
/// greys, CMYK and 16 bits as eight-bit RGB with alpha. The size is read and checked before any pixel is. `field` names
/// the picture in errors.
///
/// # Errors
/// More than 20 MiB or 4096 pixels a side, another format, or a damaged file.
pub fn decode(field: &str, file: &[u8]) -> Result<RgbaImage, FieldError> {
    if file.is_empty() {
        return Err(FieldError::new(field, "no readable picture (0 bytes); send a PNG, JPEG or WebP file"));
    }
    if file.len() > MAX_BYTES {
        let problem = format!("{} bytes, at most {MAX_BYTES} are allowed", file.len());
        return Err(FieldError::new(field, problem));
    }
    pixels(file).map(DynamicImage::into_rgba8).map_err(|error| match error {
        ImageError::Limits(_) => FieldError::new(
            field,
            format!("the picture is too large, at most {MAX_SIDE} x {MAX_SIDE} pixels are allowed"),
        ),
        error => {
            let problem = format!("no readable picture ({error}); send a PNG, JPEG or WebP file");
            FieldError::new(field, problem)
        }
    })
}

fn pixels(file: &[u8]) -> Result<DynamicImage, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format()?;
    // Whatever other formats another crate of the build turns on are not ours to take.
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) {
        reader.clear_format();
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// The picture without transparency: laid over white.
pub fn over_white(image: &RgbaImage) -> RgbImage {
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
