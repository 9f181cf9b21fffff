//! Random numbers that depend on the seed and the step alone, so that a resumed run draws what an uninterrupted one would.

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use tch::Tensor;

/// What a draw is for. Each purpose has a sequence of its own, so that a new draw here moves none there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// The noise of a diffusion process.
    Noise = 2,
    /// Timesteps.
    Timesteps = 3,
    /// Which conditions are dropped.
    Dropout = 4,
    /// Crops and degradations of pictures.
    Pictures = 5,
    /// Samples for people to look at.
    Samples = 6,
}

/// The generator of one step.
pub struct StepRandom(Xoshiro256PlusPlus);

impl StepRandom {
    /// The generator for a purpose at a step.
    pub fn new(seed: u64, step: u64, purpose: Purpose) -> Self {
        let mixed = mix(mix(mix(seed) ^ step) ^ purpose as u64);
        Self(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f32 {
        let bits = u16::try_from(self.0.next_u32() >> 16).unwrap_or_default();
        let low = u8::try_from(self.0.next_u32() >> 24).unwrap_or_default();
        (f32::from(bits) * 256.0 + f32::from(low)) / f32::from(u16::MAX).mul_add(256.0, 256.0)
    }

    /// Uniform between two numbers.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + self.uniform() * (high - low)
    }

    /// True with a probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.uniform() < probability
    }

    /// A whole number below `limit`, or zero where the limit is zero.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.0.next_u64() % limit).unwrap_or_default()
    }

    /// Standard normal values.
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| StandardNormal.sample(&mut self.0)).collect()
    }

    /// Standard normal noise of a shape, f32 on the CPU.
    pub fn normal(&mut self, shape: &[i64]) -> Tensor {
        Tensor::from_slice(&self.normals(elements(shape))).view(shape)
    }

    /// Timesteps below `limit`, one from each of `count` equal parts of the range: every batch sees the whole process,
    /// and each timestep is as likely as any other.
    pub fn stratified(&mut self, count: usize, limit: u32) -> Vec<i64> {
        #[expect(clippy::cast_precision_loss, reason = "batches and timesteps are small")]
        let place = |row: usize, offset: f32| (row as f32 + offset) / count as f32;
        #[expect(clippy::cast_possible_truncation, reason = "the floor of a number below the limit")]
        let timestep = |share: f32| ((f64::from(share) * f64::from(limit)) as i64).min(i64::from(limit) - 1);
        (0..count).map(|row| timestep(place(row, self.uniform()))).collect()
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), with its increment.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Elements of a shape.
pub(crate) fn elements(shape: &[i64]) -> usize {
    shape.iter().map(|size| usize::try_from(*size).unwrap_or_default()).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_function_of_seed_step_and_purpose() {
        let draw = |seed, step, purpose| StepRandom::new(seed, step, purpose).normals(8);
        let first = draw(1, 2, Purpose::Noise);
        assert_eq!(first, draw(1, 2, Purpose::Noise));
        assert_ne!(first, draw(2, 2, Purpose::Noise));
        assert_ne!(first, draw(1, 3, Purpose::Noise));
        assert_ne!(first, draw(1, 2, Purpose::Weights));
    }

    #[test]
    fn draws_have_their_distributions() {
        let mut random = StepRandom::new(1, 0, Purpose::Noise);
        let normals = random.normals(100_000);
        let mean = normals.iter().sum::<f32>() / 1e5;
        let variance = normals.iter().map(|value| value * value).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let uniforms: Vec<f32> = (0..10_000).map(|_| random.uniform()).collect();
        assert!(uniforms.iter().all(|value| (0.0..1.0).contains(value)));
        let mean = uniforms.iter().sum::<f32>() / 1e4;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn timesteps_are_spread_over_the_process() {
        let timesteps = StepRandom::new(3, 1, Purpose::Timesteps).stratified(4, 1000);
        for (row, timestep) in timesteps.iter().enumerate() {
            let start = i64::try_from(row).unwrap() * 250;
            assert!((start..start + 250).contains(timestep), "{timesteps:?}");
        }
    }
}
