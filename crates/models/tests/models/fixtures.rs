//! Fixture bundles, and goldens of diffusers 0.42.1 on torch 2.11.0 that `tests/reference/make_fixtures.py` wrote.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};
use unclip_bundle::Bundle;

/// A bundle and where its goldens are.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) bundle: Bundle,
    golden: Vec<u8>,
}

/// The committed fixtures; or all in the folder that `UNCLIP_FIXTURES` names, to try random configurations.
pub(crate) fn fixtures() -> Vec<Fixture> {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let mut folders: Vec<PathBuf> = match std::env::var_os("UNCLIP_FIXTURES") {
        None => ["tiny", "varied"].iter().map(|name| committed.join(name)).collect(),
        Some(other) => {
            let entries = std::fs::read_dir(other).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.is_dir()).collect()
        }
    };
    folders.sort();
    assert!(!folders.is_empty(), "no fixtures");
    folders.iter().map(|folder| Fixture::open(folder)).collect()
}

impl Fixture {
    fn open(folder: &Path) -> Self {
        let golden = folder.join("goldens/networks.safetensors");
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            bundle: Bundle::open(&folder.join("bundle")).unwrap(),
            golden: std::fs::read(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display())),
        }
    }

    /// A tensor of `networks.safetensors`.
    pub(crate) fn golden(&self, name: &str) -> Tensor {
        let file = SafeTensors::deserialize(&self.golden).unwrap();
        let view = file.tensor(name).unwrap();
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::I64 => Kind::Int64,
            Dtype::BOOL => Kind::Bool,
            other => panic!("{name} is {other:?}"),
        };
        let shape: Vec<i64> = view.shape().iter().map(|size| i64::try_from(*size).unwrap()).collect();
        Tensor::from_data_size(view.data(), &shape, kind)
    }

    /// A row of a golden, flat.
    pub(crate) fn row(&self, name: &str, row: i64) -> Vec<f32> {
        values(&self.golden(name).get(row))
    }

    /// A row of a mask.
    pub(crate) fn mask(&self, name: &str, row: i64) -> Vec<bool> {
        let row = self.golden(name).get(row).to_kind(Kind::Float);
        values(&row).iter().map(|value| *value != 0.0).collect()
    }

    /// Timesteps.
    pub(crate) fn timesteps(&self, name: &str) -> Vec<u32> {
        let timesteps = Vec::<i64>::try_from(&self.golden(name)).unwrap();
        timesteps.iter().map(|timestep| u32::try_from(*timestep).unwrap()).collect()
    }
}

/// All values of a tensor.
pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::<f32>::try_from(tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1])).unwrap()
}

/// Asserts that the largest difference is at most `tolerance`.
pub(crate) fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = largest_difference(found, expected);
    println!("{what}: largest difference {difference:.2e}");
    assert!(difference <= tolerance, "{what}: {difference} is above {tolerance}");
}

/// The largest absolute difference, or infinity where one is not a number.
pub(crate) fn largest_difference(found: &Tensor, expected: &Tensor) -> f64 {
    let difference = (found.to_kind(Kind::Float) - expected.to_kind(Kind::Float)).abs().max();
    let difference = f64::try_from(difference).unwrap();
    if difference.is_nan() { f64::INFINITY } else { difference }
}
