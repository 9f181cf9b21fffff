//! Recolouring an object: "a blue cat" keeps the cat's shading, its black outlines and the white of its eyes.

use std::f32::consts::{PI, TAU};

use super::colour::Colour;
use super::oklab::Lab;

/// Chroma at which a pixel begins to count as coloured, and at which it fully does.
const COLOURED: (f32, f32) = (0.025, 0.08);
/// An object at least this much coloured keeps its neutral parts; others are coloured as a whole.
const KEEP_NEUTRALS: f32 = 0.5;
/// If this part of the coloured area has nearly one hue, only that is changed: a blue apple keeps its green leaf. A black
/// or gray one does not.
const ONE_HUE: f32 = 0.6;
/// How far from the main hue pixels still change fully, and from where they don't, in radians (50 and 70 degrees).
const HUE_WINDOW: (f32, f32) = (0.873, 1.222);
/// Steepest rise of lightness above the object's mean, so that soft highlights don't become white.
const STEEPEST: f32 = 1.5;
const BINS: usize = 36;

/// What is to change, and from which lightness.
struct Plan {
    target: Lab,
    mean: f32,
    keep_neutrals: bool,
    hue: Option<f32>,
}

/// Recolours `[side, side, 4]` straight-alpha pixels in place.
pub fn tint(rgba: &mut [u8], colour: Colour) {
    let labs: Vec<Lab> = pixels(rgba).map(|[r, g, b, _]| Lab::from_rgb([r, g, b])).collect();
    let plan = plan(rgba, &labs, colour);
    for (pixel, lab) in rgba.chunks_exact_mut(4).zip(labs) {
        if pixel[3] > 0 {
            pixel[..3].copy_from_slice(&plan.apply(lab).to_rgb());
        }
    }
}

fn pixels(rgba: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    rgba.as_chunks::<4>().0.iter().copied()
}

fn plan(rgba: &[u8], labs: &[Lab], colour: Colour) -> Plan {
    let weights = || pixels(rgba).map(|pixel| f32::from(pixel[3])).zip(labs);
    let total: f32 = weights().map(|(alpha, _)| alpha).sum();
    let coloured: f32 = weights().map(|(alpha, lab)| alpha * colouredness(*lab)).sum();
    let keep_neutrals = coloured >= KEEP_NEUTRALS * total;
    let one_hue = keep_neutrals && colour.has_hue();
    let hue = if one_hue { main_hue(weights(), coloured) } else { None };
    let mut plan = Plan { target: Lab::from_rgb(colour.rgb()), mean: 0.5, keep_neutrals, hue };
    plan.mean = mean_lightness(weights(), &plan);
    plan
}

/// The mean lightness of what changes. Where all does, light parts count more: outlines are not the object.
fn mean_lightness<'a>(weights: impl Iterator<Item = (f32, &'a Lab)>, plan: &Plan) -> f32 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (alpha, lab) in weights {
        let weight = alpha * plan.weight(*lab) * if plan.keep_neutrals { 1.0 } else { lab.l };
        sum += weight * lab.l;
        total += weight;
    }
    if total > 0.0 { (sum / total).clamp(0.05, 1.0) } else { 0.5 }
}

/// The hue that most of the coloured area has, if most has one.
fn main_hue<'a>(weights: impl Iterator<Item = (f32, &'a Lab)>, coloured: f32) -> Option<f32> {
    let mut bins = [0.0f32; BINS];
    for (alpha, lab) in weights.filter(|(alpha, _)| *alpha > 0.0) {
        bins[bin(lab.hue())] += alpha * colouredness(*lab);
    }
    let reach = 5;
    let around = |centre: usize| (0..=2 * reach).map(move |step| (centre + BINS + step - reach) % BINS);
    let share = |centre: usize| around(centre).map(|bin| bins[bin]).sum::<f32>();
    let best = (0..BINS).max_by(|one, other| share(*one).total_cmp(&share(*other)))?;
    (share(best) >= ONE_HUE * coloured).then(|| (best as f32 + 0.5) / BINS as f32 * TAU - PI)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 35 by construction")]
fn bin(hue: f32) -> usize {
    (((hue + PI) / TAU * BINS as f32) as usize).min(BINS - 1)
}

impl Plan {
    /// How much a pixel changes, 0 to 1.
    fn weight(&self, lab: Lab) -> f32 {
        if !self.keep_neutrals {
            return 1.0;
        }
        let near = self.hue.map_or(1.0, |hue| {
            let apart = (lab.hue() - hue).abs();
            1.0 - ramp(apart.min(TAU - apart), HUE_WINDOW)
        });
        near * colouredness(lab)
    }

    fn apply(&self, lab: Lab) -> Lab {
        let weight = self.weight(lab);
        let target = self.shade(self.lightness(lab.l));
        let mix = |from: f32, to: f32| from + (to - from) * weight;
        Lab { l: mix(lab.l, target.l), a: mix(lab.a, target.a), b: mix(lab.b, target.b) }
    }

    /// A rising function that sends black to black and the object's mean to the target.
    fn lightness(&self, l: f32) -> f32 {
        if l <= self.mean {
            return l * self.target.l / self.mean;
        }
        let to_white = (1.0 - self.target.l) / (1.0 - self.mean).max(1e-3);
        self.target.l + (l - self.mean) * to_white.min(STEEPEST)
    }

    /// The target's hue at lightness `l`: on the lines from it to black and to white.
    fn shade(&self, l: f32) -> Lab {
        let dark = l / self.target.l;
        let light = (1.0 - l) / (1.0 - self.target.l).max(1e-3);
        let chroma = dark.min(light).clamp(0.0, 1.0);
        Lab { l, a: self.target.a * chroma, b: self.target.b * chroma }
    }
}

fn colouredness(lab: Lab) -> f32 {
    ramp(lab.chroma(), COLOURED)
}

/// 0 up to `from`, 1 from `to` on, straight between.
fn ramp(value: f32, (from, to): (f32, f32)) -> f32 {
    ((value - from) / (to - from)).clamp(0.0, 1.0)
}
