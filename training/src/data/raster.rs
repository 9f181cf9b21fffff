//! Drawing SVG documents and decoding image files to square pictures with straight alpha.

use std::fs;
use std::path::Path;

use image::imageops;
use image::{ImageReader, RgbaImage};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::DataError;
use super::resample::{premultiply, resample, unpremultiply};
use super::source::{Art, Picture};

/// A picture with less than this part of full opacity, on average, shows nothing.
const BLANK: f64 = 0.002;

/// Draws a picture as `[side, side, 4]`, straight alpha.
///
/// # Errors
/// [`DataError::Picture`] if it does not parse or shows nothing, [`DataError::Io`] if its file cannot be read.
pub fn draw(picture: &Picture, side: u32) -> Result<Vec<u8>, DataError> {
    let wrong = |reason| DataError::Picture { name: picture.key.clone(), reason };
    let rgba = match &picture.art {
        Art::Svg(text) => draw_svg(text, side).map_err(wrong)?,
        Art::File(path)
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) =>
        {
            let text = fs::read_to_string(path).map_err(DataError::io(path))?;
            draw_svg(&text, side).map_err(wrong)?
        }
        Art::File(path) => decode(path, side)?,
    };
    let opacity: u64 = rgba.chunks_exact(4).map(|pixel| u64::from(pixel[3])).sum();
    if (opacity as f64) < BLANK * 255.0 * f64::from(side).powi(2) {
        return Err(wrong("it shows nothing".into()));
    }
    Ok(rgba)
}

/// Draws an SVG document into a square of `side` pixels, as large as fits, in the middle.
///
/// # Errors
/// The reason if it is not an SVG document that can be drawn.
pub fn draw_svg(text: &str, side: u32) -> Result<Vec<u8>, String> {
    let tree = Tree::from_str(text, &Options::default()).map_err(|error| error.to_string())?;
    let mut pixmap = Pixmap::new(side, side).ok_or("no memory for it")?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let side = side as f32;
    let scale = side / width.max(height);
    let (x, y) = ((side - width * scale) / 2.0, (side - height * scale) / 2.0);
    let place = Transform::from_scale(scale, scale).post_translate(x, y);
    resvg::render(&tree, place, &mut pixmap.as_mut());
    let straight = pixmap.pixels().iter().flat_map(|pixel| {
        let pixel = pixel.demultiply();
        [pixel.red(), pixel.green(), pixel.blue(), pixel.alpha()]
    });
    Ok(straight.collect())
}

/// Decodes an image file: opaque ones are cropped to their middle square, others padded to a square.
fn decode(path: &Path, side: u32) -> Result<Vec<u8>, DataError> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let image = reader.map_err(DataError::io(path))?.decode();
    let image = image
        .map_err(|error| DataError::Picture { name: path.display().to_string(), reason: error.to_string() })?
        .into_rgba8();
    let square = if image.pixels().all(|pixel| pixel[3] == u8::MAX) { crop(&image) } else { pad(&image) };
    let (from, to) = (square.width() as usize, side as usize);
    Ok(unpremultiply(&resample(&premultiply(&square), from, to)))
}

fn crop(image: &RgbaImage) -> RgbaImage {
    let (width, height) = image.dimensions();
    let side = width.min(height);
    imageops::crop_imm(image, (width - side) / 2, (height - side) / 2, side, side).to_image()
}

fn pad(image: &RgbaImage) -> RgbaImage {
    let (width, height) = image.dimensions();
    let side = width.max(height);
    let mut square = RgbaImage::new(side, side);
    imageops::replace(&mut square, image, i64::from((side - width) / 2), i64::from((side - height) / 2));
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 1" width="2" height="1">
        <rect width="1" height="1" fill="#c80000" fill-opacity="0.5"/></svg>"##;

    #[test]
    fn alpha_is_straight_and_wide_drawings_lie_in_the_middle() {
        let rgba = draw_svg(HALF, 8).unwrap();
        let pixel = |x: usize, y: usize| &rgba[(y * 8 + x) * 4..][..4];
        assert_eq!(pixel(1, 0)[3], 0);
        assert!(pixel(1, 4)[0].abs_diff(200) <= 1 && pixel(1, 4)[3].abs_diff(128) <= 1);
        assert_eq!(pixel(6, 4)[3], 0);
    }

    #[test]
    fn nonsense_and_blank_drawings_are_errors() {
        assert!(draw_svg("<svg", 8).is_err());
        let blank = r#"<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2"/>"#;
        let art = Art::Svg(blank.into());
        let picture = Picture {
            key: "x".into(),
            label: "x".into(),
            skin_tone: false,
            meaning: Default::default(),
            art,
        };
        assert!(draw(&picture, 8).unwrap_err().to_string().contains("shows nothing"));
    }

    #[test]
    fn opaque_files_are_cropped_and_others_padded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut image = RgbaImage::from_pixel(16, 8, image::Rgba([9, 9, 9, 255]));
        image.save(&path).unwrap();
        assert!(decode(&path, 8).unwrap().chunks(4).all(|pixel| pixel == [9, 9, 9, 255]));
        image.put_pixel(0, 0, image::Rgba([0, 0, 0, 0]));
        image.save(&path).unwrap();
        assert_eq!(decode(&path, 8).unwrap()[3], 0);
    }
}
