//! Bundles that are whole, and what is said of those that are not. Damage is done to temporary copies of a fixture.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use unclip_bundle::config::{PriorConfig, UNet2DConditionConfig, UNet2DConfig, upsampler_sides};
use unclip_bundle::{Bundle, BundleError, Component, Manifest, Stage, WeightFiles, Weights};

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

/// The weights of a folder, without a variant asked for.
fn open(folder: &Path, stem: &str) -> Result<Weights, BundleError> {
    Weights::open(WeightFiles::find(folder, stem, None)?)
}

/// A copy of the whole fixture.
fn copied_bundle() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture()).unwrap() {
        let path = entry.unwrap().path();
        let target = copy.path().join(path.file_name().unwrap());
        if path.is_file() {
            fs::copy(&path, target).unwrap();
            continue;
        }
        fs::create_dir(&target).unwrap();
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
        }
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
    let weights = open(copy.path(), stem).unwrap();
    let wrong = weights.tensor("prd_embedding", &[1, 1, 7]).unwrap_err().to_string();
    assert!(wrong.contains("prd_embedding") && wrong.contains("[1, 1, 7]"), "{wrong}");
    assert!(matches!(weights.tensor("nothing", &[1]), Err(BundleError::MissingTensor { .. })));

    let file = copy.path().join(format!("{stem}.safetensors"));
    let bytes = fs::read(&file).unwrap();
    // A mapped file must not be cut under its mapping: the damaged ones take its place.
    for damaged in [&bytes[..4], &bytes[..bytes.len() / 2], b"".as_slice()] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, damaged).unwrap();
        assert!(open(copy.path(), stem).is_err(), "{} bytes", damaged.len());
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(open(copy.path(), stem), Err(BundleError::Missing { .. })));
    fs::write(copy.path().join(format!("{stem}.bin")), b"pickle").unwrap();
    assert!(matches!(open(copy.path(), stem), Err(BundleError::Pickle { .. })));
}

#[test]
fn shards_are_read_as_one() {
    let copy = copied("prior");
    let stem = Component::Prior.weights_stem();
    fs::rename(copy.path().join(format!("{stem}.safetensors")), copy.path().join("part-1.safetensors"))
        .unwrap();
    let index = copy.path().join(format!("{stem}.safetensors.index.json"));
    fs::write(&index, json!({"weight_map": {"prd_embedding": "part-1.safetensors"}}).to_string()).unwrap();
    assert!(open(copy.path(), stem).unwrap().contains("prd_embedding"));
    for outside in ["../part-1.safetensors", "part-2.safetensors"] {
        fs::write(&index, json!({"weight_map": {"prd_embedding": outside}}).to_string()).unwrap();
        let error = open(copy.path(), stem).err().unwrap().to_string();
        assert!(error.contains("names it as a shard"), "{error}");
    }
}

#[test]
fn the_last_upsampler_takes_its_size_from_the_first() {
    let copy = copied_bundle();
    let bundle = Bundle::open(copy.path()).unwrap();
    let last: UNet2DConfig = bundle.config(Component::SuperResLast).unwrap();
    assert_eq!(last.trunk.sample_size, None, "the fixture has Karlo's null");
    assert_eq!(upsampler_sides(&bundle).unwrap(), [32, 32]);
    let first = copy.path().join("super_res_first/config.json");
    let text = fs::read_to_string(&first).unwrap();
    assert!(text.contains("\"sample_size\": 32"));
    fs::write(&first, text.replace("\"sample_size\": 32", "\"sample_size\": null")).unwrap();
    let error = upsampler_sides(&bundle).unwrap_err().to_string();
    assert!(error.contains("super_res_first/config.json: sample_size is null"), "{error}");
    fs::write(&first, text.replace("\"sample_size\": 32", "\"sample_size\": [32, 64]")).unwrap();
    assert_eq!(upsampler_sides(&bundle).unwrap(), [32, 64]);
}

#[test]
fn a_manifest_knows_a_bundle_that_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Manifest::read(folder.path()), Err(BundleError::NotImported { .. })));
    let copy = copied_bundle();
    let root = copy.path();
    let bundle = Bundle::open(root).unwrap();
    Manifest::compute(&bundle).unwrap().write(root).unwrap();
    let manifest = Manifest::read(root).unwrap();
    assert_eq!(manifest, Manifest::compute(&bundle).unwrap());
    assert_eq!(manifest.verified(&bundle, Stage::Prior).unwrap().len(), 32);
    manifest.verify(&bundle).unwrap();

    let refused = |stage: Stage, text: &str| {
        let error = manifest.verified(&bundle, stage).unwrap_err().to_string();
        assert!(error.contains(text) && error.contains("unclip import"), "{error}");
    };
    let weights = root.join("prior/diffusion_pytorch_model.safetensors");
    let (bytes, time) = (fs::read(&weights).unwrap(), weights.metadata().unwrap().modified().unwrap());
    let rewrite = |bytes: &[u8], keep_time: bool| {
        fs::remove_file(&weights).unwrap();
        fs::write(&weights, bytes).unwrap();
        if keep_time {
            fs::File::options().write(true).open(&weights).unwrap().set_modified(time).unwrap();
        }
    };
    // The same bytes with another time, as after a copy.
    rewrite(&bytes, false);
    manifest.verify(&bundle).unwrap();
    // One value is another: found by the time, however small.
    let mut one = bytes.clone();
    let at = one.len() / 2 + 1000;
    one[at] ^= 1;
    rewrite(&one, false);
    refused(Stage::Prior, "prior/diffusion_pytorch_model.safetensors has changed");
    // All are: found though size, header and time are the same.
    let header = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let all: Vec<u8> = bytes[..header].iter().copied().chain(bytes[header..].iter().map(|b| b ^ 1)).collect();
    rewrite(&all, true);
    refused(Stage::Prior, "has changed");
    rewrite(&bytes, true);

    let vocabulary = root.join("tokenizer/vocab.json");
    let text = fs::read_to_string(&vocabulary).unwrap();
    fs::write(&vocabulary, text.replace("\"fox</w>\"", "\"fax</w>\"").replace("\"!\"", "\"?!\"")).unwrap();
    refused(Stage::TextEncoder, "tokenizer/vocab.json has changed");
    fs::write(&vocabulary, text).unwrap();
    // It would be read in place of vocab.json.
    fs::write(root.join("tokenizer/tokenizer.json"), "{}").unwrap();
    refused(Stage::TextEncoder, "tokenizer/tokenizer.json has come");
    fs::remove_file(root.join("tokenizer/tokenizer.json")).unwrap();
    fs::remove_file(root.join("tokenizer/special_tokens_map.json")).unwrap();
    refused(Stage::TextEncoder, "tokenizer/special_tokens_map.json has gone");
    manifest.verified(&bundle, Stage::Decoder).unwrap();
}

#[test]
fn a_damaged_manifest_and_one_of_another_version_ask_for_an_import() {
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in [("{", "damaged"), ("{}", "damaged"), (r#"{"version": 1}"#, "another version")] {
        fs::write(folder.path().join("unclip.json"), text).unwrap();
        let error = Manifest::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("run `unclip import"), "{error}");
    }
}

#[test]
fn a_stage_that_is_not_there_says_what_to_put_where() {
    let copy = copied_bundle();
    fs::remove_dir_all(copy.path().join("prior")).unwrap();
    let bundle = Bundle::open(copy.path()).unwrap();
    assert!(!bundle.has_stage(Stage::Prior) && bundle.has_stage(Stage::Decoder));
    let error = bundle.require(Stage::Prior).unwrap_err().to_string();
    for text in
        ["/prior: not there", "no prior", "karlo-v1-alpha", "prior/, prior_scheduler/", "unclip import"]
    {
        assert!(error.contains(text), "{text}: {error}");
    }
    // Its index lists it, so it is a download that was cut short; and its scheduler is there.
    let missing: Vec<_> = bundle.missing_parts().iter().map(ToString::to_string).collect();
    assert!(missing.len() == 1 && missing[0].contains("model_index.json lists it"), "{missing:?}");
    fs::remove_dir_all(copy.path().join("prior_scheduler")).unwrap();
    let index = copy.path().join("model_index.json");
    let mut parts: Value = serde_json::from_str(&fs::read_to_string(&index).unwrap()).unwrap();
    parts["prior"] = json!([null, null]);
    parts.as_object_mut().unwrap().remove("prior_scheduler");
    fs::write(&index, parts.to_string()).unwrap();
    assert!(Bundle::open(copy.path()).unwrap().missing_parts().is_empty());
}

#[test]
fn what_is_no_file_is_refused_and_does_not_hang() {
    let copy = copied("decoder");
    for name in ["config.json", "diffusion_pytorch_model.safetensors"] {
        let path = copy.path().join(name);
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    }
    let config = unclip_bundle::config::read::<UNet2DConditionConfig>(copy.path()).unwrap_err();
    let weights = open(copy.path(), "diffusion_pytorch_model").err().unwrap();
    for error in [config, weights] {
        assert!(error.to_string().contains("a fifo, not a file"), "{error}");
    }
    fs::remove_file(copy.path().join("config.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", copy.path().join("config.json")).unwrap();
    let error = unclip_bundle::config::read::<UNet2DConditionConfig>(copy.path()).unwrap_err();
    assert!(error.to_string().contains("config.json: a device, not a file"), "{error}");
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
