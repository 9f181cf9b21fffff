//! Random draws that are a function of (seed, index): the same on every thread and machine, and in every version of the
//! generator's crate, since both generators have published reference outputs.

use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

/// The draws of one picture.
pub(super) struct Draws(Xoshiro256PlusPlus);

impl Draws {
    pub(super) fn new(seed: u64, index: u64) -> Self {
        let seed = SplitMix64::seed_from_u64(seed).next_u64();
        let index = SplitMix64::seed_from_u64(!index).next_u64();
        Self(Xoshiro256PlusPlus::seed_from_u64(seed ^ index))
    }

    /// Even in 0..1, with 24 bits.
    pub(super) fn unit(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Even in 0..1, with 53 bits.
    pub(super) fn unit_f64(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Even in 0..count; 0 if count is 0.
    #[expect(clippy::cast_possible_truncation, reason = "the product's upper half is below `count`")]
    pub(super) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.0.next_u64()) * count as u128) >> 64) as usize
    }

    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len()))
    }

    /// Even in low..=high.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_and_index_alone() {
        let draw = |seed, index| Draws::new(seed, index).below(1 << 40);
        assert_eq!(draw(1, 2), draw(1, 2));
        assert!(draw(1, 2) != draw(2, 1) && draw(1, 2) != draw(1, 3) && draw(0, 0) != draw(1, 1));
    }

    #[test]
    fn numbers_stay_in_their_range_and_fill_it() {
        let mut draws = Draws::new(0, 0);
        let mut counts = [0; 5];
        for _ in 0..5000 {
            counts[draws.below(5)] += 1;
            assert!((0.0..1.0).contains(&draws.unit()));
            assert!((3..=4).contains(&draws.between(3, 4)));
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert_eq!(draws.below(0), 0);
    }
}
