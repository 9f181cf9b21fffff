//! Tensors as safetensors files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use clap::ValueEnum;
use half::bf16;
use safetensors::{Dtype, View};
use tch::{Device, Kind, Tensor};
use unclip_bundle::Component;

use crate::TrainError;
use crate::error::make_folder;

/// The dtype of exported weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// 32-bit float.
    F32,
    /// bfloat16, half the size.
    #[default]
    Bf16,
}

/// A tensor's bytes, little-endian, row-major.
pub(super) struct Bytes {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<u8>,
}

impl View for &Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// Writes tensors as f32.
///
/// # Errors
/// A place that can't be written.
pub fn save_tensors(path: &Path, tensors: &[(String, Tensor)]) -> Result<(), TrainError> {
    save(path, tensors, Precision::F32)
}

/// Writes a component's weights into its folder of a bundle.
///
/// # Errors
/// A place that can't be written.
pub fn write_component(
    bundle: &Path,
    component: Component,
    tensors: &[(String, Tensor)],
    precision: Precision,
) -> Result<(), TrainError> {
    let folder = bundle.join(component.folder());
    make_folder(&folder)?;
    save(&folder.join(format!("{}.safetensors", component.weights_stem())), tensors, precision)
}

fn save(path: &Path, tensors: &[(String, Tensor)], precision: Precision) -> Result<(), TrainError> {
    let bytes: Vec<(String, Bytes)> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), bytes(tensor, precision)?)))
        .collect::<Result<_, TrainError>>()?;
    write(path, &bytes)
}

/// Writes a file beside its place and renames it.
pub(super) fn write(path: &Path, tensors: &[(String, Bytes)]) -> Result<(), TrainError> {
    // transformers wants to know which framework's layout the weights have.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let views = tensors.iter().map(|(name, bytes)| (name.as_str(), bytes));
    let file = safetensors::serialize(views, Some(metadata)).map_err(|error| TrainError::Io {
        path: path.to_path_buf(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(unclip_bundle::write_atomically(path, &file)?)
}

fn bytes(tensor: &Tensor, precision: Precision) -> Result<Bytes, TrainError> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0.0_f32; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    let shape = tensor.size().iter().map(|size| usize::try_from(*size).unwrap_or_default()).collect();
    Ok(match precision {
        Precision::F32 => Bytes {
            dtype: Dtype::F32,
            shape,
            data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        },
        Precision::Bf16 => Bytes { dtype: Dtype::BF16, shape, data: rounded(&values) },
    })
}

/// f32 values as bf16 bytes, to the nearest.
pub(super) fn rounded(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
}
