//! What `unclip import` finds out about the diffusion networks of a bundle.

use std::collections::HashMap;
use std::path::Path;

use crate::fixtures::{Fixture, fixtures};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use unclip_bundle::{Bundle, BundleError};
use unclip_models::{DecoderModel, Placement, PriorModel, Report, check_bundle};

/// A copy of a bundle that a test may spoil.
fn copy(fixture: &Fixture) -> (tempfile::TempDir, Bundle) {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(fixture.bundle.root(), folder.path());
    let bundle = Bundle::open(folder.path()).unwrap();
    (folder, bundle)
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_folder(&from, &to);
        } else {
            std::fs::write(&to, std::fs::read(&from).unwrap()).unwrap();
        }
    }
}

/// Rewrites a weights file with one tensor left out, one renamed and one flattened.
fn spoil(path: &Path, missing: &str, renamed: (&str, &str), flattened: &str) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = HashMap::new();
    for (name, view) in file.tensors() {
        let name = if name == renamed.0 { renamed.1.to_owned() } else { name };
        let shape =
            if name == flattened { vec![view.shape().iter().product()] } else { view.shape().to_vec() };
        if name != missing {
            let view = safetensors::tensor::TensorView::new(view.dtype(), shape, view.data()).unwrap();
            tensors.insert(name, view);
        }
    }
    std::fs::write(path, safetensors::serialize(&tensors, None).unwrap()).unwrap();
}

fn edit_config(bundle: &Bundle, file: &str, key: &str, value: Value) {
    let path = bundle.root().join(file);
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    std::fs::write(&path, config.to_string()).unwrap();
}

fn texts(report: &Report) -> Vec<String> {
    report.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_bundle_has_nothing_to_report() {
    for fixture in fixtures() {
        let report = check_bundle(&fixture.bundle);
        assert_eq!(texts(&report), [""; 0], "{}", fixture.name);
        assert_eq!(report.warnings, [""; 0], "{}", fixture.name);
    }
}

#[test]
fn every_bad_tensor_is_named() {
    for fixture in fixtures() {
        let (_folder, bundle) = copy(&fixture);
        let file = bundle.root().join("decoder/diffusion_pytorch_model.safetensors");
        let renamed = ("mid_block.attentions.0.to_q.bias", "mid_block.attentions.0.query.bias");
        spoil(&file, "conv_in.bias", renamed, "conv_out.weight");
        let report = check_bundle(&bundle);
        let file_name = file.display().to_string();
        let errors = texts(&report);
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors.iter().all(|error| error.contains(&file_name)), "{errors:?}");
        let missing = |name: &str| {
            report.errors.iter().any(|error| {
                matches!(error, BundleError::MissingTensor { tensor, expected, .. } if tensor == name && expected.len() == 1)
            })
        };
        assert!(missing("conv_in.bias") && missing(renamed.0), "{errors:?}");
        let misshapen = |error: &BundleError| match error {
            BundleError::Shape { tensor, expected, found, .. } => {
                tensor == "conv_out.weight"
                    && expected[2..] == [3, 3]
                    && *found == [expected.iter().product::<usize>()]
            }
            _ => false,
        };
        assert!(report.errors.iter().any(misshapen), "{errors:?}");
        assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
        assert!(report.warnings[0].contains(renamed.1), "{:?}", report.warnings);
        // Loading stops at the first.
        assert!(DecoderModel::load(&bundle, Placement::REFERENCE).is_err());
    }
}

#[test]
fn parts_must_fit_each_other() {
    for fixture in fixtures() {
        let (_folder, bundle) = copy(&fixture);
        edit_config(&bundle, "text_proj/config.json", "cross_attention_dim", json!(47));
        edit_config(&bundle, "super_res_last/config.json", "in_channels", json!(3));
        edit_config(&bundle, "text_encoder/config.json", "projection_dim", json!(47));
        let scheduler = "decoder_scheduler/scheduler_config.json";
        edit_config(&bundle, scheduler, "variance_type", json!("fixed_small_log"));
        let report = check_bundle(&bundle);
        let mismatches: Vec<_> = report
            .errors
            .iter()
            .filter(|error| matches!(error, BundleError::Mismatch { .. }))
            .map(ToString::to_string)
            .collect();
        assert_eq!(mismatches.len(), 4, "{mismatches:?}");
        for words in
            ["text_proj/config.json cross_attention_dim", "out_channels", "super_res_last", "text_encoder"]
        {
            assert!(mismatches.iter().any(|text| text.contains(words)), "{words}: {mismatches:?}");
        }
    }
}

/// Configs that would break the network's arithmetic are refused before it is built.
#[test]
fn impossible_configs_are_refused() {
    let cases = [
        ("decoder", "attention_head_dim", json!(7)),
        ("decoder", "attention_type", json!("gated")),
        ("decoder", "norm_eps", json!(-1.0)),
        ("super_res_first", "layers_per_block", json!([1, 1, 1])),
        ("super_res_first", "freq_shift", Value::Null),
    ];
    for fixture in fixtures() {
        for (folder, key, value) in &cases {
            let (_folder, bundle) = copy(&fixture);
            edit_config(&bundle, &format!("{folder}/config.json"), key, value.clone());
            let report = check_bundle(&bundle);
            assert!(!report.errors.is_empty(), "{folder} {key}");
        }
    }
}

#[test]
fn a_missing_folder_is_an_error() {
    let fixture = &fixtures()[0];
    let (_folder, bundle) = copy(fixture);
    std::fs::remove_dir_all(bundle.root().join("prior")).unwrap();
    assert_eq!(PriorModel::check(&bundle).errors.len(), 2);
    assert!(PriorModel::load(&bundle, Placement::REFERENCE).is_err());
}
