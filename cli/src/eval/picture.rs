//! Pictures as plain values.

use std::io::Cursor;

use anyhow::bail;
use image::{ImageFormat, Rgb, RgbImage};
use tch::Tensor;

/// A square picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    /// Side in pixels.
    pub(super) side: usize,
    /// `[3, side, side]` in -1 to 1.
    pub(super) values: Vec<f32>,
}

impl Picture {
    /// A square PNG file's.
    pub(super) fn of_png(file: &[u8]) -> anyhow::Result<Self> {
        let image = image::load_from_memory(file)?.into_rgb8();
        if image.width() != image.height() {
            bail!("eval measures square pictures only");
        }
        let channel = |channel| image.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 127.5 - 1.0);
        Ok(Self { side: image.width() as usize, values: (0..3).flat_map(channel).collect() })
    }

    /// As a PNG file.
    pub(super) fn png(&self) -> anyhow::Result<Vec<u8>> {
        let side = u32::try_from(self.side)?;
        let plane = self.side * self.side;
        let mut image = RgbImage::new(side, side);
        for (at, pixel) in image.pixels_mut().enumerate() {
            *pixel = Rgb([0, 1, 2].map(|channel| byte(self.values.get(channel * plane + at).copied())));
        }
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, ImageFormat::Png)?;
        Ok(file.into_inner())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
fn byte(value: Option<f32>) -> u8 {
    value.unwrap_or_default().mul_add(127.5, 127.5).round().clamp(0.0, 255.0) as u8
}

/// Pictures of one size as `[n, 3, side, side]`.
pub(super) fn stack<'a>(pictures: impl IntoIterator<Item = &'a Picture>) -> anyhow::Result<Tensor> {
    let (mut values, mut side) = (Vec::new(), 0);
    for picture in pictures {
        values.extend_from_slice(&picture.values);
        side = i64::try_from(picture.side)?;
    }
    Ok(Tensor::f_from_slice(&values)?.f_view([-1, 3, side, side])?)
}

/// `[n, 3, side, side]` as pictures.
pub(super) fn unstack(pictures: &Tensor) -> anyhow::Result<Vec<Picture>> {
    let side = usize::try_from(pictures.size4()?.3)?;
    let values = Vec::<f32>::try_from(&pictures.f_to_kind(tch::Kind::Float)?.f_flatten(0, -1)?)?;
    Ok(values.chunks(3 * side * side).map(|values| Picture { side, values: values.to_vec() }).collect())
}

/// Rows of one length as `[n, length]`.
pub(super) fn matrix<'a>(rows: impl IntoIterator<Item = &'a Vec<f32>>) -> anyhow::Result<Tensor> {
    let (mut values, mut length) = (Vec::new(), 0);
    for row in rows {
        values.extend_from_slice(row);
        length = i64::try_from(row.len())?;
    }
    Ok(Tensor::f_from_slice(&values)?.f_view([-1, length])?)
}
