//! Parameters from safetensors files: read into memory, or checked where they lie.

use std::cell::RefCell;
use std::collections::HashSet;

use tch::{Device, Kind, Tensor};
use unclip_bundle::{BundleError, Dtype, TensorView, Weights, check_finite};

use crate::{ModelError, ParamSource, Placement};

/// Reads parameters out of mapped files, with one copy from the map to their device, dtype and memory format.
/// Convolution weights `[out, in, height, width]` are stored channels-last.
pub struct SafetensorsSource<'a> {
    weights: &'a Weights,
    placement: Placement,
    steady: bool,
}

impl<'a> SafetensorsSource<'a> {
    /// A source that puts the parameters where `placement` says.
    pub fn new(weights: &'a Weights, placement: Placement) -> Self {
        Self { weights, placement, steady: true }
    }

    /// The same with whatever kernels libtorch picks for a number of rows, to measure what the others cost.
    #[must_use]
    pub fn unsteady(self) -> Self {
        Self { steady: false, ..self }
    }
}

impl ParamSource for SafetensorsSource<'_> {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let view = self.weights.tensor(name, &sizes(shape))?;
        let options = (self.placement.kind, self.placement.device);
        let mut parameter = match *shape {
            [outputs, inputs, height, width] => {
                Tensor::f_empty([outputs, height, width, inputs], options)?.f_permute([0, 3, 1, 2])?
            }
            _ => Tensor::f_empty(shape, options)?,
        };
        tch::no_grad(|| parameter.f_copy_(&mapped(&view, shape)?))?;
        Ok(parameter)
    }

    fn frozen(&self) -> bool {
        true
    }

    fn steady(&self) -> bool {
        self.steady
    }
}

/// A tensor over the mapped bytes themselves.
#[expect(unsafe_code, reason = "libtorch has no other way to read memory it does not own without a copy")]
fn mapped(view: &TensorView<'_>, shape: &[i64]) -> Result<Tensor, tch::TchError> {
    let kind = match view.dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::Bf16 => Kind::BFloat16,
    };
    // The format does not promise that tensors are aligned to their elements.
    if view.data.as_ptr().align_offset(view.dtype.size()) != 0 {
        return Tensor::f_from_data_size(view.data, shape, kind);
    }
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    // SAFETY: `Weights` checked that `data` holds shape.product() elements of this dtype; the tensor is only read, and
    // dropped by the caller while the view still borrows the map.
    unsafe { Tensor::f_from_blob(view.data.as_ptr(), shape, &strides, kind, Device::Cpu) }
}

/// Checks a file against a network without loading it: building the network with this source collects everything that is
/// missing, of another shape, or no number. That reads every parameter once. The parameters it hands out are zeros of one element's size, good for nothing else.
pub struct ShapeCheck<'a> {
    weights: &'a Weights,
    used: RefCell<HashSet<String>>,
    errors: RefCell<Vec<BundleError>>,
}

impl<'a> ShapeCheck<'a> {
    /// A check of these weights.
    pub fn new(weights: &'a Weights) -> Self {
        Self { weights, used: RefCell::default(), errors: RefCell::default() }
    }

    /// What was found: the errors, and a warning for each tensor that the network has no use for.
    pub fn finish(self) -> Report {
        let used = self.used.into_inner();
        let warnings = self
            .weights
            .names()
            .filter(|name| !used.contains(*name) && !is_buffer(name))
            .map(|name| {
                let path = self.weights.path().display();
                format!("{path}: tensor `{name}` is not part of the network and is ignored")
            })
            .collect();
        Report { errors: self.errors.into_inner(), warnings }
    }
}

impl ParamSource for ShapeCheck<'_> {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        self.used.borrow_mut().insert(name.to_owned());
        let found = self.weights.tensor(name, &sizes(shape));
        if let Err(error) = found.and_then(|view| check_finite(name, &view)) {
            self.errors.borrow_mut().push(error);
        }
        Ok(Tensor::f_zeros([1], (Kind::Float, Device::Cpu))?.f_expand(shape, false)?)
    }
}

/// Constants that older checkpoints saved along with the weights.
fn is_buffer(name: &str) -> bool {
    matches!(name, "causal_attention_mask") || name.ends_with("position_ids")
}

fn sizes(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|size| usize::try_from(*size).unwrap_or_default()).collect()
}

/// What a check of a bundle found.
#[derive(Debug, Default)]
pub struct Report {
    /// What keeps the bundle from being served.
    pub errors: Vec<BundleError>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

impl Report {
    /// Adds what another check found.
    pub fn extend(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.warnings.extend(other.warnings);
    }
}
