//! Pictures at a size that the model does not draw.

use image::{Rgb, RgbImage, imageops};

use crate::resample::{Axis, Filter, resize};

/// A picture at `width` x `height`: resized as a whole with Pillow's Lanczos filter, nothing cut off and nothing distorted;
/// where the proportions differ, it lies in the middle of a plain ground. Pillow 13.0.0's `ImageOps.pad`, with the median
/// colour of the edges that meet the ground: an object that touches an edge does not tint it.
pub fn pad(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (inner_width, inner_height) = contained(image.dimensions(), (width, height));
    let columns = Axis::whole(image.width() as usize, inner_width as usize);
    let rows = Axis::whole(image.height() as usize, inner_height as usize);
    let pixels = resize(image, Filter::Lanczos, &columns, &rows);
    let mut whole = RgbImage::from_pixel(width, height, ground(image, inner_width < width));
    if let Some(inner) = RgbImage::from_raw(inner_width, inner_height, pixels) {
        let (left, top) = (middle(width - inner_width), middle(height - inner_height));
        imageops::replace(&mut whole, &inner, left, top);
    }
    whole
}

/// The largest size with the proportions of `from` that lies within `to`, rounded as Pillow's `ImageOps.contain` rounds.
fn contained(from: (u32, u32), to: (u32, u32)) -> (u32, u32) {
    let ratio = |(width, height): (u32, u32)| f64::from(width) / f64::from(height.max(1));
    let rounded = |side: f64, limit: u32| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the limit")]
        let side = side.round_ties_even() as u32;
        side.clamp(1, limit.max(1))
    };
    match ratio(from) > ratio(to) {
        true => (to.0, rounded(f64::from(to.0) / ratio(from), to.1)),
        false => (rounded(f64::from(to.1) * ratio(from), to.0), to.1),
    }
}

/// Half of what is left over, as Python rounds it.
fn middle(left_over: u32) -> i64 {
    let half = f64::from(left_over) * 0.5;
    #[expect(clippy::cast_possible_truncation, reason = "at most a side of a picture")]
    let half = half.round_ties_even() as i64;
    half
}

/// The median of each channel along the left and right edges, or along the upper and lower ones.
fn ground(image: &RgbImage, beside: bool) -> Rgb<u8> {
    let (right, bottom) = (image.width().saturating_sub(1), image.height().saturating_sub(1));
    let is_edge = |x: u32, y: u32| if beside { x == 0 || x == right } else { y == 0 || y == bottom };
    let edge = || image.enumerate_pixels().filter(|(x, y, _)| is_edge(*x, *y)).map(|(_, _, pixel)| pixel.0);
    Rgb([0, 1, 2].map(|channel| {
        let mut values: Vec<u8> = edge().map(|pixel| pixel[channel]).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(u8::MAX)
    }))
}
