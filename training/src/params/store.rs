//! The parameters of a training: f32 masters, the copies that networks compute with, moments and averages.

use std::collections::HashMap;

use tch::{Device, Kind, Tensor};
use unclip_models::{ModelError, ParamSource, Placement};

use super::layout::to_i64;
use super::{Entry, Layout};
use crate::TrainError;
use crate::random::{Purpose, StepRandom};

/// Everything that training changes, in flat buffers of [`Layout::total`] elements.
pub struct ParamStore {
    pub(super) layout: Layout,
    pub(super) placement: Placement,
    /// What the optimiser works on, f32.
    pub(super) master: Tensor,
    /// What networks compute with: the masters themselves for f32, else rounded copies.
    pub(super) compute: Tensor,
    /// AdamW's first and second moments, f32.
    pub(super) moments: [Tensor; 2],
    /// The exponential moving average of the masters, f32: what is exported and sampled from.
    pub(super) average: Tensor,
    /// Ones where weight decay applies; only on a GPU, where the optimiser works on whole buffers.
    pub(super) decaying: Option<Tensor>,
    /// Steps taken.
    pub(super) steps: u64,
}

/// The names of the buffers in a checkpoint.
const BUFFERS: [&str; 4] = ["master", "moment1", "moment2", "average"];

impl ParamStore {
    /// Parameters at their start.
    ///
    /// # Errors
    /// libtorch has no memory for them.
    pub fn new(layout: Layout, placement: Placement, seed: u64) -> Result<Self, TrainError> {
        let size = [to_i64(layout.total)];
        let zeros = || Tensor::f_zeros(size, (Kind::Float, placement.device));
        let master = zeros()?;
        let compute = match placement.kind {
            Kind::Float => master.shallow_clone(),
            kind => Tensor::f_zeros(size, (kind, placement.device))?,
        };
        let mut random = StepRandom::new(seed, 0, Purpose::Weights);
        tch::no_grad(|| {
            for entry in &layout.entries {
                entry.view(&master).copy_(&entry.init.values(&entry.shape, &mut random));
            }
        });
        let (moments, average) = ([zeros()?, zeros()?], zeros()?);
        let decaying =
            (placement.device != Device::Cpu).then(|| zeros().map(|flat| mark(&layout, flat))).transpose()?;
        let mut store = Self { layout, placement, master, compute, moments, average, decaying, steps: 0 };
        store.restart_average();
        Ok(store)
    }

    /// Names, shapes and places of the parameters.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where and in which dtype networks compute.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Steps the optimiser has taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Gives a parameter and its average other values, as of the same shape.
    ///
    /// # Errors
    /// There is no such parameter, or it has another shape.
    pub fn set(&mut self, name: &str, values: &Tensor) -> Result<(), TrainError> {
        let entry = self.layout.get(name).ok_or_else(|| {
            let reason = format!("the networks have no parameter `{name}`");
            TrainError::Config { path: name.into(), reason }
        })?;
        let values = values.f_view(entry.shape.as_slice())?;
        for buffer in [&self.master, &self.compute, &self.average] {
            tch::no_grad(|| entry.view(buffer).f_copy_(&values))?;
        }
        Ok(())
    }

    /// The masters as a new start of the average, and as compute copies.
    fn restart_average(&mut self) {
        tch::no_grad(|| {
            self.average.copy_(&self.master);
            self.compute.copy_(&self.master);
        });
    }

    /// Variables over the compute copies: a network built from them sees every step of the optimiser.
    pub fn leaves(&self) -> Leaves {
        let leaf = |entry: &Entry| {
            tch::no_grad(|| entry.view(&self.compute)).detach().set_requires_grad(entry.trainable())
        };
        Leaves {
            index: self.layout.index(),
            tensors: self.layout.entries.iter().map(leaf).collect(),
            trainable: self.layout.entries.iter().map(Entry::trainable).collect(),
        }
    }

    /// The averages in the networks' dtype, as they are now.
    pub fn averages(&self) -> Leaves {
        let flat = tch::no_grad(|| self.average.to_kind(self.placement.kind).copy());
        Leaves {
            index: self.layout.index(),
            tensors: self.layout.entries.iter().map(|entry| entry.view(&flat)).collect(),
            trainable: vec![false; self.layout.entries.len()],
        }
    }

    /// The averages by name, f32, row-major, on the CPU.
    pub fn averages_by_name(&self) -> Vec<(String, Tensor)> {
        let flat = tch::no_grad(|| self.average.to_device(Device::Cpu));
        let by_name = |entry: &Entry| (entry.name.clone(), entry.view(&flat).contiguous());
        self.layout.entries.iter().map(by_name).collect()
    }

    /// Every buffer under its name in a checkpoint.
    pub(crate) fn buffers(&self) -> [(&'static str, &Tensor); 4] {
        let [first, second] = &self.moments;
        let tensors = [&self.master, first, second, &self.average];
        std::array::from_fn(|index| (BUFFERS[index], tensors[index]))
    }

    /// Takes over what a checkpoint holds.
    pub(crate) fn restore(
        &mut self,
        steps: u64,
        mut buffer: impl FnMut(&str) -> Result<Tensor, TrainError>,
    ) -> Result<(), TrainError> {
        let mut read = |name: &str, target: &mut Tensor| -> Result<(), TrainError> {
            let values = buffer(name)?;
            Ok(tch::no_grad(|| target.f_copy_(&values))?)
        };
        let [first, second] = &mut self.moments;
        read(BUFFERS[0], &mut self.master)?;
        read(BUFFERS[1], first)?;
        read(BUFFERS[2], second)?;
        read(BUFFERS[3], &mut self.average)?;
        tch::no_grad(|| self.compute.copy_(&self.master));
        self.steps = steps;
        Ok(())
    }
}

/// Ones where weight decay applies.
fn mark(layout: &Layout, flat: Tensor) -> Tensor {
    for entry in layout.entries.iter().filter(|entry| entry.decays()) {
        let _ = entry.view(&flat).fill_(1.0);
    }
    flat
}

/// Parameters by name, for building a network.
pub struct Leaves {
    index: HashMap<String, usize>,
    tensors: Vec<Tensor>,
    trainable: Vec<bool>,
}

impl ParamSource for Leaves {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let tensor = self.index.get(name).and_then(|index| self.tensors.get(*index));
        match tensor {
            Some(tensor) if tensor.size() == shape => Ok(tensor.shallow_clone()),
            found => Err(ModelError::Input {
                field: "parameter",
                found: format!("{name} {:?}", found.map(Tensor::size)),
                expected: format!("{shape:?}, as when the layout was recorded"),
            }),
        }
    }
}

/// The gradient of every parameter, in the order of the layout; none where the loss does not depend on it.
pub struct Gradients(pub Vec<Option<Tensor>>);

impl Leaves {
    /// Differentiates a loss with respect to all trainable parameters.
    ///
    /// # Errors
    /// libtorch can't differentiate it.
    pub fn gradients(&self, loss: &Tensor) -> Result<Gradients, TrainError> {
        let wanted: Vec<&Tensor> = self.wanted().collect();
        let found = Tensor::f_run_backward(&[loss], &wanted, false, false)?;
        Ok(self.in_order(found))
    }

    /// As [`Leaves::gradients`], and the loss' gradients with respect to other tensors.
    ///
    /// # Errors
    /// libtorch can't differentiate it.
    pub fn gradients_and(
        &self,
        loss: &Tensor,
        others: &[Tensor],
    ) -> Result<(Gradients, Vec<Tensor>), TrainError> {
        let mut wanted: Vec<&Tensor> = others.iter().collect();
        wanted.extend(self.wanted());
        let mut found = Tensor::f_run_backward(&[loss], &wanted, false, false)?;
        let own = found.split_off(others.len());
        Ok((self.in_order(own), found))
    }

    fn wanted(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().zip(&self.trainable).filter(|(_, wanted)| **wanted).map(|(tensor, _)| tensor)
    }

    fn in_order(&self, found: Vec<Tensor>) -> Gradients {
        let mut found = found.into_iter();
        let gradient = |wanted: &bool| if *wanted { found.next().filter(Tensor::defined) } else { None };
        Gradients(self.trainable.iter().map(gradient).collect())
    }
}
