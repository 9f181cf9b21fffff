//! `feature_extractor/preprocessor_config.json`. Defaults are those of transformers 5.23.0.

use serde_json::{Value, json};

use super::{Config, RawConfig};
use crate::BundleError;

/// Sides in pixels that a preprocessor may have.
const SIDES: std::ops::RangeInclusive<u64> = 1..=4096;

/// transformers' `CLIPImageProcessor`: resize the short side (bicubic, antialiased), centre crop, scale, normalise.
/// A null is an absent key to it.
#[derive(Clone, Debug, PartialEq)]
pub struct PreprocessorConfig {
    /// What the resize makes.
    pub size: Size,
    /// Height and width of the crop.
    pub crop_size: (usize, usize),
    /// Mean per channel, of pixels in `[0, 1]`.
    pub image_mean: [f32; 3],
    /// Standard deviation per channel, of pixels in `[0, 1]`.
    pub image_std: [f32; 3],
    /// What a pixel value is multiplied by.
    pub rescale_factor: f64,
}

/// The size after a resize, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Of the short side.
    ShortestEdge(usize),
    /// Of both sides.
    Exact {
        /// The height.
        height: usize,
        /// The width.
        width: usize,
    },
}

impl Config for PreprocessorConfig {
    const FILE: &'static str = "preprocessor_config.json";

    fn parse(raw: &RawConfig) -> Result<Self, BundleError> {
        for step in ["do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"] {
            raw.only(step, &json!(true), &[json!(true), Value::Null])?;
        }
        raw.off("use_square_size")?;
        raw.off("do_pad")?;
        // PIL's number for bicubic.
        raw.only("resample", &json!(3), &[json!(3), Value::Null])?;
        // OpenAI's CLIP, clip/clip.py.
        let image_mean = channels(raw, "image_mean", [0.481_454_66, 0.457_827_5, 0.408_210_73], |_| true)?;
        let std = [0.268_629_54, 0.261_302_58, 0.275_777_11];
        Ok(Self {
            size: size(raw)?,
            crop_size: crop_size(raw)?,
            image_mean,
            image_std: channels(raw, "image_std", std, |std| std > 0.0)?,
            rescale_factor: rescale_factor(raw)?,
        })
    }
}

/// A side, `[height, width]`, or an object of either.
fn size(raw: &RawConfig) -> Result<Size, BundleError> {
    let supported = "a side of 1 to 4096 pixels, {\"shortest_edge\": side} or {\"height\": h, \"width\": w}";
    let read = |value: &Value| {
        let own = |key: &str| value.get(key).filter(|side| !side.is_null());
        match (value, own("shortest_edge"), own("longest_edge")) {
            (Value::Number(_), ..) if raw.get("default_to_square") == Some(&json!(true)) => exact(value),
            (Value::Number(_), ..) => side(value).map(Size::ShortestEdge),
            (Value::Object(_), Some(edge), None) => side(edge).map(Size::ShortestEdge),
            _ => exact(value),
        }
    };
    match raw.get("size") {
        None | Some(Value::Null) => Ok(Size::ShortestEdge(224)),
        Some(value) => read(value).ok_or_else(|| raw.refused("size", supported)),
    }
}

fn crop_size(raw: &RawConfig) -> Result<(usize, usize), BundleError> {
    let supported = "a side of 1 to 4096 pixels or {\"height\": h, \"width\": w}";
    match raw.get("crop_size") {
        None | Some(Value::Null) => Ok((224, 224)),
        Some(value) => match exact(value) {
            Some(Size::Exact { height, width }) => Ok((height, width)),
            _ => Err(raw.refused("crop_size", supported)),
        },
    }
}

/// A square's side, `[height, width]`, or an object of both.
fn exact(value: &Value) -> Option<Size> {
    let (height, width) = match value {
        Value::Number(_) => (value, value),
        Value::Array(sides) if sides.len() == 2 => (&sides[0], &sides[1]),
        Value::Object(sides) => (sides.get("height")?, sides.get("width")?),
        _ => return None,
    };
    Some(Size::Exact { height: side(height)?, width: side(width)? })
}

fn side(value: &Value) -> Option<usize> {
    let side = value.as_u64().filter(|side| SIDES.contains(side))?;
    usize::try_from(side).ok()
}

/// One number for all three channels, or one each.
#[expect(clippy::cast_possible_truncation, reason = "the reference normalises in f32")]
fn channels(
    raw: &RawConfig,
    key: &str,
    default: [f32; 3],
    accepts: impl Fn(f32) -> bool,
) -> Result<[f32; 3], BundleError> {
    let number = |value: &Value| {
        let number = value.as_f64()? as f32;
        (number.is_finite() && accepts(number)).then_some(number)
    };
    let read = |value: &Value| match value {
        Value::Array(values) => match &values[..] {
            [red, green, blue] => Some([number(red)?, number(green)?, number(blue)?]),
            _ => None,
        },
        value => number(value).map(|number| [number; 3]),
    };
    match raw.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            let sign = if accepts(-1.0) { "" } else { "positive " };
            read(value).ok_or_else(|| raw.refused(key, format!("a {sign}number or three of them")))
        }
    }
}

fn rescale_factor(raw: &RawConfig) -> Result<f64, BundleError> {
    let own = raw.get("rescale_factor").is_some_and(|value| !value.is_null());
    if !own {
        return Ok(1.0 / 255.0);
    }
    raw.number("rescale_factor", 1.0, "a positive number", |factor| factor > 0.0 && factor.is_finite())
}
