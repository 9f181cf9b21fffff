//! How much of a picture's detail is there.

use tch::{Kind, Tensor};

use crate::TrainError;
use crate::params::to_i64;

/// Peak signal-to-noise ratio of each picture against its truth, in dB, of pixels 0 to 1 (here -1 to 1: the peak is 2).
///
/// # Errors
/// libtorch refuses an operation.
pub fn psnr(pictures: &Tensor, truth: &Tensor) -> Result<Vec<f64>, TrainError> {
    let errors = per_picture(&pictures.f_sub(truth)?.square())?;
    Ok(errors.into_iter().map(|error| 10.0 * (4.0 / error.max(1e-10)).log10()).collect())
}

/// The mean magnitude of each picture's gradient, by differences of neighbours.
///
/// # Errors
/// libtorch refuses an operation.
pub fn sharpness(pictures: &Tensor) -> Result<Vec<f64>, TrainError> {
    let (across, down) = (differences(pictures, 3)?, differences(pictures, 2)?);
    let size = pictures.size();
    let (across, down) = (across.f_narrow(2, 0, size[2] - 1)?, down.f_narrow(3, 0, size[3] - 1)?);
    per_picture(&(across.square() + down.square()).sqrt())
}

/// The mean difference of neighbours on either side of every multiple of `period` pixels, over the mean difference of all
/// other neighbours, of all pictures together: 1 where crops of that size leave no seam. `None` where there is no multiple
/// inside the pictures, or no difference at all.
///
/// # Errors
/// libtorch refuses an operation.
pub fn seam_ratio(pictures: &Tensor, period: usize) -> Result<Option<f64>, TrainError> {
    let side = pictures.size()[3];
    let last = usize::try_from(side - 1).unwrap_or_default();
    let seams: Vec<i64> = (1..=last)
        .filter(|place| place.is_multiple_of(period.max(1)))
        .map(|place| to_i64(place - 1))
        .collect();
    if seams.is_empty() || seams.len() == last {
        return Ok(None);
    }
    let (mut on, mut total) = (0.0, 0.0);
    for axis in [2, 3] {
        let changes = differences(pictures, axis)?.abs();
        on += f64::try_from(changes.f_index_select(axis, &Tensor::f_from_slice(&seams)?)?.sum(Kind::Double))?;
        total += f64::try_from(changes.sum(Kind::Double))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "places in a picture are few")]
    let ratio = (on / seams.len() as f64) / ((total - on) / (last - seams.len()) as f64);
    Ok(Some(ratio).filter(|ratio| ratio.is_finite()))
}

/// Neighbour less place, along an axis.
fn differences(pictures: &Tensor, axis: i64) -> Result<Tensor, TrainError> {
    let length = pictures.size().get(usize::try_from(axis).unwrap_or_default()).copied().unwrap_or_default();
    Ok(pictures.f_narrow(axis, 1, length - 1)?.f_sub(&pictures.f_narrow(axis, 0, length - 1)?)?)
}

fn per_picture(values: &Tensor) -> Result<Vec<f64>, TrainError> {
    let means = values.f_flatten(1, -1)?.f_mean_dim([1_i64].as_slice(), false, Kind::Double)?;
    Ok(Vec::<f64>::try_from(&means)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[1, 3, 8, 8]` with this value at a column.
    fn columns(value: impl Fn(usize) -> f32) -> Tensor {
        let values: Vec<f32> = (0..3 * 64).map(|at| value(at % 8)).collect();
        Tensor::from_slice(&values).view([1, 3, 8, 8])
    }

    #[test]
    fn a_tenth_of_the_range_is_twenty_decibel() {
        let found = psnr(&columns(|_| 0.2), &columns(|_| 0.0)).unwrap();
        assert!((found[0] - 20.0).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn a_ramp_has_its_slope_everywhere() {
        let ramp = columns(|column| f32::from(u8::try_from(column).unwrap()) * 0.1);
        assert!((sharpness(&ramp).unwrap()[0] - 0.1).abs() < 1e-6);
        let across = seam_ratio(&ramp, 4).unwrap().unwrap();
        assert!((across - 1.0).abs() < 1e-5, "{across}");
    }

    #[test]
    fn seams_stand_out() {
        // Steps of 0.2 inside and of 0.6 between columns 3 and 4; rows are all alike.
        let seam = columns(|column| {
            f32::from(u8::try_from(column).unwrap()) * 0.2 + if column >= 4 { 0.4 } else { 0.0 }
        });
        let ratio = seam_ratio(&seam, 4).unwrap().unwrap();
        assert!((ratio - 3.0).abs() < 1e-4, "{ratio}");
        assert_eq!(seam_ratio(&seam, 8).unwrap(), None);
    }
}
