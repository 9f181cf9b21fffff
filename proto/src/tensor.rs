//! Tensors on the wire, checked before anything is allocated.

use crate::FieldError;
use crate::v1::{Dtype, Tensor};

/// The most axes a tensor may have.
pub const MAX_AXES: usize = 8;

/// The most bytes a tensor may hold: five times a picture of 1024 x 1024 pixels in f32.
pub const MAX_TENSOR_BYTES: usize = 64 << 20;

impl Tensor {
    /// An f32 tensor. `values` must have as many elements as `shape` says.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        Self { dtype: Dtype::F32 as i32, shape: wire_shape(shape), data: data.into() }
    }

    /// A u8 tensor. `values` must have as many elements as `shape` says.
    pub fn from_u8(shape: &[usize], values: Vec<u8>) -> Self {
        Self { dtype: Dtype::U8 as i32, shape: wire_shape(shape), data: values.into() }
    }

    /// The elements of a floating-point tensor of exactly this shape, as f32. `field` names the tensor in errors.
    ///
    /// # Errors
    /// Another dtype or shape, a length that disagrees with the shape, or a value that is not finite.
    pub fn floats(&self, field: &str, shape: &[usize]) -> Result<Vec<f32>, FieldError> {
        self.check_shape(field, shape)?;
        let values = self.float_elements(field)?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(FieldError::new(
                field,
                format!("element {at} is {}, every element must be finite", values[at]),
            )),
            None => Ok(values),
        }
    }

    /// The elements of a u8 tensor of exactly this shape.
    ///
    /// # Errors
    /// Another dtype or shape, or a length that disagrees with the shape.
    pub fn bytes(&self, field: &str, shape: &[usize]) -> Result<&[u8], FieldError> {
        self.check_shape(field, shape)?;
        match self.checked_dtype(field)? {
            Dtype::U8 => Ok(&self.data),
            other => Err(dtype_error(field, other, "DTYPE_U8")),
        }
    }

    /// The shape, after the dtype, the axes and the length have been checked against each other.
    ///
    /// # Errors
    /// An unknown dtype, too many axes, an empty axis, too many bytes, or a length that disagrees with the shape.
    pub fn checked_shape(&self, field: &str) -> Result<Vec<usize>, FieldError> {
        let dtype = self.checked_dtype(field)?;
        if self.shape.len() > MAX_AXES {
            let problem = format!("{} axes, at most {MAX_AXES} are allowed", self.shape.len());
            return Err(FieldError::new(format!("{field}.shape"), problem));
        }
        let mut bytes = element_size(dtype);
        for size in &self.shape {
            if *size == 0 {
                return Err(FieldError::new(
                    format!("{field}.shape"),
                    "an axis is 0, every axis must be at least 1",
                ));
            }
            bytes = bytes.saturating_mul(*size as usize);
        }
        if bytes > MAX_TENSOR_BYTES {
            let problem =
                format!("{:?} would be {bytes} bytes, at most {MAX_TENSOR_BYTES} are allowed", self.shape);
            return Err(FieldError::new(format!("{field}.shape"), problem));
        }
        if bytes != self.data.len() {
            let problem = format!(
                "{} bytes, but shape {:?} of {} takes {bytes}",
                self.data.len(),
                self.shape,
                dtype.as_str_name()
            );
            return Err(FieldError::new(format!("{field}.data"), problem));
        }
        Ok(self.shape.iter().map(|size| *size as usize).collect())
    }

    fn check_shape(&self, field: &str, expected: &[usize]) -> Result<(), FieldError> {
        let shape = self.checked_shape(field)?;
        if shape == expected {
            return Ok(());
        }
        Err(FieldError::new(format!("{field}.shape"), format!("{shape:?}, this model takes {expected:?}")))
    }

    fn checked_dtype(&self, field: &str) -> Result<Dtype, FieldError> {
        match Dtype::try_from(self.dtype) {
            Ok(Dtype::Unspecified) | Err(_) => {
                let problem =
                    format!("{} is no dtype; use DTYPE_F32, DTYPE_F16, DTYPE_BF16 or DTYPE_U8", self.dtype);
                Err(FieldError::new(format!("{field}.dtype"), problem))
            }
            Ok(dtype) => Ok(dtype),
        }
    }

    fn float_elements(&self, field: &str) -> Result<Vec<f32>, FieldError> {
        let halves = || self.data.as_chunks::<2>().0.iter();
        match self.checked_dtype(field)? {
            Dtype::F32 => {
                Ok(self.data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
            }
            Dtype::F16 => Ok(halves().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()),
            Dtype::Bf16 => Ok(halves().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()).collect()),
            other => Err(dtype_error(field, other, "DTYPE_F32, DTYPE_F16 or DTYPE_BF16")),
        }
    }
}

fn dtype_error(field: &str, found: Dtype, supported: &str) -> FieldError {
    FieldError::new(
        format!("{field}.dtype"),
        format!("{}, this field takes {supported}", found.as_str_name()),
    )
}

fn element_size(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F32 => 4,
        Dtype::F16 | Dtype::Bf16 => 2,
        Dtype::U8 | Dtype::Unspecified => 1,
    }
}

fn wire_shape(shape: &[usize]) -> Vec<u32> {
    shape.iter().map(|size| u32::try_from(*size).unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_round_trip() {
        let tensor = Tensor::from_f32(&[2, 2], &[0.0, -1.5, 3.25, f32::MIN_POSITIVE]);
        assert_eq!(tensor.floats("x", &[2, 2]).unwrap(), [0.0, -1.5, 3.25, f32::MIN_POSITIVE]);
    }

    #[test]
    fn half_precision_is_widened() {
        let data: Vec<u8> = [0.5, -2.0].iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
        let tensor = Tensor { dtype: Dtype::Bf16 as i32, shape: vec![2], data: data.into() };
        assert_eq!(tensor.floats("x", &[2]).unwrap(), [0.5, -2.0]);
    }

    #[test]
    fn every_defect_is_named() {
        let good = Tensor::from_f32(&[2], &[1.0, 2.0]);
        let cases = [
            (Tensor { dtype: 99, ..good.clone() }, "x.dtype: 99 is no dtype"),
            (Tensor { dtype: 0, ..good.clone() }, "x.dtype: 0 is no dtype"),
            (
                Tensor { dtype: Dtype::U8 as i32, ..good.clone() },
                "x.data: 8 bytes, but shape [2] of DTYPE_U8 takes 2",
            ),
            (Tensor { shape: vec![3], ..good.clone() }, "x.data: 8 bytes, but shape [3]"),
            (Tensor { shape: vec![0], ..good.clone() }, "x.shape: an axis is 0"),
            (Tensor { shape: vec![1; 9], ..good.clone() }, "x.shape: 9 axes"),
            (Tensor { shape: vec![u32::MAX; 8], ..good.clone() }, "x.shape: [4294967295"),
            (Tensor::from_f32(&[1], &[1.0]), "x.shape: [1], this model takes [2]"),
            (Tensor::from_f32(&[2], &[1.0, f32::NAN]), "x: element 1 is NaN"),
            (Tensor::from_u8(&[2], vec![1, 2]), "x.dtype: DTYPE_U8, this field takes"),
        ];
        for (tensor, expected) in cases {
            let text = tensor.floats("x", &[2]).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_tensor_panics(dtype: i32, shape in proptest::collection::vec(proptest::num::u32::ANY, 0..10), data: Vec<u8>) {
            let tensor = Tensor { dtype, shape, data: data.into() };
            let _ = tensor.floats("x", &[2]);
            let _ = tensor.bytes("x", &[2]);
        }
    }
}
