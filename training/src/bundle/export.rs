//! The parts of several runs as one bundle.

use std::path::{Path, PathBuf};

use half::bf16;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use unclip_bundle::{Bundle, BundleSampling, Component, SAMPLING_FILE};

use super::chain::{Placed, place};
use super::weights::{Bytes, Precision, rounded, write};
use crate::TrainError;
use crate::error::{make_folder, write_json};
use crate::run::RunFolder;

/// The diffusers that the configs are written for.
pub(super) const DIFFUSERS_VERSION: &str = "0.42.1";

/// What goes into a bundle.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The runs' folders, in any order; each adds the parts it trained.
    pub runs: Vec<PathBuf>,
    /// The bundle's folder; parts that are there already are replaced.
    pub output: PathBuf,
    /// The dtype of its weights.
    pub precision: Precision,
}

/// Every folder of a Karlo bundle and its class, as `model_index.json` lists them.
const CLASSES: [(Component, &str, &str); 12] = [
    (Component::Decoder, "diffusers", "UNet2DConditionModel"),
    (Component::DecoderScheduler, "diffusers", "UnCLIPScheduler"),
    (Component::FeatureExtractor, "transformers", "CLIPImageProcessor"),
    (Component::ImageEncoder, "transformers", "CLIPVisionModelWithProjection"),
    (Component::Prior, "diffusers", "PriorTransformer"),
    (Component::PriorScheduler, "diffusers", "UnCLIPScheduler"),
    (Component::SuperResFirst, "diffusers", "UNet2DModel"),
    (Component::SuperResLast, "diffusers", "UNet2DModel"),
    (Component::SuperResScheduler, "diffusers", "UnCLIPScheduler"),
    (Component::TextEncoder, "transformers", "CLIPTextModelWithProjection"),
    (Component::TextProj, "diffusers", "UnCLIPTextProjModel"),
    (Component::Tokenizer, "transformers", "CLIPTokenizer"),
];

/// Assembles a bundle in diffusers' layout out of the averaged parts of runs: `unclip import` takes it, and each part
/// loads with its own `from_pretrained`. Returns the parts that are still missing.
///
/// # Errors
/// A folder that is no run, runs that were trained with another CLIP, or a place that can't be written.
pub fn export(options: &ExportOptions) -> Result<Vec<Component>, TrainError> {
    same_clip(&options.runs)?;
    let placed = place(&options.runs, &options.output)?;
    make_folder(&options.output)?;
    for Placed { run, target } in &placed {
        let parts = RunFolder::at(run).bundle();
        for (component, _, _) in CLASSES {
            let part = parts.join(component.folder());
            if part.is_dir() {
                copy_part(&part, &target.join(component.folder()), options.precision)?;
            }
        }
        join_sampling(&parts, target)?;
    }
    write_index(&options.output)?;
    let bundle = Bundle::open(&options.output)?;
    Ok(CLASSES.iter().map(|(component, ..)| *component).filter(|component| !bundle.has(*component)).collect())
}

/// Adds how a run's stage samples; what the bundle says of other stages stays.
fn join_sampling(parts: &Path, target: &Path) -> Result<(), TrainError> {
    let mut sampling = BundleSampling::read(target)?;
    sampling.merge(BundleSampling::read(parts)?);
    match sampling.is_empty() {
        true => Ok(()),
        false => write_json(&target.join(SAMPLING_FILE), &sampling),
    }
}

/// Writes `model_index.json` for the parts that are there.
pub(crate) fn write_index(root: &Path) -> Result<(), TrainError> {
    let mut index = json!({ "_class_name": "UnCLIPPipeline", "_diffusers_version": DIFFUSERS_VERSION });
    for (component, library, class) in CLASSES {
        if root.join(component.folder()).is_dir() {
            index[component.folder()] = json!([library, class]);
        }
    }
    write_json(&root.join("model_index.json"), &index)
}

/// The fingerprint of CLIP's towers in a bundle: what embeddings of one space have in common.
///
/// # Errors
/// A tower that is missing or can't be read.
pub(crate) fn clip_fingerprint(bundle: &Bundle) -> Result<String, TrainError> {
    let mut files = Vec::new();
    for component in [Component::TextEncoder, Component::ImageEncoder] {
        files.extend(bundle.weights(component)?.files().map(Path::to_path_buf));
    }
    Ok(unclip_bundle::fingerprint(&files)?)
}

/// All runs must have been trained with the CLIP that is exported; runs of CLIP itself are compared too.
fn same_clip(runs: &[PathBuf]) -> Result<(), TrainError> {
    let mut first: Option<(PathBuf, String)> = None;
    for run in runs {
        let folder = RunFolder::at(run);
        let info = folder.info()?;
        let own = match info.stage.as_str() {
            "clip" => Some(clip_fingerprint(&Bundle::open(&folder.bundle())?)?),
            _ => info.clip,
        };
        let Some(own) = own else {
            continue;
        };
        match &first {
            None => first = Some((run.clone(), own)),
            Some((_, known)) if *known == own => {}
            Some((other, _)) => {
                let reason = format!(
                    "it was trained with another CLIP than {}; train the prior and the decoder again after CLIP",
                    other.display()
                );
                return Err(TrainError::Export { path: run.clone(), reason });
            }
        }
    }
    Ok(())
}

/// Copies a part's files; its weights change their dtype on the way.
fn copy_part(from: &Path, to: &Path, precision: Precision) -> Result<(), TrainError> {
    make_folder(to)?;
    for entry in std::fs::read_dir(from).map_err(TrainError::io(from))? {
        let source = entry.map_err(TrainError::io(from))?.path();
        let Some(name) = source.file_name() else {
            continue;
        };
        let target = to.join(name);
        match source.extension().and_then(|end| end.to_str()) {
            Some("safetensors") => convert(&source, &target, precision)?,
            Some("json" | "txt") => {
                std::fs::copy(&source, &target).map_err(TrainError::io(&target))?;
            }
            _ => {}
        }
    }
    record_dtype(to, precision)
}

/// transformers reads the dtype of a model from its config.
fn record_dtype(folder: &Path, precision: Precision) -> Result<(), TrainError> {
    let path = folder.join("config.json");
    let is_tower = folder.ends_with("text_encoder") || folder.ends_with("image_encoder");
    if !is_tower || !path.is_file() {
        return Ok(());
    }
    let mut config: Value = unclip_bundle::config::read_json(&path)?;
    config["dtype"] = json!(match precision {
        Precision::F32 => "float32",
        Precision::Bf16 => "bfloat16",
    });
    write_json(&path, &config)
}

fn convert(from: &Path, to: &Path, precision: Precision) -> Result<(), TrainError> {
    let bytes = std::fs::read(from).map_err(TrainError::io(from))?;
    let damaged = |error: safetensors::SafeTensorError| TrainError::Export {
        path: from.to_path_buf(),
        reason: error.to_string(),
    };
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let values = floats(view.dtype(), view.data());
        let (dtype, data) = match precision {
            Precision::F32 => (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Precision::Bf16 => (Dtype::BF16, rounded(&values)),
        };
        tensors.push((name.to_owned(), Bytes { dtype, shape: view.shape().to_vec(), data }));
    }
    write(to, &tensors)
}

/// Runs hold f32; a bundle that is exported again may hold bf16.
fn floats(dtype: Dtype, data: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::BF16 => data.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        _ => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    }
}
