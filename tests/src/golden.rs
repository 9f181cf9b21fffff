//! What diffusers computed: see `tests/reference`.

use std::collections::HashMap;

use safetensors::SafeTensors;
use serde::Deserialize;
use unclip_proto::v1::{GenerateImageRequest, SamplingOptions};

use crate::bundle::fixtures;

/// Steps by stage.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Steps {
    prior: u32,
    decoder: u32,
    super_res: u32,
}

/// Guidance scale by stage.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Guidance {
    prior: f32,
    decoder: f32,
}

/// What was asked.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    prompt: String,
    /// Seed of the first picture.
    pub seed: u64,
    steps: Steps,
    guidance: Guidance,
    /// Pictures.
    pub n: u32,
    image: Option<String>,
    file: String,
    /// How far diffusers' own picture moves when its networks compute in bf16.
    pub bf16_mean_abs_error: f64,
}

impl Case {
    /// The same question to the gateway.
    pub fn request(&self) -> GenerateImageRequest {
        let options = |steps, guidance_scale| {
            Some(SamplingOptions { steps: Some(steps), guidance_scale, ..Default::default() })
        };
        GenerateImageRequest {
            prompt: self.prompt.clone(),
            n: Some(self.n),
            seed: Some(self.seed),
            prior: options(self.steps.prior, Some(self.guidance.prior)),
            decoder: options(self.steps.decoder, Some(self.guidance.decoder)),
            upsampler: options(self.steps.super_res, None),
            return_tensors: true,
            ..Default::default()
        }
    }
}

/// An f32 array.
pub struct Array {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub values: Vec<f32>,
}

impl Array {
    /// Element `index` of the outermost axis. An array of one element there stands for every index: a caption is encoded
    /// once for all pictures.
    pub fn row(&self, index: usize) -> &[f32] {
        let index = if self.shape[0] == 1 { 0 } else { index };
        let length = self.values.len() / self.shape[0];
        &self.values[index * length..(index + 1) * length]
    }

    /// Reads all tensors of a safetensors file, which must be f32.
    pub fn read_all(path: &std::path::Path) -> HashMap<String, Self> {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let arrays = file.tensors().into_iter().map(|(name, view)| {
            assert_eq!(view.dtype(), safetensors::Dtype::F32, "{}: {name}", path.display());
            let values =
                view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            (name, Self { shape: view.shape().to_vec(), values })
        });
        arrays.collect()
    }
}

/// A question and diffusers' answer.
pub struct Golden {
    /// The question.
    pub case: Case,
    /// `text_embedding`, `text_hidden_states`, `image_embedding`, `decoded` and `image`, batch first.
    pub tensors: HashMap<String, Array>,
}

/// All runs from caption to picture of a fixture. Variations of a picture start elsewhere and are left out.
pub fn goldens(fixture: &str) -> Vec<Golden> {
    let folder = fixtures().join(fixture).join("goldens");
    let text = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    let cases = cases.into_iter().filter(|case| case.image.is_none());
    let goldens: Vec<_> =
        cases.map(|case| Golden { tensors: Array::read_all(&folder.join(&case.file)), case }).collect();
    assert!(!goldens.is_empty(), "{}: no cases; run `make fixtures`", folder.display());
    goldens
}
