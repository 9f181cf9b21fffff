//! Pictures to pixel values, as transformers' `CLIPImageProcessor` with its PIL backend.

use std::ops::Range;

use image::RgbImage;
use unclip_bundle::config::{PreprocessorConfig, Size};
use unclip_bundle::{Bundle, BundleError, Component};
use unclip_pictures::resample::{self, Axis, Filter};

use crate::ClipError;

const CHANNELS: usize = 3;

/// Resizes (bicubic, antialiased), crops the centre, scales and normalises.
pub struct ClipPreprocessor {
    size: Size,
    crop: (usize, usize),
    /// The pixel value of each byte, per channel.
    levels: [[f32; 256]; CHANNELS],
}

impl ClipPreprocessor {
    /// Reads `feature_extractor/preprocessor_config.json`.
    ///
    /// # Errors
    /// A config that is missing or asks for other steps than CLIP's.
    pub fn load(bundle: &Bundle) -> Result<Self, BundleError> {
        let config: PreprocessorConfig = bundle.config(Component::FeatureExtractor)?;
        Ok(Self {
            size: config.size,
            crop: config.crop_size,
            levels: std::array::from_fn(|channel| levels(&config, channel)),
        })
    }

    /// Height and width of the result.
    pub fn size(&self) -> (usize, usize) {
        self.crop
    }

    /// The pixel values of a picture, `[3, height, width]`, row-major, of the size [`Self::size`].
    ///
    /// # Errors
    /// [`ClipError::Image`] for a picture without pixels.
    pub fn run(&self, image: &RgbImage) -> Result<Vec<f32>, ClipError> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        if width == 0 || height == 0 {
            return Err(ClipError::Image {
                width: image.width(),
                height: image.height(),
                reason: "there is no pixel in it; send a picture of at least 1 x 1".to_owned(),
            });
        }
        let (new_height, new_width) = resized(self.size, height, width);
        let rows = Cut::centre(height, new_height, self.crop.0);
        let columns = Cut::centre(width, new_width, self.crop.1);
        let pixels = resample::resize(image, Filter::Bicubic, &columns.axis, &rows.axis);
        Ok(self.values(&pixels, &rows, &columns))
    }

    /// Bytes `[rows, columns, 3]` to values `[3, height, width]`; what the crop adds to a small picture is black.
    fn values(&self, pixels: &[u8], rows: &Cut, columns: &Cut) -> Vec<f32> {
        let (height, width) = self.crop;
        let mut values = Vec::with_capacity(CHANNELS * height * width);
        for levels in &self.levels {
            values.resize(values.len() + height * width, levels[0]);
        }
        let stride = columns.axis.window.len() * CHANNELS;
        for (y, row) in pixels.chunks_exact(stride).enumerate() {
            for (x, pixel) in row.chunks_exact(CHANNELS).enumerate() {
                let at = (rows.offset + y) * width + columns.offset + x;
                for (channel, &byte) in pixel.iter().enumerate() {
                    values[channel * height * width + at] = self.levels[channel][usize::from(byte)];
                }
            }
        }
        values
    }
}

/// One axis of the centre crop.
struct Cut {
    axis: Axis,
    /// Where the window begins in the result; above 0 where the crop exceeds the picture.
    offset: usize,
}

impl Cut {
    fn centre(input: usize, output: usize, crop: usize) -> Self {
        let (start, offset) =
            if output >= crop { ((output - crop) / 2, 0) } else { (0, (crop - output).div_ceil(2)) };
        let window: Range<usize> = start..start + crop.min(output);
        let axis = Axis { input, output, window };
        Self { axis, offset }
    }
}

/// Height and width after the resize. The long side is rounded down.
fn resized(size: Size, height: usize, width: usize) -> (usize, usize) {
    let scaled = |short: usize, side: usize| short * side / height.min(width);
    match size {
        Size::ShortestEdge(short) => (scaled(short, height), scaled(short, width)),
        Size::Exact { height, width } => (height, width),
    }
}

/// The reference multiplies in f64, rounds to f32 and normalises in f32.
#[expect(clippy::cast_possible_truncation, reason = "rounds as the reference does")]
fn levels(config: &PreprocessorConfig, channel: usize) -> [f32; 256] {
    let (mean, std) = (config.image_mean[channel], config.image_std[channel]);
    std::array::from_fn(|byte| {
        let byte = u8::try_from(byte).unwrap_or(u8::MAX);
        ((f64::from(byte) * config.rescale_factor) as f32 - mean) / std
    })
}
