//! Scaling pictures with premultiplied alpha, so that no colour of transparent pixels bleeds in.

/// The taps of one output pixel: the first input pixel and the weights from there on.
struct Taps {
    start: usize,
    weights: Vec<f32>,
}

/// Scales premultiplied `[from, from, 4]` to `[to, to, 4]` with a triangle filter that widens when shrinking.
pub(super) fn resample(pixels: &[f32], from: usize, to: usize) -> Vec<f32> {
    if from == to {
        return pixels.to_vec();
    }
    let taps = taps(from, to);
    let mut rows = vec![0.0; from * to * 4];
    for (row, out) in pixels.chunks_exact(from * 4).zip(rows.chunks_exact_mut(to * 4)) {
        across(row, out, &taps);
    }
    let mut result = vec![0.0; to * to * 4];
    for (out, taps) in result.chunks_exact_mut(to * 4).zip(&taps) {
        for (row, weight) in rows.chunks_exact(to * 4).skip(taps.start).zip(&taps.weights) {
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
    }
    result
}

fn across(row: &[f32], out: &mut [f32], taps: &[Taps]) {
    let (row, out) = (row.as_chunks::<4>().0, out.as_chunks_mut::<4>().0);
    for (out, taps) in out.iter_mut().zip(taps) {
        for (pixel, weight) in row.iter().skip(taps.start).zip(&taps.weights) {
            for channel in 0..4 {
                out[channel] += weight * pixel[channel];
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..from")]
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    let reach = scale.max(1.0);
    let pixel = |to: usize| {
        let centre = (to as f32 + 0.5) * scale;
        let start = (centre - reach).floor().max(0.0) as usize;
        let end = ((centre + reach).ceil() as usize).min(from);
        let weight = |at: usize| (1.0 - (at as f32 + 0.5 - centre).abs() / reach).max(0.0);
        let sum: f32 = (start..end).map(weight).sum();
        Taps { start, weights: (start..end).map(|at| weight(at) / sum).collect() }
    };
    (0..to).map(pixel).collect()
}

/// 8-bit straight alpha to premultiplied 0..=1.
pub(super) fn premultiply(rgba: &[u8]) -> Vec<f32> {
    let mut out = Vec::with_capacity(rgba.len());
    for [r, g, b, a] in rgba.as_chunks::<4>().0 {
        let alpha = f32::from(*a) / 255.0;
        let scale = alpha / 255.0;
        out.extend([f32::from(*r) * scale, f32::from(*g) * scale, f32::from(*b) * scale, alpha]);
    }
    out
}

/// Premultiplied 0..=1 to 8-bit straight alpha.
pub(super) fn unpremultiply(pixels: &[f32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len());
    for [r, g, b, a] in pixels.as_chunks::<4>().0 {
        let scale = if *a > 0.0 { 1.0 / a } else { 0.0 };
        out.extend([quantise(r * scale), quantise(g * scale), quantise(b * scale), quantise(*a)]);
    }
    out
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
fn quantise(value: f32) -> u8 {
    (value * 255.0).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_colour_stays_itself_at_every_size() {
        let plain: Vec<f32> = [0.1, 0.2, 0.3, 0.5].repeat(12 * 12);
        for to in [3, 7, 11, 12, 13, 24] {
            let scaled = resample(&plain, 12, to);
            assert_eq!(scaled.len(), to * to * 4);
            let even =
                scaled.chunks(4).all(|pixel| pixel.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5));
            assert!(even, "{to}");
        }
    }

    #[test]
    fn transparent_colour_does_not_bleed() {
        let mut rgba = [255u8, 0, 0, 255].repeat(2);
        rgba.extend([0u8, 255, 0, 0].repeat(2));
        let half = unpremultiply(&resample(&premultiply(&rgba), 2, 1));
        assert_eq!(&half[..3], &[255, 0, 0]);
        assert!(half[3].abs_diff(128) <= 1);
    }

    #[test]
    fn straight_alpha_comes_back() {
        let rgba = [10, 20, 30, 255, 200, 100, 0, 128, 0, 0, 0, 0];
        assert_eq!(unpremultiply(&premultiply(&rgba)), rgba);
    }
}
