//! Where each parameter lies in the flat buffers.

use std::cell::RefCell;
use std::collections::HashMap;

use tch::{Device, Kind, Tensor};
use unclip_models::{ModelError, ParamSource, Params};

use super::Init;
use crate::random::elements;

/// Parameters begin at multiples of this many elements: 64 bytes of bf16, which vector loads and GPU kernels like.
const ALIGNMENT: usize = 32;

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name: the bundle's folder, then the name inside the weights file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Where it begins in the flat buffers, in elements.
    pub offset: usize,
    /// Its elements.
    pub len: usize,
    /// How it starts.
    pub init: Init,
}

impl Entry {
    /// Whether the optimiser changes it.
    pub fn trainable(&self) -> bool {
        self.init != Init::Frozen
    }

    /// Whether weight decay applies: to matrices and kernels, not to biases, norms and single vectors.
    pub fn decays(&self) -> bool {
        self.trainable() && self.shape.iter().filter(|size| **size > 1).count() >= 2
    }

    /// This parameter in a flat buffer, without copying. Convolution kernels are channels-last in memory, which is what
    /// the convolutions work in.
    pub fn view(&self, flat: &Tensor) -> Tensor {
        let part = flat.narrow(0, to_i64(self.offset), to_i64(self.len));
        match *self.shape.as_slice() {
            [outputs, inputs, height, width] => {
                part.view([outputs, height, width, inputs]).permute([0, 3, 1, 2])
            }
            _ => part.view(self.shape.as_slice()),
        }
    }

    /// A tensor of this parameter's shape in the order of the flat buffers; a copy only where its memory has another.
    pub fn flatten(&self, tensor: &Tensor) -> Tensor {
        match self.shape.len() {
            4 => tensor.permute([0, 2, 3, 1]).reshape(-1),
            _ => tensor.reshape(-1),
        }
    }
}

/// Every parameter of one training.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// In the order in which the networks asked for them.
    pub entries: Vec<Entry>,
    /// Elements of a flat buffer.
    pub total: usize,
}

impl Layout {
    /// Finds out which parameters a network has by building it once. `initialise` gets name, shape and, for a bias, the
    /// shape of the weight that came just before it.
    ///
    /// # Errors
    /// The network can't be built.
    pub fn record<N>(
        initialise: impl Fn(&str, &[i64], Option<&[i64]>) -> Init,
        build: impl FnOnce(&Params) -> Result<N, ModelError>,
    ) -> Result<Self, ModelError> {
        let recorder = Recorder::default();
        build(&Params::root(&recorder))?;
        let mut layout = Self { entries: Vec::new(), total: 0 };
        let recorded = recorder.seen.into_inner();
        for (index, (name, shape)) in recorded.iter().enumerate() {
            let weight = index.checked_sub(1).and_then(|before| sibling(&recorded[before], name));
            let init = initialise(name, shape, weight);
            let (len, offset) = (elements(shape), layout.total);
            layout.total = (offset + len).next_multiple_of(ALIGNMENT);
            layout.entries.push(Entry { name: name.clone(), shape: shape.clone(), offset, len, init });
        }
        Ok(layout)
    }

    /// Trained elements.
    pub fn trained(&self) -> usize {
        self.entries.iter().filter(|entry| entry.trainable()).map(|entry| entry.len).sum()
    }

    /// A parameter by name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Positions by name.
    pub(crate) fn index(&self) -> HashMap<String, usize> {
        self.entries.iter().enumerate().map(|(index, entry)| (entry.name.clone(), index)).collect()
    }
}

fn sibling<'a>(before: &'a (String, Vec<i64>), name: &str) -> Option<&'a [i64]> {
    let layer = name.strip_suffix("bias")?;
    (before.0.strip_suffix("weight")? == layer).then_some(before.1.as_slice())
}

/// Writes down names and shapes.
#[derive(Default)]
struct Recorder {
    seen: RefCell<Vec<(String, Vec<i64>)>>,
}

impl ParamSource for Recorder {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let mut seen = self.seen.borrow_mut();
        if seen.iter().all(|(known, _)| known != name) {
            seen.push((name.to_owned(), shape.to_vec()));
        }
        Ok(Tensor::f_zeros([1], (Kind::Float, Device::Cpu))?.f_expand(shape, false)?)
    }
}

/// A size as libtorch takes it. Sizes here are far below the limit.
pub(crate) fn to_i64(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
