//! Loss curves as pictures.

use image::{Rgb, RgbImage};

use super::sheet::write;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 420;
/// Room for the numbers at the left, and above and below.
const LEFT: u32 = 72;
const EDGE: u32 = 24;
const LINE: Rgb<u8> = Rgb([190, 205, 235]);
const SMOOTH: Rgb<u8> = Rgb([30, 80, 190]);
const GRID: Rgb<u8> = Rgb([225, 225, 225]);

/// Draws one figure over the steps: every value pale, their running mean dark, a logarithmic axis where all are positive.
pub fn draw_curves(title: &str, points: &[(u64, f64)]) -> RgbImage {
    let mut picture = RgbImage::from_pixel(WIDTH, HEIGHT, Rgb([255, 255, 255]));
    write(&mut picture, LEFT, 8, title, WIDTH);
    let points: Vec<_> = points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    let Some(axes) = Axes::around(&points) else {
        return picture;
    };
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let value = axes.value(share);
        let y = axes.y(value);
        (LEFT..WIDTH - EDGE).for_each(|x| picture.put_pixel(x, y, GRID));
        write(&mut picture, 2, y.saturating_sub(4), &format!("{value:.4}"), LEFT);
        let step = format!("{:.0}", axes.last * share);
        write(&mut picture, axes.x(axes.last * share).saturating_sub(20), HEIGHT - 14, &step, WIDTH);
    }
    polyline(&mut picture, &axes, &points, LINE);
    polyline(&mut picture, &axes, &running_mean(&points), SMOOTH);
    picture
}

struct Axes {
    last: f64,
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axes {
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^52")]
    fn around(points: &[(u64, f64)]) -> Option<Self> {
        let last = points.last()?.0.max(1) as f64;
        let low = points.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
        Some(Self { last, low, high: if high > low { high } else { low + 1.0 }, logarithmic: low > 0.0 })
    }

    fn scale(&self, value: f64) -> f64 {
        if self.logarithmic { value.ln() } else { value }
    }

    /// The value at a share of the axis' height.
    fn value(&self, share: f64) -> f64 {
        let scaled = self.scale(self.low) + share * (self.scale(self.high) - self.scale(self.low));
        if self.logarithmic { scaled.exp() } else { scaled }
    }

    fn x(&self, step: f64) -> u32 {
        LEFT + pixels(step / self.last, WIDTH - LEFT - EDGE)
    }

    fn y(&self, value: f64) -> u32 {
        let span = self.scale(self.high) - self.scale(self.low);
        let share = (self.scale(value) - self.scale(self.low)) / span;
        HEIGHT - EDGE - pixels(share, HEIGHT - 2 * EDGE)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small length")]
fn pixels(share: f64, length: u32) -> u32 {
    (share.clamp(0.0, 1.0) * f64::from(length)).round() as u32
}

/// An exponential mean over about a thirtieth of the points, corrected for its start.
#[expect(clippy::cast_precision_loss, reason = "points are few")]
fn running_mean(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 30.0).max(1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let mean = |(step, value): &(u64, f64)| {
        (sum, weight) = (sum * keep + value, weight * keep + 1.0);
        (*step, sum / weight)
    };
    points.iter().map(mean).collect()
}

#[expect(clippy::cast_precision_loss, reason = "steps are far below 2^52")]
fn polyline(picture: &mut RgbImage, axes: &Axes, points: &[(u64, f64)], colour: Rgb<u8>) {
    let place = |(step, value): &(u64, f64)| (axes.x(*step as f64), axes.y(*value));
    for pair in points.windows(2) {
        segment(picture, place(&pair[0]), place(&pair[1]), colour);
    }
}

fn segment(picture: &mut RgbImage, from: (u32, u32), to: (u32, u32), colour: Rgb<u8>) {
    let length = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
    for step in 0..=length {
        let share = f64::from(step) / f64::from(length);
        let between = |a: u32, b: u32| f64::from(a) + (f64::from(b) - f64::from(a)) * share;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels of the picture")]
        let (x, y) = (between(from.0, to.0).round() as u32, between(from.1, to.1).round() as u32);
        if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
            *pixel = colour;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_whatever_it_gets() {
        for points in
            [vec![], vec![(3, 1.0)], vec![(0, 0.0), (5, -1.0)], vec![(1, f64::NAN), (2, 3.0), (9, 1.0)]]
        {
            assert_eq!(draw_curves("loss", &points).dimensions(), (WIDTH, HEIGHT));
        }
    }
}
