//! Pictures and masks at a model's size.

use image::imageops::{self, FilterType};
use image::{Pixel, RgbImage, RgbaImage};

/// Which pixels of a picture are repainted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Row by row: 1 where the picture is kept, 0 where it is repainted.
    pub kept: Vec<u8>,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

impl Mask {
    /// From a picture's transparency: alpha 0 is repainted, all else kept.
    pub fn of(image: &RgbaImage) -> Self {
        let kept = image.pixels().map(|pixel| u8::from(pixel.0[3] > 0)).collect();
        Self { kept, width: image.width(), height: image.height() }
    }

    /// From a picture's brightness: what is rather white than black is repainted, all else kept.
    pub fn of_white(image: &RgbImage) -> Self {
        let kept = image.pixels().map(|pixel| u8::from(pixel.to_luma().0[0] < 128)).collect();
        Self { kept, width: image.width(), height: image.height() }
    }

    /// Whether every pixel is kept.
    pub fn keeps_all(&self) -> bool {
        !self.kept.contains(&0)
    }

    /// Whether no pixel is kept.
    pub fn keeps_none(&self) -> bool {
        !self.kept.contains(&1)
    }
}

/// The largest part in the middle of a picture that has the proportions of `width` x `height`: left, top, width, height.
fn middle(from: (u32, u32), (width, height): (u32, u32)) -> [u32; 4] {
    let by_height = u64::from(from.1) * u64::from(width) / u64::from(height.max(1));
    let by_width = u64::from(from.0) * u64::from(height) / u64::from(width.max(1));
    let at_most = |value: u64, limit: u32| u32::try_from(value).unwrap_or(limit).clamp(1, limit.max(1));
    let (w, h) = (at_most(by_height, from.0), at_most(by_width, from.1));
    [(from.0 - w.min(from.0)) / 2, (from.1 - h.min(from.1)) / 2, w, h]
}

/// A picture at `width` x `height`: cut to the proportions in its middle, as CLIP's preprocessing does, then resized with
/// a cubic filter. A picture of that size is left as it is.
pub fn fit(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    let [left, top, w, h] = middle(image.dimensions(), (width, height));
    let cut = imageops::crop_imm(image, left, top, w, h).to_image();
    imageops::resize(&cut, width, height, FilterType::CatmullRom)
}

/// A mask at `width` x `height`, cut as [`fit`] cuts. A pixel is kept only where all that it covers is: repainting reaches
/// rather too far than not far enough.
pub fn fit_mask(mask: &Mask, width: u32, height: u32) -> Mask {
    let [left, top, w, h] = middle((mask.width, mask.height), (width, height));
    let covered = |start: u32, len: u32, at: u32, count: u32| {
        let from = u64::from(at) * u64::from(len) / u64::from(count);
        let to = (u64::from(at + 1) * u64::from(len)).div_ceil(u64::from(count));
        let place = |value: u64| start + u32::try_from(value).unwrap_or(len);
        place(from)..place(to)
    };
    let is_kept = |x: u32, y: u32| {
        let at = y as usize * mask.width as usize + x as usize;
        mask.kept.get(at) == Some(&1)
    };
    let kept = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| {
        let mut rows = covered(top, h, y, height);
        u8::from(rows.all(|y| covered(left, w, x, width).all(|x| is_kept(x, y))))
    });
    Mask { kept: kept.collect(), width, height }
}
