//! AdamW on the CPU in one pass over memory: libtorch's elementwise operations would read and write it ten times.

use half::bf16;
use rayon::prelude::*;

/// Elements that one task works on.
const CHUNK: usize = 1 << 15;

/// What one step does to every element, all factors included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    /// The gradients' scale, from clipping and averaging.
    pub(super) gradient: f32,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    /// Learning rate over the first moment's bias correction.
    pub(super) rate: f32,
    /// The square root of the second moment's bias correction, inverted.
    pub(super) root: f32,
    pub(super) epsilon: f32,
    /// What a decaying parameter keeps: 1 - learning rate * weight decay.
    pub(super) keep: f32,
    /// Share of the new value in the average.
    pub(super) average: f32,
}

/// One parameter's part of the buffers.
pub(super) struct Slices<'a> {
    pub(super) gradient: &'a [f32],
    pub(super) master: &'a mut [f32],
    pub(super) first: &'a mut [f32],
    pub(super) second: &'a mut [f32],
    pub(super) average: &'a mut [f32],
    pub(super) copy: Option<&'a mut [bf16]>,
    pub(super) decays: bool,
}

/// One step over all parameters. Elements are independent, so the result does not depend on the number of threads.
pub(super) fn step(parameters: Vec<Slices<'_>>, factors: Factors) {
    let chunks: Vec<Slices<'_>> = parameters.into_iter().flat_map(split).collect();
    chunks.into_par_iter().for_each(|chunk| update(chunk, factors));
}

fn split(all: Slices<'_>) -> Vec<Slices<'_>> {
    let copies: Vec<Option<&mut [bf16]>> = match all.copy {
        Some(copy) => copy.chunks_mut(CHUNK).map(Some).collect(),
        None => all.gradient.chunks(CHUNK).map(|_| None).collect(),
    };
    let moments = all.first.chunks_mut(CHUNK).zip(all.second.chunks_mut(CHUNK));
    let values = all.master.chunks_mut(CHUNK).zip(all.average.chunks_mut(CHUNK));
    let parts = all.gradient.chunks(CHUNK).zip(values).zip(moments).zip(copies);
    parts
        .map(|(((gradient, (master, average)), (first, second)), copy)| Slices {
            gradient,
            master,
            first,
            second,
            average,
            copy,
            decays: all.decays,
        })
        .collect()
}

/// Decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2), and the average.
fn update(chunk: Slices<'_>, factors: Factors) {
    let Factors { gradient: scale, beta1, beta2, rate, root, epsilon, keep, average: share } = factors;
    let keep = if chunk.decays { keep } else { 1.0 };
    let moments = chunk.first.iter_mut().zip(chunk.second.iter_mut());
    let values = chunk.master.iter_mut().zip(chunk.average.iter_mut());
    for ((gradient, (first, second)), (value, average)) in chunk.gradient.iter().zip(moments).zip(values) {
        let gradient = gradient * scale;
        *first += (1.0 - beta1) * (gradient - *first);
        *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
        *value = *value * keep - rate * *first / (second.sqrt() * root + epsilon);
        *average += share * (*value - *average);
    }
    if let Some(copy) = chunk.copy {
        copy.iter_mut().zip(chunk.master.iter()).for_each(|(copy, value)| *copy = round(*value));
    }
}

/// To the nearest bf16, ties to even; no branch, so that it vectorises. Not for NaN, which is never stored.
fn round(value: f32) -> bf16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    bf16::from_bits(u16::try_from(rounded & 0xffff).unwrap_or_default())
}

/// Adds gradients to `sum`, and says how large the sum's square is.
pub(super) fn squared_norm(values: &[f32]) -> f64 {
    let squares: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| {
            // Sixteen sums at once vectorise; their order is fixed.
            let mut lanes = [0.0_f32; 16];
            let parts = chunk.chunks_exact(16);
            let rest: f32 = parts.remainder().iter().map(|value| value * value).sum();
            for part in parts {
                lanes.iter_mut().zip(part).for_each(|(lane, value)| *lane += value * value);
            }
            f64::from(lanes.iter().sum::<f32>() + rest)
        })
        .collect();
    squares.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_half_crate() {
        for value in [0.0, -0.0, 1.0, 1.003_906_3, 1.011_718_8, -3.2e-20, 3.0e38, 1e-40, f32::INFINITY] {
            assert_eq!(round(value), bf16::from_f32(value), "{value}");
        }
    }

    #[test]
    fn norms_add_up() {
        let values: Vec<f32> = (0..60_000_u16).map(|i| f32::from(i % 7) - 3.0).collect();
        let expected: f64 = values.iter().map(|value| f64::from(value * value)).sum();
        assert!((squared_norm(&values) - expected).abs() < 1.0);
    }
}
