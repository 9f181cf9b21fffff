//! Fixtures: bundles with random weights, and what transformers 5.23.0 makes of them (tests/reference).

#![expect(dead_code, reason = "every test binary uses a part of this")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use unclip_bundle::Bundle;

pub(crate) const FIXTURES: [&str; 2] = ["tiny", "varied"];

/// Largest accepted difference of a network's output: f32 kernels of ONNX Runtime against those of torch 2.11.0.
pub(crate) const TOLERANCE: f32 = 1e-4;

/// A copy of a fixture's bundle, with both towers exported.
pub(crate) struct Imported {
    pub(crate) bundle: Bundle,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
    assert!(folder.is_dir(), "{} is missing", folder.display());
    folder
}

/// A copy of a fixture's CLIP parts and prior config, not imported.
pub(crate) fn copied(name: &str) -> Imported {
    let folder = tempfile::tempdir().unwrap();
    let source = fixture(name).join("bundle");
    std::fs::copy(source.join("model_index.json"), folder.path().join("model_index.json")).unwrap();
    for part in ["tokenizer", "text_encoder", "image_encoder", "feature_extractor", "prior"] {
        let target = folder.path().join(part);
        std::fs::create_dir(&target).unwrap();
        for entry in std::fs::read_dir(source.join(part)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
        }
    }
    Imported { bundle: Bundle::open(folder.path()).unwrap(), folder }
}

pub(crate) fn imported(name: &str) -> Imported {
    start();
    let copy = copied(name);
    unclip_clip::export_text_tower(&copy.bundle).unwrap();
    unclip_clip::export_image_tower(&copy.bundle).unwrap();
    copy
}

/// Loads ONNX Runtime as a server does.
pub(crate) fn start() {
    let library = std::env::var_os("UNCLIP_ONNXRUNTIME").map(PathBuf::from);
    unclip_clip::init(library.as_deref()).unwrap();
}

/// The tensors of a golden file: shape and little-endian bytes.
pub(crate) struct Goldens(HashMap<String, (Vec<usize>, Vec<u8>)>);

impl Goldens {
    pub(crate) fn read(name: &str, file: &str) -> Self {
        let path = fixture(name).join("goldens").join(file);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let owned = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            (name, (view.shape().to_vec(), view.data().to_vec()))
        };
        Self(tensors.tensors().into_iter().map(owned).collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.0[name].0
    }

    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        &self.0[name].1
    }

    pub(crate) fn f32s(&self, name: &str) -> Vec<f32> {
        self.bytes(name).chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    pub(crate) fn i64s(&self, name: &str) -> Vec<i64> {
        self.bytes(name).chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }
}

/// The largest difference of two tensors of the same length.
pub(crate) fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    // `max` of f32 drops NaN; a NaN must fail.
    differences.fold(0.0, |largest, next| if next <= largest { largest } else { next })
}
