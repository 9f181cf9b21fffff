//! Where a network lives and in which dtype it computes.

use tch::{Cuda, Device, Kind};

use crate::ModelError;

/// Device and dtype of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Where the weights are and the work is done.
    pub device: Device,
    /// The dtype of weights and activations.
    pub kind: Kind,
}

impl Placement {
    /// f32 on the CPU, the placement that all others are compared with.
    pub const REFERENCE: Self = Self { device: Device::Cpu, kind: Kind::Float };

    /// Reads a device (see [`parse_device`]) and a dtype (see [`parse_dtype`]).
    ///
    /// # Errors
    /// A device that is not there, or an unknown dtype.
    pub fn parse(device: &str, dtype: &str) -> Result<Self, ModelError> {
        let device = parse_device(device)?;
        let kind = parse_dtype(dtype, device)?;
        Ok(Self { device, kind })
    }

    /// The device's name in configuration files and receipts: `cpu` or `cuda:N`.
    pub fn device_name(self) -> String {
        match self.device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        }
    }

    /// The dtype's name in configuration files and receipts: `f32`, `bf16` or `f16`.
    pub fn dtype_name(self) -> &'static str {
        match self.kind {
            Kind::BFloat16 => "bf16",
            Kind::Half => "f16",
            _ => "f32",
        }
    }
}

/// Reads `auto` (the first GPU, or else the CPU), `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// An unknown name, or a GPU that libtorch does not see.
pub fn parse_device(text: &str) -> Result<Device, ModelError> {
    let refuse = |reason: String| ModelError::Device { field: "device", found: format!("`{text}`"), reason };
    match text {
        "auto" => return Ok(Device::cuda_if_available()),
        "cpu" => return Ok(Device::Cpu),
        _ => {}
    }
    let index = match text.strip_prefix("cuda") {
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|digits| digits.parse::<u32>().ok()),
        None => None,
    };
    let index = index.ok_or_else(|| refuse("supported are auto, cpu and cuda:N".to_owned()))?;
    if !Cuda::is_available() {
        let reason =
            "libtorch sees no CUDA here: install a CUDA build of libtorch and the driver, or use cpu";
        return Err(refuse(reason.to_owned()));
    }
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let count = usize::try_from(Cuda::device_count()).unwrap_or_default();
    if index >= count {
        return Err(refuse(format!("libtorch sees {count} GPUs, counted from cuda:0")));
    }
    Ok(Device::Cuda(index))
}

/// Reads `auto` (see [`auto_dtype`]), `f32`, `bf16` or `f16`; f16 is for GPUs, where the CPU has no arithmetic for it.
///
/// # Errors
/// An unknown name, or f16 on the CPU.
pub fn parse_dtype(text: &str, device: Device) -> Result<Kind, ModelError> {
    let refuse = |reason: &str| ModelError::Device {
        field: "dtype",
        found: format!("`{text}`"),
        reason: reason.to_owned(),
    };
    match text {
        "auto" => Ok(auto_dtype(device)),
        "f32" => Ok(Kind::Float),
        "bf16" => Ok(Kind::BFloat16),
        "f16" if device.is_cuda() => Ok(Kind::Half),
        "f16" => Err(refuse("f16 is for GPUs; on a CPU use bf16 or f32")),
        _ => Err(refuse("supported are auto, f32, bf16 and, on a GPU, f16")),
    }
}

/// The fastest dtype that keeps the range of f32: bf16 on a GPU and on a CPU with AMX or AVX512-BF16, else f32.
pub fn auto_dtype(device: Device) -> Kind {
    if device.is_cuda() || cpu_has_bf16() { Kind::BFloat16 } else { Kind::Float }
}

/// AMX has no stable feature detection in Rust, so the kernel's list is read.
fn cpu_has_bf16() -> bool {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines().find(|line| line.starts_with("flags")).is_some_and(|flags| {
        flags.split_ascii_whitespace().any(|flag| matches!(flag, "amx_bf16" | "avx512_bf16"))
    })
}

/// Sets the threads that one operation of libtorch uses on the CPU, in the whole process. Zero is taken as one.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_dtypes() {
        assert_eq!(parse_device("cpu").unwrap(), Device::Cpu);
        for bad in ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda1", ""] {
            assert!(parse_device(bad).is_err(), "{bad}");
        }
        let error = parse_device("cuda:4096").unwrap_err().to_string();
        assert!(error.contains("cuda:4096"), "{error}");
        assert_eq!(parse_dtype("bf16", Device::Cpu).unwrap(), Kind::BFloat16);
        assert!(parse_dtype("f16", Device::Cpu).is_err());
        assert!(parse_dtype("f64", Device::Cpu).is_err());
    }
}
