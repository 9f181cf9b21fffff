//! The nearest of many.

use tch::{Kind, Tensor};

use crate::TrainError;
use crate::clip::unit;

/// Which one, and how near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its row.
    pub index: usize,
    /// Its cosine or distance.
    pub value: f64,
}

/// Cosines of every row of `[n, dim]` with every row of `[m, dim]`.
///
/// # Errors
/// libtorch refuses an operation.
pub fn cosines(one: &Tensor, other: &Tensor) -> Result<Vec<Vec<f32>>, TrainError> {
    matrix(&unit(one).f_matmul(&unit(other).f_transpose(0, 1)?)?)
}

/// The cosine of every row of `[n, dim]` with the same row of another.
///
/// # Errors
/// libtorch refuses an operation.
pub fn paired_cosines(one: &Tensor, other: &Tensor) -> Result<Vec<f64>, TrainError> {
    let products = unit(one).f_mul(&unit(other))?.sum_dim_intlist(-1, false, Kind::Double);
    Ok(Vec::<f64>::try_from(&products)?)
}

/// The rows less the mean of `reference`'s rows. Features of one network share much that no picture is told apart by.
///
/// # Errors
/// libtorch refuses an operation.
pub fn centred(rows: &Tensor, reference: &Tensor) -> Result<Tensor, TrainError> {
    Ok(rows.f_sub(&reference.f_mean_dim([0_i64].as_slice(), true, Kind::Float)?)?)
}

/// For each row of `[n, dim]` the row of `[m, dim]` with the largest cosine.
///
/// # Errors
/// libtorch refuses an operation.
pub fn nearest_by_cosine(rows: &Tensor, among: &Tensor) -> Result<Vec<Neighbour>, TrainError> {
    let best = |row: Vec<f32>| {
        let best = row.into_iter().enumerate().max_by(|one, other| one.1.total_cmp(&other.1));
        neighbour(best)
    };
    Ok(cosines(rows, among)?.into_iter().map(best).collect())
}

/// For each picture the one of `among` with the smallest root mean squared difference, in parts of the range of a pixel.
/// Both are of one size.
///
/// # Errors
/// libtorch refuses an operation.
pub fn nearest_by_pixels(pictures: &Tensor, among: &Tensor) -> Result<Vec<Neighbour>, TrainError> {
    let (rows, among) = (pictures.f_flatten(1, -1)?, among.f_flatten(1, -1)?);
    let values = f64::from(u32::try_from(rows.size()[1]).unwrap_or(u32::MAX));
    let squares = |x: &Tensor| x.square().sum_dim_intlist(1, true, Kind::Float);
    let products = rows.f_matmul(&among.f_transpose(0, 1)?)?;
    let squared = squares(&rows) + squares(&among).f_transpose(0, 1)? - products * 2.0;
    let distances = (squared.clamp_min(0.0) / values).sqrt() / 2.0;
    let best = |row: Vec<f32>| {
        let best = row.into_iter().enumerate().min_by(|one, other| one.1.total_cmp(&other.1));
        neighbour(best)
    };
    Ok(matrix(&distances)?.into_iter().map(best).collect())
}

fn neighbour(best: Option<(usize, f32)>) -> Neighbour {
    let (index, value) = best.unwrap_or((0, f32::NAN));
    Neighbour { index, value: f64::from(value) }
}

fn matrix(tensor: &Tensor) -> Result<Vec<Vec<f32>>, TrainError> {
    Ok(Vec::<Vec<f32>>::try_from(&tensor.f_to_kind(Kind::Float)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found() {
        let among = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 1.0, -1.0, -1.0]).view([3, 2]);
        let rows = Tensor::from_slice(&[0.0_f32, 5.0, -2.0, -3.0]).view([2, 2]);
        let found = nearest_by_cosine(&rows, &among).unwrap();
        assert_eq!(found.iter().map(|one| one.index).collect::<Vec<_>>(), [1, 2]);
        assert!((found[0].value - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_difference_of_the_whole_range_is_one() {
        let white = Tensor::ones([1, 3, 2, 2], (Kind::Float, tch::Device::Cpu));
        let black = -&white;
        let found = nearest_by_pixels(&white, &black).unwrap();
        assert!((found[0].value - 1.0).abs() < 1e-6);
        let both = Tensor::cat(&[&black, &(&white * 0.8)], 0);
        let found = nearest_by_pixels(&white, &both).unwrap();
        assert!(found[0].index == 1 && (found[0].value - 0.1).abs() < 1e-4);
    }
}
