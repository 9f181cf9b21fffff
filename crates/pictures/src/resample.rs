//! Pillow's 8-bit resize, bit for bit, of the part of the result that is wanted.
//!
//! Pillow widens the filter when it shrinks (antialiasing), works in fixed point with 22 bits after the point, and rounds
//! to 8 bits between the horizontal and the vertical pass (Pillow 13.0.0, src/libImaging/Resample.c). Computing only a window
//! keeps time and memory within the input's and the window's size, however extreme the picture's proportions are.

use std::ops::Range;

use image::RgbImage;

/// Bits after the point: 8 for the pixel and 2 for sign and overshoot are left of 32.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Keys 1981 with Pillow's a = -0.5.
const KEYS_A: f64 = -0.5;

const CHANNELS: usize = 3;

/// A filter of Pillow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `BICUBIC`: two pixels to each side, as CLIP's preprocessing has it.
    Bicubic,
    /// `LANCZOS`: three pixels to each side, for pictures to look at.
    Lanczos,
}

impl Filter {
    /// How far it reaches, in pixels.
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Bicubic => cubic(x),
            Self::Lanczos => lanczos(x),
        }
    }
}

/// One axis of a resize.
pub struct Axis {
    /// Pixels that there are.
    pub input: usize,
    /// Pixels that they become.
    pub output: usize,
    /// Which of these are wanted.
    pub window: Range<usize>,
}

impl Axis {
    /// An axis of which all is wanted.
    pub fn whole(input: usize, output: usize) -> Self {
        Self { input, output, window: 0..output }
    }
}

/// The input pixels that make one output pixel, with their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// Resizes `image`; the result is `[vertical.window, horizontal.window, 3]` u8, row-major.
pub fn resize(image: &RgbImage, filter: Filter, horizontal: &Axis, vertical: &Axis) -> Vec<u8> {
    let (mut columns, mut rows) = (horizontal.taps(filter), vertical.taps(filter));
    let source = Plane::cut(image, shift(&mut columns), shift(&mut rows));
    // The order shows, because of the rounding between. In Pillow 13.0.0 the vertical pass comes first where the height
    // shrinks by more than twice as many pixels as the width.
    let lost = |axis: &Axis| axis.input.cast_signed() - axis.output.cast_signed();
    let vertical_first = lost(vertical) > 0 && lost(vertical) > 2 * lost(horizontal);
    let result = if vertical_first {
        source.resize_columns(&rows).resize_rows(&columns)
    } else {
        source.resize_rows(&columns).resize_columns(&rows)
    };
    result.data
}

/// Makes taps count from the first pixel that any of them reads; gives the range of pixels that they read.
fn shift(taps: &mut [Taps]) -> Range<usize> {
    let from = taps.iter().map(|taps| taps.first).min().unwrap_or(0);
    let to = taps.iter().map(Taps::end).max().unwrap_or(0);
    for taps in taps {
        taps.first -= from;
    }
    from..to
}

/// Part of a picture, `[rows, stride / 3, 3]`.
struct Plane {
    data: Vec<u8>,
    stride: usize,
}

impl Plane {
    fn cut(image: &RgbImage, columns: Range<usize>, rows: Range<usize>) -> Self {
        let whole = image.width() as usize * CHANNELS;
        let part = columns.start * CHANNELS..columns.end * CHANNELS;
        let rows = image.as_raw()[rows.start * whole..rows.end * whole].chunks_exact(whole);
        Self { data: rows.flat_map(|row| &row[part.clone()]).copied().collect(), stride: part.len() }
    }

    /// Resizes every row.
    fn resize_rows(&self, columns: &[Taps]) -> Self {
        let rows = self.data.chunks_exact(self.stride);
        Self {
            data: rows.flat_map(|row| resize_row(row, columns)).collect(),
            stride: columns.len() * CHANNELS,
        }
    }

    /// Resizes every column.
    fn resize_columns(&self, rows: &[Taps]) -> Self {
        let blended = |taps: &Taps| blend(&self.data[taps.first * self.stride..], self.stride, taps);
        Self { data: rows.iter().flat_map(blended).collect(), stride: self.stride }
    }
}

impl Axis {
    fn taps(&self, filter: Filter) -> Vec<Taps> {
        // Pillow skips the pass along an axis that keeps its length.
        if self.input == self.output {
            let keep = |first| Taps { first, weights: vec![1 << PRECISION_BITS] };
            return self.window.clone().map(keep).collect();
        }
        self.window.clone().map(|at| self.tap(filter, at)).collect()
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positions inside a picture, rounded and clamped as Pillow does"
    )]
    fn tap(&self, filter: Filter, at: usize) -> Taps {
        let scale = self.input as f64 / self.output as f64;
        let widening = scale.max(1.0);
        let narrowing = widening.recip();
        let support = filter.support() * widening;
        let center = (at as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(self.input);
        let weight = |x: usize| filter.weight((x as f64 - center + 0.5) * narrowing);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| (weight / sum * f64::from(1 << PRECISION_BITS)).round() as i32;
        Taps { first, weights: weights.iter().map(fixed).collect() }
    }
}

impl Taps {
    fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((KEYS_A + 2.0) * x - (KEYS_A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * KEYS_A
    } else {
        0.0
    }
}

fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

fn resize_row(row: &[u8], columns: &[Taps]) -> Vec<u8> {
    let pixel = |taps: &Taps| {
        let mut sums = [1 << (PRECISION_BITS - 1); CHANNELS];
        let pixels = row[taps.first * CHANNELS..].chunks_exact(CHANNELS);
        for (pixel, weight) in pixels.zip(&taps.weights) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(*value) * weight;
            }
        }
        sums.map(clip)
    };
    columns.iter().flat_map(pixel).collect()
}

/// One output row out of the rows that begin at `rows`.
fn blend(rows: &[u8], stride: usize, taps: &Taps) -> Vec<u8> {
    let mut sums = vec![1 << (PRECISION_BITS - 1); stride];
    for (row, weight) in rows.chunks_exact(stride).zip(&taps.weights) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += i32::from(*value) * weight;
        }
    }
    sums.into_iter().map(clip).collect()
}

#[expect(clippy::cast_sign_loss, reason = "clamped to a byte")]
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}
