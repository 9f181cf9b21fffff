//! AdamW over the flat buffers.

use half::bf16;
use tch::{Device, Kind, Tensor};

use super::kernel::{self, Factors, Slices};
use super::layout::to_i64;
use super::{Gradients, ParamStore};
use crate::TrainError;

/// AdamW (arXiv 1711.05101) with gradient clipping by the global norm and an exponential moving average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay of matrices and kernels.
    pub weight_decay: f64,
    /// Limit of the gradients' global norm.
    pub clip_norm: f64,
    /// Decay of the average; the first steps average less, `(1 + step) / (10 + step)`.
    pub ema_decay: f64,
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The gradients' global norm before clipping.
    pub gradient_norm: f64,
    /// Whether the step was left out, because the gradients were no numbers.
    pub skipped: bool,
}

impl AdamW {
    /// Takes one step with the mean of the gradients of several equal parts of a batch.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    pub fn step(
        &self,
        store: &mut ParamStore,
        gradients: &[Gradients],
        learning_rate: f64,
    ) -> Result<StepReport, TrainError> {
        tch::no_grad(|| {
            let flat = mean(store, gradients)?;
            store.steps += 1;
            let on_cpu = store.placement.device == Device::Cpu;
            let norm = if on_cpu {
                kernel::squared_norm(values(&flat)?).sqrt()
            } else {
                f64::try_from(flat.norm().to_device(Device::Cpu))?
            };
            if !norm.is_finite() {
                return Ok(StepReport { gradient_norm: norm, skipped: true });
            }
            let factors = self.factors(store.steps, norm, learning_rate);
            if on_cpu {
                on_host(store, &flat, factors)?;
            } else {
                on_device(store, &flat, factors);
            }
            Ok(StepReport { gradient_norm: norm, skipped: false })
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "the optimiser works in f32")]
    fn factors(&self, step: u64, norm: f64, learning_rate: f64) -> Factors {
        let [beta1, beta2] = self.betas;
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^52")]
        let warm = (1.0 + step as f64) / (10.0 + step as f64);
        Factors {
            gradient: (self.clip_norm / (norm + 1e-6)).min(1.0) as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            rate: (learning_rate / (1.0 - beta1.powi(exponent))) as f32,
            root: (1.0 - beta2.powi(exponent)).sqrt().recip() as f32,
            epsilon: self.epsilon as f32,
            keep: (1.0 - learning_rate * self.weight_decay) as f32,
            average: (1.0 - self.ema_decay.min(warm)) as f32,
        }
    }
}

/// The mean gradient as one flat f32 buffer; zeros where there is none.
fn mean(store: &ParamStore, parts: &[Gradients]) -> Result<Tensor, TrainError> {
    let mut flat = flatten(store, parts.first().map_or(&[], |part| part.0.as_slice()))?;
    for part in parts.iter().skip(1) {
        flat = flat.f_add_(&flatten(store, &part.0)?)?;
    }
    if parts.len() > 1 {
        flat = flat.f_div_scalar_(to_i64(parts.len()))?;
    }
    Ok(flat)
}

fn flatten(store: &ParamStore, gradients: &[Option<Tensor>]) -> Result<Tensor, TrainError> {
    let layout = &store.layout;
    let longest = layout.entries.iter().map(|entry| entry.len).max().unwrap_or_default();
    let kind = gradients.iter().flatten().next().map_or(Kind::Float, Tensor::kind);
    let zeros = Tensor::f_zeros([to_i64(longest.max(32))], (kind, store.placement.device))?;
    let mut parts = Vec::new();
    for (index, entry) in layout.entries.iter().enumerate() {
        let end = layout.entries.get(index + 1).map_or(layout.total, |next| next.offset);
        parts.push(match gradients.get(index).and_then(Option::as_ref) {
            Some(gradient) => entry.flatten(gradient),
            None => zeros.narrow(0, 0, to_i64(entry.len)),
        });
        let padding = end - entry.offset - entry.len;
        if padding > 0 {
            parts.push(zeros.narrow(0, 0, to_i64(padding)));
        }
    }
    Ok(Tensor::f_cat(&parts, 0)?.f_to_kind(Kind::Float)?)
}

fn on_host(store: &mut ParamStore, gradient: &Tensor, factors: Factors) -> Result<(), TrainError> {
    let rounded = store.placement.kind == Kind::BFloat16;
    let [mut first, mut second] = store.moments.each_ref().map(Tensor::shallow_clone);
    let mut parts = Parts {
        gradient: values(gradient)?,
        master: values_mut(&mut store.master)?,
        first: values_mut(&mut first)?,
        second: values_mut(&mut second)?,
        average: values_mut(&mut store.average)?,
        copy: if rounded { Some(halves_mut(&mut store.compute)?) } else { None },
    };
    let entries = &store.layout.entries;
    let mut slices = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let end = entries.get(index + 1).map_or(store.layout.total, |next| next.offset);
        let taken = parts.take(end - entry.offset, entry.decays());
        // What is not trained has no gradient, but would be averaged with itself; it is left alone.
        if entry.trainable() {
            slices.push(taken);
        }
    }
    kernel::step(slices, factors);
    Ok(())
}

/// The buffers, of which each parameter takes its part from the front.
struct Parts<'a> {
    gradient: &'a [f32],
    master: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    average: &'a mut [f32],
    copy: Option<&'a mut [bf16]>,
}

impl<'a> Parts<'a> {
    fn take(&mut self, len: usize, decays: bool) -> Slices<'a> {
        let (gradient, rest) = self.gradient.split_at(len);
        self.gradient = rest;
        Slices {
            gradient,
            master: front(&mut self.master, len),
            first: front(&mut self.first, len),
            second: front(&mut self.second, len),
            average: front(&mut self.average, len),
            copy: self.copy.as_mut().map(|copy| front(copy, len)),
            decays,
        }
    }
}

fn front<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (front, back) = std::mem::take(rest).split_at_mut(len);
    *rest = back;
    front
}

/// The elements of a contiguous f32 tensor on the CPU.
#[expect(unsafe_code, reason = "libtorch lends its memory only as a pointer")]
fn values(tensor: &Tensor) -> Result<&[f32], TrainError> {
    expect_flat(tensor, Kind::Float)?;
    // SAFETY: contiguous f32 on the CPU, checked; the memory lives as long as the tensor that is borrowed.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
}

#[expect(unsafe_code, reason = "libtorch lends its memory only as a pointer")]
fn values_mut(tensor: &mut Tensor) -> Result<&mut [f32], TrainError> {
    expect_flat(tensor, Kind::Float)?;
    // SAFETY: as in `values`; the optimiser's buffers are distinct, and no network runs during a step.
    Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
}

#[expect(unsafe_code, reason = "libtorch lends its memory only as a pointer")]
fn halves_mut(tensor: &mut Tensor) -> Result<&mut [bf16], TrainError> {
    expect_flat(tensor, Kind::BFloat16)?;
    // SAFETY: as in `values_mut`; bf16 has the layout of libtorch's BFloat16.
    Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<bf16>(), tensor.numel()) })
}

/// The stores' buffers are made so; anything else is a mistake in this crate.
fn expect_flat(tensor: &Tensor, kind: Kind) -> Result<(), TrainError> {
    if tensor.kind() == kind && tensor.device() == Device::Cpu && tensor.is_contiguous() {
        return Ok(());
    }
    let found = format!("{:?} on {:?}", tensor.kind(), tensor.device());
    Err(TrainError::shape("flat buffer", found, format!("contiguous {kind:?} on the CPU")))
}

/// The same arithmetic in a dozen kernels over the flat buffers: on a GPU their time does not matter.
fn on_device(store: &mut ParamStore, gradient: &Tensor, factors: Factors) {
    let f = |value: f32| f64::from(value);
    let gradient = gradient * f(factors.gradient);
    let [first, second] = &mut store.moments;
    let _ = first.lerp_(&gradient, f(1.0 - factors.beta1));
    let squares = gradient.square() * f(1.0 - factors.beta2);
    let _ = second.g_mul_scalar_(f(factors.beta2)).g_add_(&squares);
    let divisor = second.sqrt() * f(factors.root) + f(factors.epsilon);
    let update = &*first * f(factors.rate) / divisor;
    if let Some(decaying) = &store.decaying {
        let shrink = decaying * f(factors.keep - 1.0) + 1.0;
        let _ = store.master.g_mul_(&shrink);
    }
    let _ = store.master.g_sub_(&update);
    let _ = store.average.lerp_(&store.master, f(factors.average));
    if store.placement.kind != Kind::Float {
        store.compute.copy_(&store.master);
    }
}

#[cfg(test)]
mod tests {
    use unclip_models::{ParamSource, Placement};

    use super::*;
    use crate::params::{Init, Layout};

    const ADAMW: AdamW =
        AdamW { betas: [0.9, 0.99], epsilon: 1e-8, weight_decay: 0.1, clip_norm: 1.0, ema_decay: 0.99 };

    fn store(kind: Kind) -> ParamStore {
        let layout = Layout::record(
            |name, shape, weight| {
                if name == "frozen" { Init::Frozen } else { Init::layer(name, shape, weight) }
            },
            |params| {
                let _ = params.tensor("conv.weight", &[4, 3, 3, 3])?;
                let _ = params.tensor("conv.bias", &[4])?;
                params.tensor("frozen", &[5])
            },
        );
        ParamStore::new(layout.unwrap(), Placement { device: Device::Cpu, kind }, 7).unwrap()
    }

    fn loss(store: &ParamStore) -> (Gradients, f64) {
        let leaves = store.leaves();
        let kernel = leaves.tensor("conv.weight", &[4, 3, 3, 3]).unwrap();
        let bias = leaves.tensor("conv.bias", &[4]).unwrap();
        let x = Tensor::ones([2, 3, 5, 5], (store.placement.kind, Device::Cpu));
        let loss = (x.conv2d(&kernel, Some(&bias), 1, 1, 1, 1) - 1.0).square().mean(Kind::Float);
        (leaves.gradients(&loss).unwrap(), f64::try_from(loss).unwrap())
    }

    #[test]
    fn host_and_device_take_the_same_step() {
        let (mut host, mut device) = (store(Kind::BFloat16), store(Kind::BFloat16));
        let decays = |entry: &crate::params::Entry| entry.decays();
        device.decaying = Some(Tensor::zeros([to_i64(device.layout.total)], (Kind::Float, Device::Cpu)));
        for entry in device.layout.entries.iter().filter(|entry| decays(entry)) {
            let _ = entry.view(device.decaying.as_ref().unwrap()).fill_(1.0);
        }
        for step in 1..6 {
            let gradients = loss(&host).0;
            let flat = mean(
                &host,
                &[Gradients(gradients.0.iter().map(|g| g.as_ref().map(Tensor::shallow_clone)).collect())],
            )
            .unwrap();
            let factors = ADAMW.factors(step, flat.norm().double_value(&[]), 0.01);
            ADAMW.step(&mut host, &[gradients], 0.01).unwrap();
            on_device(&mut device, &flat, factors);
        }
        for (name, one) in host.buffers() {
            let two =
                device.buffers().into_iter().find(|(other, _)| *other == name).unwrap().1.shallow_clone();
            assert!(one.allclose(&two, 1e-4, 1e-7, false), "{name}");
        }
        assert!(host.compute.allclose(&device.compute, 0.01, 0.0, false));
    }

    #[test]
    fn a_loss_falls_and_what_is_frozen_stays() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let mut store = store(kind);
            let before = loss(&store).1;
            for _ in 0..60 {
                let gradients = loss(&store).0;
                ADAMW.step(&mut store, &[gradients], 0.02).unwrap();
            }
            assert!(loss(&store).1 < before * 0.05, "{before} {}", loss(&store).1);
            let frozen = store.layout.get("frozen").unwrap().view(&store.master);
            assert_eq!(Vec::<f32>::try_from(frozen).unwrap(), [1.0; 5]);
        }
    }

    #[test]
    fn gradients_that_are_no_numbers_are_left_out() {
        let mut store = store(Kind::Float);
        let before = store.master.copy();
        let mut gradients = loss(&store).0;
        gradients.0[1] = Some(Tensor::from_slice(&[f32::NAN; 4]));
        let report = ADAMW.step(&mut store, &[gradients], 0.1).unwrap();
        assert!(report.skipped && store.master == before);
    }
}
