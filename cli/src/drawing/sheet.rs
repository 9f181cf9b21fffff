//! Many pictures in one file: contact sheets and animations.

use std::io::Cursor;

use anyhow::Context as _;
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, Rgb, RgbImage, imageops};
use unclip_proto::v1::{GeneratedImage, ImageFormat};
use unclip_training::data::contact_sheet;

/// Pictures of a row, unless the rows mean something.
const COLUMNS: usize = 8;

/// The frames as an endless GIF, ten a second.
///
/// # Errors
/// A frame that can't be read.
pub(super) fn gif(images: &[GeneratedImage]) -> anyhow::Result<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    let mut encoder = GifEncoder::new(&mut file);
    encoder.set_repeat(Repeat::Infinite)?;
    for pixels in decoded(images)? {
        let pixels = DynamicImage::from(pixels).into_rgba8();
        let delay = Delay::from_numer_denom_ms(100, 1);
        encoder.encode_frame(Frame::from_parts(pixels, 0, 0, delay))?;
    }
    drop(encoder);
    Ok(file.into_inner())
}

/// The pictures in rows of `columns`, or as many as fit a screen, each with its label below.
///
/// # Errors
/// A picture that can't be read.
pub(super) fn sheet(
    images: &[GeneratedImage],
    labels: &[String],
    columns: Option<usize>,
    format: ImageFormat,
) -> anyhow::Result<Vec<u8>> {
    let pictures = decoded(images)?;
    let side = pictures.iter().map(|picture| picture.width().max(picture.height())).max().unwrap_or(0);
    let values: Vec<f32> = pictures.iter().flat_map(|picture| planes(&square(picture, side))).collect();
    let zoom = if side < 96 { 2 } else { 1 };
    let columns = columns.unwrap_or(labels.len().min(COLUMNS));
    picture_file(contact_sheet(&values, side as usize, labels, columns, zoom).into(), format)
}

/// A picture as a file.
///
/// # Errors
/// The format can't hold it.
pub(crate) fn picture_file(picture: DynamicImage, format: ImageFormat) -> anyhow::Result<Vec<u8>> {
    let format = match format {
        ImageFormat::Jpeg => image::ImageFormat::Jpeg,
        ImageFormat::Webp => image::ImageFormat::WebP,
        ImageFormat::Png | ImageFormat::Unspecified => image::ImageFormat::Png,
    };
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format)?;
    Ok(file.into_inner())
}

fn decoded(images: &[GeneratedImage]) -> anyhow::Result<Vec<RgbImage>> {
    let decode = |image: &GeneratedImage| {
        image::load_from_memory(&image.image).map(DynamicImage::into_rgb8).context("the gateway's picture")
    };
    images.iter().map(decode).collect()
}

/// The picture in the middle of a white square.
fn square(picture: &RgbImage, side: u32) -> RgbImage {
    let mut square = RgbImage::from_pixel(side, side, Rgb([255; 3]));
    let middle = |length: u32| i64::from((side - length) / 2);
    imageops::replace(&mut square, picture, middle(picture.width()), middle(picture.height()));
    square
}

/// Red, then green, then blue, in [-1, 1].
fn planes(picture: &RgbImage) -> Vec<f32> {
    let value = |byte: u8| f32::from(byte) / 127.5 - 1.0;
    (0..3).flat_map(|channel| picture.pixels().map(move |pixel| value(pixel.0[channel]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: u32, height: u32) -> GeneratedImage {
        let picture = RgbImage::from_pixel(width, height, Rgb([200, 0, 0])).into();
        let file = picture_file(picture, ImageFormat::Png).unwrap();
        GeneratedImage { image: file.into(), width, height, ..Default::default() }
    }

    #[test]
    fn a_sheet_takes_pictures_of_any_proportions_and_as_many_rows_as_are_asked_for() {
        let labels = vec!["a".to_owned(); 4];
        let images = [drawn(100, 100), drawn(100, 50), drawn(100, 100), drawn(100, 100)];
        let size = |columns| {
            let file = sheet(&images, &labels, columns, ImageFormat::Png).unwrap();
            let sheet = image::load_from_memory(&file).unwrap();
            (sheet.width(), sheet.height())
        };
        let (wide, low) = size(None);
        let (narrow, high) = size(Some(2));
        assert!(wide > 4 * 100 && narrow < 3 * 104 && high > low, "{wide} x {low}, {narrow} x {high}");
    }
}
