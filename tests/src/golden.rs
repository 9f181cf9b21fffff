//! What diffusers computed: see `tests/reference`.

use std::collections::HashMap;

use image::RgbImage;
use safetensors::SafeTensors;
use serde::Deserialize;
use unclip_proto::v1::{GenerateImageRequest, SamplingOptions};

use crate::bundle::fixtures;

#[derive(Clone, Copy, Debug, Deserialize)]
struct Steps {
    prior: u32,
    decoder: u32,
    super_res: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Guidance {
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

    /// The same question as arguments of `unclip generate`.
    pub fn arguments(&self) -> Vec<String> {
        let Steps { prior, decoder, super_res } = self.steps;
        [
            ("--prompt", self.prompt.clone()),
            ("--seed", self.seed.to_string()),
            ("--count", self.n.to_string()),
            ("--prior-steps", prior.to_string()),
            ("--decoder-steps", decoder.to_string()),
            ("--upsampler-steps", super_res.to_string()),
            ("--prior-guidance", self.guidance.prior.to_string()),
            ("--decoder-guidance", self.guidance.decoder.to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    /// Options for prior, decoder and upsampler when they are called one by one: diffusers guides in neither stage when
    /// no scale is above 1.
    pub fn stage_options(&self) -> [Option<SamplingOptions>; 3] {
        let Guidance { prior, decoder } = self.guidance;
        let [prior, decoder] = if prior <= 1.0 && decoder <= 1.0 { [1.0; 2] } else { [prior, decoder] };
        [
            options(self.steps.prior, Some(prior)),
            options(self.steps.decoder, Some(decoder)),
            options(self.steps.super_res, None),
        ]
    }

    /// The caption.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }
}

fn options(steps: u32, guidance_scale: Option<f32>) -> Option<SamplingOptions> {
    Some(SamplingOptions { steps: Some(steps), guidance_scale, ..Default::default() })
}

/// An f32 array.
pub struct Array {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub values: Vec<f32>,
}

impl Array {
    /// The elements for a batch of `count`. An array of one element on its outermost axis stands for all: a caption is
    /// encoded once for all pictures.
    pub fn for_batch(&self, count: usize) -> Vec<f32> {
        if self.shape[0] == count { self.values.clone() } else { self.values.repeat(count) }
    }

    /// Element `index` of the outermost axis.
    pub fn row(&self, index: usize) -> &[f32] {
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

/// Diffusers' variations of a picture.
pub struct Variation {
    /// What was asked, and the answer.
    pub golden: Golden,
    /// The picture.
    pub source: RgbImage,
}

/// All runs from caption to picture of a fixture. Variations of a picture start elsewhere, see [`variations`].
pub fn goldens(fixture: &str) -> Vec<Golden> {
    cases(fixture).into_iter().filter(|golden| golden.case.image.is_none()).collect()
}

/// All variations of a picture of a fixture.
pub fn variations(fixture: &str) -> Vec<Variation> {
    let path = fixtures().join(fixture).join("goldens/image.safetensors");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let source = |name: &str| {
        let view = file.tensor(&format!("{name}.rgb")).unwrap();
        let [height, width, 3] = view.shape()[..] else { panic!("{name}: shape {:?}", view.shape()) };
        let size = [width, height].map(|side| u32::try_from(side).unwrap());
        RgbImage::from_raw(size[0], size[1], view.data().to_vec()).unwrap()
    };
    let variation = |golden: Golden| {
        let source = source(golden.case.image.as_ref()?);
        Some(Variation { golden, source })
    };
    let variations: Vec<_> = cases(fixture).into_iter().filter_map(variation).collect();
    assert!(!variations.is_empty(), "{}: no variations; run `make fixtures`", path.display());
    variations
}

fn cases(fixture: &str) -> Vec<Golden> {
    let folder = fixtures().join(fixture).join("goldens");
    let text = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    let goldens: Vec<_> = cases
        .into_iter()
        .map(|case| Golden { tensors: Array::read_all(&folder.join(&case.file)), case })
        .collect();
    assert!(!goldens.is_empty(), "{}: no cases; run `make fixtures`", folder.display());
    goldens
}
