//! Normal noise that equals torch's: the same seed gives the image that diffusers gives.

use std::f64::consts::TAU;

use rand_mt::Mt;

use crate::{Error, Result};

/// The most draws that [`TorchNoise::at`] skips. Skipping takes time in proportion, and a position can come
/// from outside. Karlo with 1000 steps at 256 pixels draws a fifth of this.
pub const MAX_DRAWS: u64 = 1 << 30;

/// From this length on torch fills a tensor with uniforms and transforms it in groups of as many.
const GROUP: usize = 16;

/// Where a generator stands: enough to go on from there, anywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoisePosition {
    /// The seed.
    pub seed: u64,
    /// How many 32-bit outputs of the Mersenne Twister have been taken.
    pub draws: u64,
    /// The second normal of a scalar pair, if it hasn't been taken yet.
    pub pending: Option<f64>,
}

/// `torch.Generator("cpu").manual_seed(seed)`, for `torch.randn` in `f32` (torch 2.11.0).
///
/// The uniforms are torch's bit for bit: mt19937 seeded with the low 32 bits of the seed. The normals agree to
/// 1e-5 absolute: torch's vectorised logarithm, sine and cosine differ from the platform's in the last bits. How
/// many outputs a call takes depends on its length and on whether a scalar is pending alone.
///
/// Half-precision tensors are drawn in another way by torch; draw `f32` and convert.
#[derive(Debug, Clone)]
pub struct TorchNoise {
    seed: u64,
    engine: Mt,
    draws: u64,
    pending: Option<f64>,
}

impl TorchNoise {
    /// A generator at its start. Like torch, it uses the low 32 bits of `seed` alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, engine: Mt::new(low_bits(seed)), draws: 0, pending: None }
    }

    /// The generator that has come to `position`; going on from there equals never having stopped.
    ///
    /// # Errors
    /// When `draws` is above [`MAX_DRAWS`] or `pending` isn't finite.
    pub fn at(position: NoisePosition) -> Result<Self> {
        let NoisePosition { seed, draws, pending } = position;
        if draws > MAX_DRAWS {
            return Err(Error::out_of_range("noise position draws", draws, format!("at most {MAX_DRAWS}")));
        }
        if let Some(value) = pending.filter(|value| !value.is_finite()) {
            return Err(Error::out_of_range("noise position pending", value, "finite"));
        }
        let mut noise = Self { pending, ..Self::new(seed) };
        for _ in 0..draws {
            noise.next_u32();
        }
        Ok(noise)
    }

    /// Where the generator stands now.
    #[must_use]
    pub fn position(&self) -> NoisePosition {
        NoisePosition { seed: self.seed, draws: self.draws, pending: self.pending }
    }

    /// The next `torch.randn` of `len` values, whatever their shape.
    pub fn normal(&mut self, len: usize) -> Vec<f32> {
        if len < GROUP {
            return (0..len).map(|_| narrow(self.scalar())).collect();
        }
        let mut values = vec![0.0; len];
        self.fill_uniform(&mut values);
        values.chunks_exact_mut(GROUP).for_each(box_muller);
        if !len.is_multiple_of(GROUP) {
            let last = &mut values[len - GROUP..];
            self.fill_uniform(last);
            box_muller(last);
        }
        values
    }

    /// `normal_distribution<double>`: a pair at a time, the second kept for the next call.
    fn scalar(&mut self) -> f64 {
        if let Some(value) = self.pending.take() {
            return value;
        }
        let (angle, u) = (TAU * self.uniform_f64(), self.uniform_f64());
        let radius = (-2.0 * (-u).ln_1p()).sqrt();
        self.pending = Some(radius * angle.sin());
        radius * angle.cos()
    }

    fn fill_uniform(&mut self, values: &mut [f32]) {
        values.fill_with(|| (self.next_u32() & 0x00ff_ffff) as f32 / (1 << 24) as f32);
    }

    fn uniform_f64(&mut self) -> f64 {
        let (high, low) = (u64::from(self.next_u32()), u64::from(self.next_u32()));
        ((high << 32 | low) & ((1 << 53) - 1)) as f64 / (1_u64 << 53) as f64
    }

    fn next_u32(&mut self) -> u32 {
        self.draws += 1;
        self.engine.next_u32()
    }
}

/// How many 32-bit outputs `normal(len)` takes where no scalar is pending. With one pending, a `len` from 1 to
/// 15 takes `draws_for(len - 1)`.
#[must_use]
pub fn draws_for(len: usize) -> u64 {
    let draws = match len {
        0..GROUP => len.div_ceil(2) * 4,
        _ if len.is_multiple_of(GROUP) => len,
        _ => len.saturating_add(GROUP),
    };
    u64::try_from(draws).unwrap_or(u64::MAX)
}

/// Box and Muller's transform of a group in place, in `f32` like torch: value j with value j + 8.
fn box_muller(group: &mut [f32]) {
    let (first, second) = group.split_at_mut(GROUP / 2);
    for (a, b) in first.iter_mut().zip(second) {
        let radius = (-2.0 * (1.0 - *a).ln()).sqrt();
        let angle = std::f32::consts::TAU * *b;
        (*a, *b) = (radius * angle.cos(), radius * angle.sin());
    }
}

#[expect(clippy::cast_possible_truncation, reason = "torch seeds with the low 32 bits")]
fn low_bits(seed: u64) -> u32 {
    seed as u32
}

#[expect(clippy::cast_possible_truncation, reason = "torch draws scalars in f64 and stores f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_positions_it_cannot_reach() {
        let start = TorchNoise::new(1).position();
        let error = TorchNoise::at(NoisePosition { draws: MAX_DRAWS + 1, ..start }).unwrap_err();
        assert_eq!(error.to_string(), "`noise position draws` is 1073741825; it must be at most 1073741824");
        assert!(TorchNoise::at(NoisePosition { pending: Some(f64::NAN), ..start }).is_err());
    }

    #[test]
    fn nothing_drawn_takes_nothing() {
        let mut noise = TorchNoise::new(7);
        assert!(noise.normal(0).is_empty());
        assert_eq!(noise.position(), NoisePosition { seed: 7, draws: 0, pending: None });
    }
}
