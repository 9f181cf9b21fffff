//! What export and loading make of other dtypes, shards, and broken bundles.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

mod common;

use std::collections::HashMap;
use std::path::Path;

use common::{TOLERANCE, copied, difference, imported};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use unclip_bundle::{Bundle, BundleError};
use unclip_clip::{
    ClipError, ImageTower, TextTower, check_image_tower, check_text_tower, export_image_tower,
    export_text_tower, text_tower_warnings,
};

type Tensors = HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn read(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let owned = |(name, view): (String, TensorView<'_>)| {
        (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    tensors.tensors().into_iter().map(owned).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Rewrites a weights file. Mapped files are replaced, never written in place.
fn edit(path: &Path, change: impl FnOnce(&mut Tensors)) {
    let mut tensors = read(path);
    change(&mut tensors);
    std::fs::remove_file(path).unwrap();
    write(path, &tensors);
}

/// Rounds every f32 to a half type, and stores it as that (`narrow`) or as f32 again.
fn round(tensors: &mut Tensors, dtype: Dtype, narrow: bool) {
    for (own, _, data) in tensors.values_mut().filter(|(own, _, _)| *own == Dtype::F32) {
        let values = data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        let rounded = values.map(|value| match dtype {
            Dtype::F16 => (f16::from_f32(value).to_le_bytes(), f16::from_f32(value).to_f32()),
            _ => (bf16::from_f32(value).to_le_bytes(), bf16::from_f32(value).to_f32()),
        });
        if narrow {
            *data = rounded.flat_map(|(bytes, _)| bytes).collect();
            *own = dtype;
        } else {
            *data = rounded.flat_map(|(_, value)| value.to_le_bytes()).collect();
        }
    }
}

fn text_embedding(bundle: &Bundle) -> Vec<f32> {
    export_text_tower(bundle).unwrap();
    TextTower::load(bundle, 1).unwrap().encode(&["a red fox in the snow"]).unwrap().remove(0).embedding
}

fn image_embedding(bundle: &Bundle) -> Vec<f32> {
    export_image_tower(bundle).unwrap();
    let picture = image::RgbImage::from_fn(50, 40, |x, y| {
        image::Rgb([x.to_le_bytes()[0] * 5, y.to_le_bytes()[0] * 6, 77])
    });
    ImageTower::load(bundle, 1).unwrap().encode(&[picture]).unwrap().remove(0)
}

#[test]
fn half_precision_weights_give_what_their_values_in_f32_give() {
    common::start();
    for dtype in [Dtype::F16, Dtype::BF16] {
        let [narrow, wide] = [true, false].map(|narrow| {
            let copy = copied("varied");
            for part in ["text_encoder", "image_encoder"] {
                edit(&copy.folder.path().join(part).join("model.safetensors"), |tensors| {
                    round(tensors, dtype, narrow);
                });
            }
            (text_embedding(&copy.bundle), image_embedding(&copy.bundle))
        });
        assert!(difference(&narrow.0, &wide.0) < TOLERANCE, "{dtype:?}");
        assert!(difference(&narrow.1, &wide.1) < TOLERANCE, "{dtype:?}");
    }
}

#[test]
fn sharded_weights_are_read_where_they_lie() {
    common::start();
    let copy = copied("tiny");
    let whole = text_embedding(&copy.bundle);
    let folder = copy.folder.path().join("text_encoder");
    let tensors = read(&folder.join("model.safetensors"));
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    let mut shards = [Tensors::new(), Tensors::new()];
    let mut map = HashMap::new();
    for (at, (name, tensor)) in tensors.into_iter().enumerate() {
        map.insert(name.clone(), format!("model-0000{}-of-00002.safetensors", at % 2 + 1));
        shards[at % 2].insert(name, tensor);
    }
    for (at, shard) in shards.iter().enumerate() {
        write(&folder.join(format!("model-0000{}-of-00002.safetensors", at + 1)), shard);
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    std::fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert!(difference(&text_embedding(&copy.bundle), &whole) < 1e-6);
}

#[test]
fn data_that_is_not_aligned_is_read_right() {
    common::start();
    let copy = copied("tiny");
    let whole = text_embedding(&copy.bundle);
    let path = copy.folder.path().join("text_encoder/model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    // A header may end in any number of spaces.
    let shifted =
        [&(header as u64 + 3).to_le_bytes(), &bytes[8..][..header], b"   ", &bytes[8 + header..]].concat();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, shifted).unwrap();
    assert!(difference(&text_embedding(&copy.bundle), &whole) < 1e-6);
}

#[test]
fn weights_behind_a_symbolic_link_are_read() {
    common::start();
    let copy = copied("tiny");
    let whole = (text_embedding(&copy.bundle), image_embedding(&copy.bundle));
    // As in the cache of huggingface_hub.
    let blobs = tempfile::tempdir().unwrap();
    for part in ["text_encoder", "image_encoder"] {
        let path = copy.folder.path().join(part).join("model.safetensors");
        let blob = blobs.path().join(part);
        std::fs::rename(&path, &blob)
            .or_else(|_| std::fs::copy(&path, &blob).and_then(|_| std::fs::remove_file(&path)))
            .unwrap();
        std::os::unix::fs::symlink(&blob, &path).unwrap();
    }
    assert!(difference(&text_embedding(&copy.bundle), &whole.0) < 1e-6);
    assert!(difference(&image_embedding(&copy.bundle), &whole.1) < 1e-6);
}

#[test]
fn the_graph_stores_no_weight() {
    let copy = imported("tiny");
    let folder = copy.folder.path().join("text_encoder");
    let length = |file: &str| std::fs::metadata(folder.join(file)).unwrap().len();
    assert!(length("model.onnx") < 40_000, "{}", length("model.onnx"));
    assert!(length("model.safetensors") > 100_000);
}

#[test]
fn a_bundle_that_is_not_imported_says_so() {
    common::start();
    let copy = copied("tiny");
    let text = TextTower::load(&copy.bundle, 1).err().unwrap();
    let image = ImageTower::load(&copy.bundle, 1).err().unwrap();
    for error in [text, image] {
        assert!(matches!(error, ClipError::Bundle(BundleError::NotImported { .. })), "{error}");
        assert!(error.to_string().contains("unclip import"), "{error}");
    }
}

#[test]
fn a_graph_of_other_weights_is_stale() {
    let copy = imported("tiny");
    edit(&copy.folder.path().join("text_encoder/model.safetensors"), |tensors| {
        round(tensors, Dtype::F16, true);
    });
    let error = TextTower::load(&copy.bundle, 1).err().unwrap();
    assert!(matches!(error, ClipError::Bundle(BundleError::NotImported { .. })), "{error}");
}

#[test]
fn intact_bundles_pass_the_check() {
    for name in common::FIXTURES {
        let copy = copied(name);
        assert!(check_text_tower(&copy.bundle).is_empty());
        assert!(check_image_tower(&copy.bundle).is_empty());
    }
}

#[test]
fn the_check_names_every_bad_tensor() {
    let copy = copied("tiny");
    edit(&copy.folder.path().join("text_encoder/model.safetensors"), |tensors| {
        tensors.remove("text_model.final_layer_norm.bias");
        tensors.get_mut("text_projection.weight").unwrap().1.reverse();
        tensors.get_mut("text_model.encoder.layers.1.mlp.fc1.weight").unwrap().1.reverse();
    });
    let errors = check_text_tower(&copy.bundle);
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert!(
        texts.iter().any(|text| text.contains("`text_model.final_layer_norm.bias` of shape [32] is missing")),
        "{texts:?}"
    );
    let shape = texts.iter().find(|text| text.contains("mlp.fc1.weight")).unwrap();
    assert!(shape.contains("[32, 64]") && shape.contains("[64, 32]"), "{shape}");
    // 32 x 32 reversed is still 32 x 32.
    assert_eq!(errors.len(), 2, "{texts:?}");
    assert!(export_text_tower(&copy.bundle).is_err());
}

#[test]
fn pickled_and_missing_weights_are_refused() {
    let copy = copied("tiny");
    let folder = copy.folder.path().join("image_encoder");
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    assert!(matches!(check_image_tower(&copy.bundle)[..], [BundleError::Missing { .. }]));
    std::fs::write(folder.join("pytorch_model.bin"), b"").unwrap();
    assert!(matches!(check_image_tower(&copy.bundle)[..], [BundleError::Pickle { .. }]));
    assert!(matches!(export_image_tower(&copy.bundle), Err(BundleError::Pickle { .. })));
}

/// Changes one key of a JSON file.
fn set(folder: &Path, file: &str, key: &str, value: serde_json::Value) {
    let path = folder.join(file);
    let mut json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    json[key] = value;
    std::fs::write(path, json.to_string()).unwrap();
}

#[test]
fn parts_that_do_not_fit_are_told_together() {
    let copy = copied("tiny");
    let root = copy.folder.path();
    set(root, "tokenizer/tokenizer_config.json", "model_max_length", 78.into());
    set(root, "text_encoder/config.json", "eos_token_id", 5.into());
    set(root, "text_encoder/config.json", "vocab_size", 500.into());
    set(root, "prior/config.json", "embedding_dim", 31.into());
    set(root, "feature_extractor/preprocessor_config.json", "crop_size", 31.into());
    let text: Vec<_> = check_text_tower(&copy.bundle).iter().map(ToString::to_string).collect();
    for key in ["max_position_embeddings", "vocab_size", "hidden_size", "projection_dim", "num_embeddings"] {
        assert!(text.iter().any(|text| text.contains(key)), "{key}: {text:?}");
    }
    let image: Vec<_> = check_image_tower(&copy.bundle).iter().map(ToString::to_string).collect();
    for key in ["crop_size", "projection_dim"] {
        assert!(image.iter().any(|text| text.contains(key)), "{key}: {image:?}");
    }
}

#[test]
fn a_pooled_token_that_ends_no_text_is_a_warning() {
    let copy = copied("tiny");
    assert_eq!(text_tower_warnings(&copy.bundle), [""; 0]);
    set(copy.folder.path(), "text_encoder/config.json", "eos_token_id", 5.into());
    let warnings = text_tower_warnings(&copy.bundle);
    assert!(warnings[0].contains("eos_token_id is 5"), "{warnings:?}");
}

#[test]
fn damaged_tokenizers_are_errors() {
    type Damage = (&'static str, &'static [u8]);
    let damages: [Damage; 5] = [
        ("vocab.json", b"{"),
        ("vocab.json", b"{\"a\": -1}"),
        ("vocab.json", b"{}"),
        ("merges.txt", b"#version: 0.2\na b c\n"),
        ("merges.txt", b"#version: 0.2\nno such\n"),
    ];
    for (file, content) in damages {
        let copy = copied("tiny");
        let path = copy.folder.path().join("tokenizer").join(file);
        std::fs::write(&path, content).unwrap();
        let errors = check_text_tower(&copy.bundle);
        assert!(!errors.is_empty(), "{file}");
        std::fs::remove_file(path).unwrap();
        assert!(matches!(check_text_tower(&copy.bundle)[..], [BundleError::Missing { .. }]), "{file}");
    }
}
