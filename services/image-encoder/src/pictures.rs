//! Uploaded pictures, decoded within limits.

use std::io::Cursor;

use image::{DynamicImage, ImageReader, Limits, RgbImage, Rgba};
use unclip_proto::FieldError;

/// The longest file, in bytes.
const MAX_BYTES: usize = 20 << 20;

/// The longest side, in pixels.
const MAX_SIDE: u32 = 4096;

/// What a decoder may allocate: a picture of the longest sides with 16 bits in four channels, and as much again.
const MAX_ALLOCATION: u64 = 256 << 20;

/// Decodes a PNG, JPEG or WebP file. Transparency is laid over white.
pub(crate) fn decode(field: &str, file: &[u8]) -> Result<RgbImage, FieldError> {
    if file.len() > MAX_BYTES {
        let problem = format!("{} bytes, at most {MAX_BYTES} are allowed", file.len());
        return Err(FieldError::new(field, problem));
    }
    let unreadable = |reason: &dyn std::fmt::Display| {
        FieldError::new(field, format!("no readable picture ({reason}); send a PNG, JPEG or WebP file"))
    };
    let mut reader =
        ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|error| unreadable(&error))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| match error {
        image::ImageError::Limits(_) => FieldError::new(
            field,
            format!("the picture is too large, at most {MAX_SIDE} x {MAX_SIDE} pixels are allowed"),
        ),
        error => unreadable(&error),
    })?;
    Ok(flatten(&image))
}

fn flatten(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let image = image.to_rgba8();
    let mut flat = RgbImage::new(image.width(), image.height());
    for (pixel, Rgba([red, green, blue, alpha])) in flat.pixels_mut().zip(image.pixels()) {
        pixel.0 = [*red, *green, *blue].map(|value| over_white(value, *alpha));
    }
    flat
}

fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u16::from(value), u16::from(alpha));
    let mixed = (value * alpha + 255 * (255 - alpha) + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use image::RgbaImage;

    use super::*;

    fn png(image: &RgbaImage) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, image::ImageFormat::Png).unwrap();
        file.into_inner()
    }

    #[test]
    fn transparency_is_laid_over_white() {
        let image = RgbaImage::from_pixel(2, 1, Rgba([255, 0, 0, 0]));
        assert_eq!(decode("x", &png(&image)).unwrap().get_pixel(0, 0).0, [255, 255, 255]);
        let image = RgbaImage::from_pixel(2, 1, Rgba([0, 100, 200, 255]));
        assert_eq!(decode("x", &png(&image)).unwrap().get_pixel(1, 0).0, [0, 100, 200]);
    }

    #[test]
    fn bad_files_are_refused() {
        let good = png(&RgbaImage::new(16, 16));
        let wide = png(&RgbaImage::new(MAX_SIDE + 1, 1));
        let cases: [(&[u8], &str); 5] = [
            (b"", "x: no readable picture"),
            (b"<svg></svg>", "x: no readable picture"),
            (&good[..good.len() / 2], "x: no readable picture"),
            (&wide, "x: the picture is too large"),
            (&vec![0; MAX_BYTES + 1], "x: 20971521 bytes"),
        ];
        for (file, expected) in cases {
            let text = decode("x", file).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
