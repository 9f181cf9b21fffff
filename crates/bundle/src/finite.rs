//! Whether weights are numbers: NaN and infinity are found at import, not in the first picture.

use crate::{BundleError, Dtype, TensorView};

/// Looks at every value of a tensor. Reads the whole of it; only the exponents count, so this is as fast as memory.
///
/// # Errors
/// [`BundleError::NotFinite`].
pub fn check_finite(name: &str, view: &TensorView<'_>) -> Result<(), BundleError> {
    let bad: (usize, Option<usize>) = match view.dtype {
        Dtype::F32 => {
            scan(view.data, |bytes: [u8; 4]| exponent_is_full(u32::from_le_bytes(bytes), 0x7f80_0000))
        }
        Dtype::F16 => {
            scan(view.data, |bytes: [u8; 2]| exponent_is_full(u16::from_le_bytes(bytes).into(), 0x7c00))
        }
        Dtype::Bf16 => {
            scan(view.data, |bytes: [u8; 2]| exponent_is_full(u16::from_le_bytes(bytes).into(), 0x7f80))
        }
    };
    match bad {
        (count, Some(first)) => {
            let (path, tensor) = (view.file.to_path_buf(), name.to_owned());
            Err(BundleError::NotFinite { path, tensor, count, first })
        }
        (_, None) => Ok(()),
    }
}

/// IEEE 754: infinity and NaN are the numbers whose exponent has every bit set.
fn exponent_is_full(bits: u32, exponent: u32) -> bool {
    bits & exponent == exponent
}

/// How many elements are bad, and which is the first.
fn scan<const N: usize>(data: &[u8], is_bad: impl Fn([u8; N]) -> bool) -> (usize, Option<usize>) {
    let (elements, _) = data.as_chunks::<N>();
    // Counting has no branches; the place matters only where there is one.
    let count = elements.iter().filter(|bytes| is_bad(**bytes)).count();
    let first = (count > 0).then(|| elements.iter().position(|bytes| is_bad(*bytes))).flatten();
    (count, first)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(dtype: Dtype, data: &[u8]) -> Result<(), BundleError> {
        let shape = [data.len() / dtype.size()];
        check_finite(
            "w",
            &TensorView { dtype, shape: &shape, data, file: Path::new("x.safetensors"), offset: 0 },
        )
    }

    #[test]
    fn the_largest_numbers_pass_and_everything_beyond_is_found() {
        let f32s = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        check(Dtype::F32, &f32s(&[0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45])).unwrap();
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = check(Dtype::F32, &f32s(&[1.0, bad, 2.0, bad])).unwrap_err().to_string();
            assert!(error.contains("`w` has 2 values") && error.contains("index 1"), "{error}");
        }
        // Largest number, infinity, a NaN.
        for (dtype, good, bad) in
            [(Dtype::F16, 0x7bff_u16, [0x7c00, 0xfe01]), (Dtype::Bf16, 0x7f7f, [0x7f80, 0xffc0])]
        {
            check(dtype, &good.to_le_bytes()).unwrap();
            for bad in bad {
                assert!(check(dtype, &u16::to_le_bytes(bad)).is_err(), "{bad:x}");
            }
        }
    }
}
