//! The OKLab colour space, in which lightness, chroma and hue can be changed one at a time.
//! Formulas and matrices: Björn Ottosson, "A perceptual color space for image processing" (2020).

use std::sync::LazyLock;

/// Steps of the table back to sRGB; at 4096 every 8-bit value is reached.
const STEPS: usize = 4096;

/// Linear light of each sRGB value (IEC 61966-2-1).
static TO_LINEAR: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|value| {
        let value = value as f32 / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
});

/// sRGB values of linear light 0, 1/4095, ... 1.
static FROM_LINEAR: LazyLock<Vec<u8>> = LazyLock::new(|| (0..STEPS).map(from_linear).collect());

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255 by construction")]
fn from_linear(step: usize) -> u8 {
    let light = step as f32 / (STEPS - 1) as f32;
    let value = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (value * 255.0).round() as u8
}

/// A colour: lightness 0 to 1, and the two opponent axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lab {
    pub(super) l: f32,
    pub(super) a: f32,
    pub(super) b: f32,
}

impl Lab {
    pub(super) fn from_rgb([r, g, b]: [u8; 3]) -> Self {
        let table = &*TO_LINEAR;
        let (r, g, b) = (table[usize::from(r)], table[usize::from(g)], table[usize::from(b)]);
        let l = (0.412_221_47 * r + 0.536_332_54 * g + 0.051_445_993 * b).cbrt();
        let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
        let s = (0.088_302_46 * r + 0.281_718_84 * g + 0.629_978_7 * b).cbrt();
        Self {
            l: 0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
            a: 1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
            b: 0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
        }
    }

    /// sRGB, each channel cut to its range.
    pub(super) fn to_rgb(self) -> [u8; 3] {
        let l = (self.l + 0.396_337_78 * self.a + 0.215_803_76 * self.b).powi(3);
        let m = (self.l - 0.105_561_346 * self.a - 0.063_854_17 * self.b).powi(3);
        let s = (self.l - 0.089_484_18 * self.a - 1.291_485_5 * self.b).powi(3);
        [
            encode(4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_93 * s),
            encode(-1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s),
            encode(-0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s),
        ]
    }

    pub(super) fn chroma(self) -> f32 {
        self.a.hypot(self.b)
    }

    /// Hue in radians, -pi to pi.
    pub(super) fn hue(self) -> f32 {
        self.b.atan2(self.a)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table")]
fn encode(light: f32) -> u8 {
    let step = (light.clamp(0.0, 1.0) * (STEPS - 1) as f32 + 0.5) as usize;
    FROM_LINEAR.get(step).copied().unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grays_have_no_chroma_and_every_colour_comes_back() {
        assert!(Lab::from_rgb([128, 128, 128]).chroma() < 1e-3);
        assert!((Lab::from_rgb([255, 255, 255]).l - 1.0).abs() < 1e-3);
        for rgb in [[255, 0, 0], [12, 200, 77], [3, 4, 250], [90, 90, 91], [255, 210, 46]] {
            let back = Lab::from_rgb(rgb).to_rgb();
            // The table's steps are wider than an 8-bit value only below 13 of 255.
            assert!(rgb.iter().zip(back).all(|(a, b)| a.abs_diff(b) <= 2), "{rgb:?} {back:?}");
        }
    }
}
