//! Damage to small pictures.

use tch::Tensor;

use super::Degradation;
use crate::TrainError;
use crate::params::to_i64;
use crate::pictures::bicubic;
use crate::random::StepRandom;

/// Half the width of the blur's kernel, in pixels.
const RADIUS: i64 = 2;

/// Damages each of `pictures` `[batch, 3, side, side]`, f32, differently.
///
/// # Errors
/// libtorch refuses an operation.
pub fn degrade(
    pictures: &Tensor,
    degradation: &Degradation,
    random: &mut StepRandom,
) -> Result<Tensor, TrainError> {
    let batch = pictures.size()[0];
    let mut rows = Vec::new();
    for row in 0..batch {
        let mut picture = pictures.narrow(0, row, 1);
        if random.chance(degradation.resample) {
            picture = lose_resolution(&picture, random)?;
        }
        if random.chance(degradation.blur) {
            picture = blur(&picture, random.between(degradation.sigma[0], degradation.sigma[1]))?;
        }
        if degradation.noise > 0.0 {
            let deviation = random.between(0.0, degradation.noise);
            picture = &picture + random.normal(&picture.size()) * f64::from(deviation);
        }
        rows.push(picture);
    }
    Ok(Tensor::f_cat(&rows, 0)?.clamp(-1.0, 1.0))
}

/// Down by up to one half, and up again.
fn lose_resolution(picture: &Tensor, random: &mut StepRandom) -> Result<Tensor, TrainError> {
    let side = usize::try_from(picture.size()[2]).unwrap_or_default();
    let smaller = side.div_ceil(2) + random.below(side / 2);
    bicubic(&bicubic(picture, smaller)?, side)
}

/// Gaussian blur of standard deviation `sigma` pixels; edges are repeated.
fn blur(picture: &Tensor, sigma: f32) -> Result<Tensor, TrainError> {
    #[expect(clippy::cast_precision_loss, reason = "a kernel has a few pixels")]
    let weight = |offset: i64| (-0.5 * (offset as f32 / sigma).powi(2)).exp();
    let weights: Vec<f32> = (-RADIUS..=RADIUS).map(weight).collect();
    let total: f32 = weights.iter().sum();
    let line = Tensor::f_from_slice(&weights)? / f64::from(total);
    let kernel =
        line.f_outer(&line)?.f_expand([3, 1, to_i64(weights.len()), to_i64(weights.len())], false)?;
    let padded = picture.f_replication_pad2d([RADIUS; 4])?;
    Ok(padded.f_conv2d(&kernel, None::<Tensor>, 1, 0, 1, 3)?)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::random::Purpose;

    #[test]
    fn flat_pictures_stay_flat_and_edges_soften() {
        let mut random = StepRandom::new(1, 0, Purpose::Pictures);
        let all = Degradation { blur: 1.0, sigma: [0.8, 0.9], resample: 1.0, noise: 0.0 };
        let flat = Tensor::full([2, 3, 8, 8], 0.25, (Kind::Float, Device::Cpu));
        let damaged = degrade(&flat, &all, &mut random).unwrap();
        assert!(damaged.allclose(&flat, 1e-5, 1e-5, false));
        let edge = Tensor::ones([1, 3, 8, 8], (Kind::Float, Device::Cpu));
        let _ = edge.narrow(3, 0, 4).fill_(-1.0);
        let damaged = degrade(&edge, &all, &mut random).unwrap();
        let step =
            |picture: &Tensor| picture.double_value(&[0, 0, 4, 4]) - picture.double_value(&[0, 0, 4, 3]);
        assert!(step(&damaged) < step(&edge) * 0.8);
    }
}
