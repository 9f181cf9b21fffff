//! How far two results are apart.

use unclip_proto::v1::Tensor;

/// Pictures of two implementations in f32: the mean absolute difference, of values in [0, 1] or [-1, 1].
const PICTURE_MEAN: f64 = 1e-4;

/// What counts as off, and how large a share of the values may be.
const PICTURE_OFF: f64 = 5e-3;
const PICTURE_OFF_SHARE: f64 = 1e-3;

/// Differences of two arrays, in absolute values.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The largest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The share of elements that are more than 5e-3 apart.
    pub off: f64,
}

/// Compares two arrays.
///
/// # Panics
/// Their lengths differ, they are empty, or a value is not finite.
pub fn compare(actual: &[f32], expected: &[f32]) -> Difference {
    assert_eq!(actual.len(), expected.len(), "lengths");
    let differences: Vec<f64> =
        actual.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).collect();
    assert!(differences.iter().all(|difference| difference.is_finite()), "a value is not finite");
    let count = f64::from(u32::try_from(differences.len()).unwrap());
    assert!(count > 0.0, "nothing to compare");
    let off: f64 = differences.iter().map(|difference| f64::from(u8::from(*difference > PICTURE_OFF))).sum();
    Difference {
        max: differences.iter().copied().fold(0.0, f64::max),
        mean: differences.iter().sum::<f64>() / count,
        off: off / count,
    }
}

/// Holds when no element is further off than `limit`.
pub fn assert_close(what: &str, actual: &[f32], expected: &[f32], limit: f64) {
    let difference = compare(actual, expected);
    assert!(difference.max <= limit, "{what}: {difference:?}, at most {limit} is allowed");
}

/// Holds when pictures are the same up to f32 rounding.
pub fn assert_same_pictures(what: &str, actual: &[f32], expected: &[f32]) {
    let difference = compare(actual, expected);
    assert!(
        difference.mean < PICTURE_MEAN && difference.off <= PICTURE_OFF_SHARE,
        "{what}: {difference:?}, the mean may be {PICTURE_MEAN} and the share of values off {PICTURE_OFF_SHARE}"
    );
}

/// The elements of an f32 tensor.
pub fn values(tensor: Option<&Tensor>) -> Vec<f32> {
    let tensor = tensor.unwrap();
    let shape = tensor.checked_shape("tensor").unwrap();
    tensor.floats("tensor", &shape).unwrap()
}
