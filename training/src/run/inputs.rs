//! What one step computes on.

use std::collections::BTreeMap;

use tch::{Device, Tensor};
use unclip_models::ModelError;

use crate::params::to_i64;

/// Named tensors whose first dimension is the batch. They are made on the CPU, ahead of their step.
#[derive(Default)]
pub struct Inputs(BTreeMap<&'static str, Tensor>);

impl Inputs {
    /// No tensors yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor.
    #[must_use]
    pub fn with(mut self, name: &'static str, tensor: Tensor) -> Self {
        self.0.insert(name, tensor);
        self
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// There is none, a mistake in the trainer.
    pub fn get(&self, name: &'static str) -> Result<&Tensor, ModelError> {
        self.0.get(name).ok_or_else(|| ModelError::Input {
            field: "inputs",
            found: format!("no {name}"),
            expected: self.0.keys().copied().collect::<Vec<_>>().join(", "),
        })
    }

    /// Everything on another device.
    ///
    /// # Errors
    /// The device has no room.
    pub fn to(&self, device: Device) -> Result<Self, ModelError> {
        let moved = |(name, tensor): (&&'static str, &Tensor)| Ok((*name, tensor.f_to_device(device)?));
        self.0.iter().map(moved).collect::<Result<_, ModelError>>().map(Self)
    }

    /// `count` equal parts of the batch.
    ///
    /// # Errors
    /// libtorch can't split a tensor.
    pub fn split(self, count: usize) -> Result<Vec<Self>, ModelError> {
        if count <= 1 {
            return Ok(vec![self]);
        }
        let mut parts: Vec<Self> = (0..count).map(|_| Self::default()).collect();
        for (name, tensor) in self.0 {
            for (part, rows) in parts.iter_mut().zip(tensor.f_chunk(to_i64(count), 0)?) {
                part.0.insert(name, rows);
            }
        }
        Ok(parts)
    }
}
