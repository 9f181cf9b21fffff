//! Bundles that are whole, and what is said of those that are not. Damage is done to temporary copies of a fixture.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use unclip_bundle::config::{PriorConfig, UNet2DConditionConfig, UNet2DConfig};
use unclip_bundle::{Bundle, BundleError, Component, Manifest, Weights};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny/bundle")
}

fn copied(folder: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// The decoder's config with one key changed, read.
fn decoder_with(key: &str, value: Value) -> Result<UNet2DConditionConfig, BundleError> {
    let copy = copied("decoder");
    let path = copy.path().join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
    unclip_bundle::config::read(copy.path())
}

#[test]
fn a_whole_bundle_reads() {
    let bundle = Bundle::open(&fixture()).unwrap();
    assert!(bundle.has(Component::ImageEncoder));
    assert_eq!(bundle.config::<PriorConfig>(Component::Prior).unwrap().additional_embeddings, 4);
    bundle.config::<UNet2DConditionConfig>(Component::Decoder).unwrap();
    bundle.config::<UNet2DConfig>(Component::SuperResLast).unwrap();
    assert!(bundle.weights(Component::Prior).unwrap().contains("prd_embedding"));
}

#[test]
fn another_pipeline_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model_index.json"), r#"{"_class_name": "StableDiffusionPipeline"}"#)
        .unwrap();
    let error = Bundle::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("StableDiffusionPipeline") && error.contains("UnCLIPPipeline"), "{error}");
    assert!(matches!(Bundle::open(&folder.path().join("nowhere")), Err(BundleError::Missing { .. })));
}

#[test]
fn configs_that_would_be_another_network_are_refused() {
    assert!(decoder_with("act_fn", json!("silu")).is_ok());
    for (key, value) in [
        ("act_fn", json!("gelu")),
        ("class_embed_type", json!("timestep")),
        ("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
        ("block_out_channels", json!([0, 64])),
        ("block_out_channels", json!([33, 64])),
        ("attention_head_dim", json!([8])),
        ("sample_size", json!(15)),
        ("encoder_hid_dim", json!(7)),
    ] {
        let error = decoder_with(key, value.clone()).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains(key), "{key} {value}: {error}");
    }
    let error = decoder_with("down_block_types", json!(["DownBlock2D"])).unwrap_err().to_string();
    assert!(error.contains("DownBlock2D"), "{error}");
}

#[test]
fn weights_say_what_is_wrong_with_them() {
    let copy = copied("prior");
    let stem = Component::Prior.weights_stem();
    let weights = Weights::open(copy.path(), stem).unwrap();
    let wrong = weights.tensor("prd_embedding", &[1, 1, 7]).unwrap_err().to_string();
    assert!(wrong.contains("prd_embedding") && wrong.contains("[1, 1, 7]"), "{wrong}");
    assert!(matches!(weights.tensor("nothing", &[1]), Err(BundleError::MissingTensor { .. })));

    let file = copy.path().join(format!("{stem}.safetensors"));
    let bytes = fs::read(&file).unwrap();
    // A mapped file must not be cut under its mapping: the damaged ones take its place.
    for damaged in [&bytes[..4], &bytes[..bytes.len() / 2], b"".as_slice()] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, damaged).unwrap();
        assert!(Weights::open(copy.path(), stem).is_err(), "{} bytes", damaged.len());
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(Weights::open(copy.path(), stem), Err(BundleError::Missing { .. })));
    fs::write(copy.path().join(format!("{stem}.bin")), b"pickle").unwrap();
    assert!(matches!(Weights::open(copy.path(), stem), Err(BundleError::Pickle { .. })));
}

#[test]
fn shards_are_read_as_one() {
    let copy = copied("prior");
    let stem = Component::Prior.weights_stem();
    fs::rename(copy.path().join(format!("{stem}.safetensors")), copy.path().join("part-1.safetensors"))
        .unwrap();
    let index = copy.path().join(format!("{stem}.safetensors.index.json"));
    fs::write(&index, json!({"weight_map": {"prd_embedding": "part-1.safetensors"}}).to_string()).unwrap();
    assert!(Weights::open(copy.path(), stem).unwrap().contains("prd_embedding"));
    for outside in ["../part-1.safetensors", "part-2.safetensors"] {
        fs::write(&index, json!({"weight_map": {"prd_embedding": outside}}).to_string()).unwrap();
        let error = Weights::open(copy.path(), stem).err().unwrap().to_string();
        assert!(error.contains("names it as a shard"), "{error}");
    }
}

#[test]
fn a_manifest_comes_back_and_knows_its_stages() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Manifest::read(folder.path()), Err(BundleError::NotImported { .. })));
    let manifest = Manifest::compute(&Bundle::open(&fixture()).unwrap()).unwrap();
    manifest.write(folder.path()).unwrap();
    let back = Manifest::read(folder.path()).unwrap();
    assert_eq!(back, manifest);
    assert_eq!(back.stage(folder.path(), "prior").unwrap().len(), 32);
    assert!(back.stage(folder.path(), "kitchen").is_err());
}

#[test]
fn a_fingerprint_tells_files_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (one, two) = (file("1", "ab"), file("2", "c"));
    let (three, four) = (file("3", "a"), file("4", "bc"));
    let of = |files: &[PathBuf]| unclip_bundle::fingerprint(files).unwrap();
    assert_eq!(of(&[one.clone(), two.clone()]), of(&[one.clone(), two.clone()]));
    assert_ne!(of(&[one, two]), of(&[three, four]));
}
