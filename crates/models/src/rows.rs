//! Rows of plain numbers to batches and back.

use tch::{Device, Kind, Tensor};

use crate::ModelError;
use crate::error::expect_len;

/// Stacks rows of `shape.product()` values each into one f32 tensor `[rows, shape...]` on the CPU.
///
/// # Errors
/// No rows, a negative shape, or a row of another length.
pub fn stack_rows(rows: &[&[f32]], shape: &[i64]) -> Result<Tensor, ModelError> {
    let bad_shape = || ModelError::input("shape", format!("{shape:?}"), "sizes of zero or more");
    let sizes: Vec<usize> =
        shape.iter().map(|size| usize::try_from(*size).map_err(|_| bad_shape())).collect::<Result<_, _>>()?;
    let length = sizes.iter().product();
    if rows.is_empty() {
        return Err(ModelError::input("rows", "0 rows", "1 or more"));
    }
    for row in rows {
        expect_len("a row", row.len(), length, "values")?;
    }
    let mut size = vec![to_i64(rows.len())];
    size.extend_from_slice(shape);
    Ok(Tensor::f_from_slice(&rows.concat())?.f_view(size.as_slice())?)
}

/// Splits a tensor `[rows, ...]` of any dtype on any device into its rows, as f32.
///
/// # Errors
/// A tensor without dimensions.
pub fn split_rows(batch: &Tensor) -> Result<Vec<Vec<f32>>, ModelError> {
    let Some(rows) = batch.size().first().copied() else {
        return Err(ModelError::input("batch", "no dimensions", "[rows, ...]"));
    };
    let rows = usize::try_from(rows).unwrap_or_default();
    let values = to_vec(batch)?;
    if rows == 0 {
        return Ok(Vec::new());
    }
    let length = values.len() / rows;
    Ok((0..rows).map(|row| values[row * length..(row + 1) * length].to_vec()).collect())
}

/// All values of a tensor, row-major.
pub(crate) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
    let count = tensor.numel();
    let mut values = vec![0.0; count];
    tensor.f_contiguous()?.f_copy_data(&mut values, count)?;
    Ok(values)
}

/// A size as libtorch takes it. Sizes that come from configs and slices are far below the limit.
pub(crate) fn to_i64(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_there_and_back() {
        let batch = stack_rows(&[&[1.0, 2.0], &[3.0, 4.0]], &[1, 2]).unwrap();
        assert_eq!(batch.size(), [2, 1, 2]);
        let half = batch.to_kind(Kind::BFloat16);
        assert_eq!(split_rows(&half).unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert!(stack_rows(&[], &[2]).is_err());
        assert!(stack_rows(&[&[1.0]], &[-1]).is_err());
        let error = stack_rows(&[&[1.0, 2.0], &[3.0]], &[2]).unwrap_err();
        assert_eq!(error.to_string(), "a row has 1 values, expected 2");
        assert!(split_rows(&Tensor::from(1.0_f32)).is_err());
        assert!(split_rows(&Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))).unwrap().is_empty());
    }
}
