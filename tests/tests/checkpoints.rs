//! Checkpoints as people have them: a model hub's cache, variants, parts that are not there; imported, served and drawn with.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use unclip_tests::{
    Array, Bundle, CPU, Checkpoint, Golden, Run, Server, assert_close, assert_same_pictures, goldens,
    hub_cache, json_call, program, run_in, scratch,
};

const PRIOR: &str = "prior/diffusion_pytorch_model.safetensors";
const HALF_PRIOR: &str = "prior/diffusion_pytorch_model.fp16.safetensors";

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn golden(name: &str) -> Golden {
    goldens("tiny").into_iter().find(|golden| golden.case.prompt() == name).unwrap()
}

/// Draws what diffusers has drawn, with a bundle that is somewhere, and compares.
fn assert_draws_as_diffusers(bundle: &Path) {
    let (golden, folder) = (golden("A Corgi playing a flame-throwing trumpet!"), scratch());
    let arguments = golden.case.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let own = ["generate", "--bundle", bundle.to_str().unwrap(), "--tensors", "all.safetensors"];
    run_in(folder.path(), "unclip", &[&own, &CPU[..], &arguments].concat()).assert_done();
    let drawn = Array::read_all(&folder.path().join("all.safetensors"));
    let count = drawn["image"].shape[0];
    let expected = golden.tensors["image_embedding"].for_batch(count);
    assert_close("image_embedding", &drawn["image_embedding"].values, &expected, 1e-3);
    for name in ["decoded", "image"] {
        assert_same_pictures(name, &drawn[name].values, &golden.tensors[name].for_batch(count));
    }
}

fn import(from: &Path, to: &Path, more: &[&str]) -> Run {
    let own = ["import", from.to_str().unwrap(), "-o", to.to_str().unwrap()];
    run_in(from, "unclip", &[&own, more].concat())
}

/// A file of the fixture may be a fifo or a device here; a command that opened it would never end.
fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_hubs_cache_becomes_a_bundle_that_draws_what_diffusers_draws() {
    let (checkpoint, folder) = (Checkpoint::new(), scratch());
    // What the published repository has besides.
    std::fs::write(checkpoint.path("prior/diffusion_pytorch_model.bin"), [0; 9]).unwrap();
    std::fs::write(checkpoint.path("README.md"), "---\nlicense: x\n---").unwrap();
    let snapshot = hub_cache(checkpoint.root(), &folder.path().join("hub"));
    assert!(snapshot.join(PRIOR).is_symlink() && snapshot.join("model_index.json").is_symlink());
    let bundle = folder.path().join("deep/bundle");
    import(&snapshot, &bundle, &[]).assert_done();
    std::fs::remove_dir_all(folder.path().join("hub")).unwrap();
    for file in [PRIOR, "model_index.json", "tokenizer/merges.txt", "README.md", "text_encoder/model.onnx"] {
        let path = bundle.join(file);
        assert!(path.is_file() && !path.is_symlink(), "{file}");
    }
    assert!(!bundle.join("prior/diffusion_pytorch_model.bin").exists(), "pickled weights stay behind");
    assert_eq!(names(&folder.path().join("deep")), ["bundle"], "nothing half made is left");
    assert_draws_as_diffusers(&bundle);
}

#[test]
fn a_snapshot_is_imported_in_its_place_and_draws() {
    let (checkpoint, folder) = (Checkpoint::new(), scratch());
    let snapshot = hub_cache(checkpoint.root(), folder.path());
    run_in(folder.path(), "unclip", &["import", snapshot.to_str().unwrap()]).assert_done();
    assert!(snapshot.join(PRIOR).is_symlink(), "the cache's own links stay");
    assert_draws_as_diffusers(&snapshot);
}

#[test]
fn weights_of_a_variant_are_taken_and_named() {
    let (checkpoint, folder) = (Checkpoint::new().in_variant("fp16"), scratch());
    let snapshot = hub_cache(checkpoint.root(), &folder.path().join("hub"));
    let bundle = folder.path().join("bundle");
    let run = import(&snapshot, &bundle, &[]);
    run.assert_done();
    assert!(
        run.out.contains("note: weights of the variant fp16: text_encoder, image_encoder, prior"),
        "{}",
        run.out
    );
    assert_draws_as_diffusers(&bundle);
}

#[test]
fn several_variants_are_asked_about_and_the_choice_is_kept() {
    let checkpoint = Checkpoint::new();
    let copy_to = |name: &str| {
        let target =
            checkpoint.path(PRIOR).with_file_name(format!("diffusion_pytorch_model.{name}safetensors"));
        std::fs::copy(checkpoint.path(HALF_PRIOR), target).unwrap();
    };
    std::fs::copy(checkpoint.path(PRIOR), checkpoint.path(HALF_PRIOR)).unwrap();
    let run = checkpoint.import();
    run.assert_done();
    assert!(run.out.contains("the variant fp16 were left aside: prior; --variant fp16"), "{}", run.out);

    let run = checkpoint.import_with(&["--variant", "fp16"]);
    run.assert_done();
    assert!(run.out.contains("note: weights of the variant fp16: prior"), "{}", run.out);
    // What is served is what was chosen: the other file may go.
    checkpoint.remove(PRIOR);
    assert_draws_as_diffusers(checkpoint.root());

    copy_to("bf16.");
    checkpoint.import().assert_failed(&["/prior: the variants bf16, fp16 fit", "--variant"]);
    checkpoint.import_with(&["--variant", "bf16"]).assert_done();
    checkpoint
        .import_with(&["--variant", "ema"])
        .assert_failed(&["/prior: no variant ema here", "bf16, fp16"]);
    copy_to("");
    checkpoint
        .import_with(&["--variant", "ema"])
        .assert_failed(&["--variant: ema is the variant of no weights"]);
}

#[test]
fn a_failed_copy_leaves_nothing_and_can_be_repeated() {
    let (checkpoint, folder) = (Checkpoint::new(), scratch());
    let bundle = folder.path().join("bundle");
    // No file may have more than 512 bytes: what a full disk is to a program. Links of weights need none.
    let command = format!(
        "trap '' XFSZ; ulimit -f 1; exec '{}' import '{}' -o '{}'",
        program("unclip").display(),
        checkpoint.root().display(),
        bundle.display()
    );
    let run: Run = Command::new("sh").args(["-c", &command]).output().unwrap().into();
    run.assert_failed(&["bundle could not be made", "can't be copied"]);
    assert_eq!(names(folder.path()), [""; 0], "nothing half made is left");
    import(checkpoint.root(), &bundle, &[]).assert_done();
    assert_eq!(names(folder.path()), ["bundle"]);
    import(checkpoint.root(), &bundle, &[]).assert_failed(&["not empty", "give a new directory"]);
    std::fs::write(folder.path().join("file"), "").unwrap();
    import(checkpoint.root(), &folder.path().join("file"), &[]).assert_failed(&["a file, not a directory"]);
}

#[test]
fn values_that_are_no_numbers_are_found_at_import() {
    for (part, tensor, value) in [
        (PRIOR, "transformer_blocks.1.ff.net.2.weight", f32::NAN),
        (PRIOR, "clip_std", f32::INFINITY),
        ("super_res_last/diffusion_pytorch_model.safetensors", "conv_out.weight", f32::NEG_INFINITY),
        ("text_proj/diffusion_pytorch_model.safetensors", "embedding_proj.bias", f32::NAN),
        ("text_encoder/model.safetensors", "text_projection.weight", f32::NAN),
        ("image_encoder/model.safetensors", "visual_projection.weight", f32::NAN),
    ] {
        let checkpoint = Checkpoint::new();
        checkpoint.poke(part, tensor, 5, value);
        let expected =
            [part, &format!("tensor `{tensor}` has 1 values that are NaN or infinite, the first at index 5")];
        checkpoint.import().assert_failed(&expected);
        assert!(!checkpoint.path("unclip.json").exists(), "a failed import leaves no manifest");
    }
}

#[test]
fn schedules_that_can_not_run_are_found_at_import() {
    let cases = [
        ("prior_scheduler", "num_train_timesteps", json!(0), "`num_train_timesteps` is 0"),
        (
            "decoder_scheduler",
            "num_train_timesteps",
            json!(4_294_967_295_u32),
            "is 4294967295; it must be 1 to 10000",
        ),
        ("super_res_scheduler", "num_train_timesteps", json!(-1), "num_train_timesteps: invalid value"),
        (
            "super_res_scheduler",
            "num_train_timesteps",
            json!(null),
            "num_train_timesteps: invalid type: null",
        ),
        ("decoder_scheduler", "num_train_timesteps", json!(10), "25 steps by default, 10 timesteps"),
        (
            "prior_scheduler",
            "prediction_type",
            json!("v_prediction"),
            "`prediction_type` is \"v_prediction\"",
        ),
        ("prior_scheduler", "beta_schedule", json!("linear"), "`beta_schedule` is \"linear\""),
        ("prior_scheduler", "variance_type", json!("learned_range"), "its network predicts no variance"),
        ("decoder_scheduler", "variance_type", json!("fixed_small_log"), "decoder/config.json out_channels"),
        ("super_res_scheduler", "clip_sample_range", json!(0), "`clip_sample_range` is 0"),
        ("super_res_scheduler", "_class_name", json!("PNDMScheduler"), "`_class_name` is \"PNDMScheduler\""),
    ];
    for (part, key, value, expected) in cases {
        let checkpoint = Checkpoint::new();
        checkpoint.set(&format!("{part}/scheduler_config.json"), key, Some(value));
        checkpoint.import().assert_failed(&[&part[..5], expected]);
    }
    let checkpoint = Checkpoint::new();
    let file = "decoder_scheduler/scheduler_config.json";
    checkpoint.set(file, "_class_name", Some(json!("DDIMScheduler")));
    checkpoint.set(file, "beta_start", Some(json!(2)));
    checkpoint.import().assert_failed(&[file, "beta"]);
}

#[test]
fn what_is_no_file_is_refused_by_its_kind() {
    for part in [
        "model_index.json",
        "prior/config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "tokenizer/tokenizer_config.json",
        "decoder_scheduler/scheduler_config.json",
        "feature_extractor/preprocessor_config.json",
        "sampling.json",
        PRIOR,
    ] {
        let checkpoint = Checkpoint::new();
        let path = checkpoint.path(part);
        if path.exists() {
            checkpoint.remove(part);
        }
        make_fifo(&path);
        checkpoint.import().assert_failed(&[part, "a fifo, not a file"]);
        checkpoint.remove(part);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        checkpoint.import().assert_failed(&[part, "a device, not a file"]);
    }
    let checkpoint = Checkpoint::new();
    checkpoint.import().assert_done();
    for part in ["unclip.json", "text_encoder/model.onnx"] {
        let bytes = std::fs::read(checkpoint.path(part)).unwrap();
        checkpoint.remove(part);
        make_fifo(&checkpoint.path(part));
        let root = checkpoint.root().to_str().unwrap();
        let run =
            run_in(checkpoint.root(), "unclip-text-encoder", &["--bundle", root, "--listen", "127.0.0.1:0"]);
        run.assert_failed(&[part, "a fifo, not a file"]);
        checkpoint.remove(part);
        std::fs::write(checkpoint.path(part), bytes).unwrap();
    }
}

#[test]
fn a_link_that_leads_nowhere_is_a_file_that_is_missing() {
    for part in ["tokenizer/special_tokens_map.json", "tokenizer/merges.txt", "decoder/config.json", PRIOR] {
        let (checkpoint, folder) = (Checkpoint::new(), scratch());
        let snapshot = hub_cache(checkpoint.root(), folder.path());
        std::fs::remove_file(snapshot.join(part).canonicalize().unwrap()).unwrap();
        let run = run_in(folder.path(), "unclip", &["import", snapshot.to_str().unwrap()]);
        run.assert_failed(&[part, "symbolic link to ../../../blobs/", "complete the download"]);
    }
}

#[tokio::test]
async fn a_bundle_that_has_changed_is_not_served_until_it_is_imported_again() {
    let checkpoint = Checkpoint::new();
    checkpoint.import().assert_done();
    let root = checkpoint.root().to_str().unwrap().to_owned();
    let refused = async |name: &str, file: &str| {
        let log = Server::try_start(name, &["--bundle", &root]).await.err().unwrap();
        assert!(log.contains(file) && log.contains("since the bundle was imported"), "{log}");
        assert!(log.contains(&format!("run `unclip import {root}`")), "{log}");
    };
    checkpoint.poke(PRIOR, "clip_mean", 0, 0.25);
    refused("unclip-prior", PRIOR).await;
    checkpoint.edit("tokenizer/merges.txt", "#version: 0.2", "#version: 0.3");
    refused("unclip-text-encoder", "tokenizer/merges.txt").await;
    // Who draws with a directory of one's own gets it imported again, under a new fingerprint.
    let before = std::fs::read_to_string(checkpoint.path("unclip.json")).unwrap();
    let quick = ["--prior-steps", "2", "--decoder-steps", "2", "--upsampler-steps", "2"];
    let own = ["generate", "--bundle", &root, "--prompt", "a fox", "--seed", "1"];
    run_in(checkpoint.root(), "unclip", &[&own[..], &quick, &CPU[..]].concat()).assert_done();
    assert_ne!(std::fs::read_to_string(checkpoint.path("unclip.json")).unwrap(), before);
    Server::start("unclip-prior", &["--bundle", &root]).await;
}

#[test]
fn a_missing_part_is_told_apart_from_one_that_the_family_does_not_have() {
    let checkpoint = Checkpoint::new();
    checkpoint.remove("decoder");
    checkpoint
        .import()
        .assert_failed(&["/decoder: not found", "model_index.json lists it; complete the download"]);
    let checkpoint = Checkpoint::new().without_prior();
    checkpoint.remove("feature_extractor");
    checkpoint.set("model_index.json", "feature_extractor", Some(json!([null, null])));
    checkpoint.import().assert_failed(&["/feature_extractor: not found; the image-encoder needs it"]);
}

/// A picture of one colour to vary.
fn picture(folder: &Path) -> PathBuf {
    let path = folder.join("in.png");
    image::RgbImage::from_pixel(40, 30, image::Rgb([200, 60, 30])).save(&path).unwrap();
    path
}

#[tokio::test]
async fn a_checkpoint_of_image_variations_varies_and_says_that_it_can_not_generate() {
    let checkpoint = Checkpoint::new().without_prior();
    let run = checkpoint.import();
    run.assert_done();
    for text in ["vary, edit     yes", "generate       no: ", "/prior: not there", "karlo-v1-alpha has one"] {
        assert!(run.out.contains(text), "{text}: {}", run.out);
    }
    let root = checkpoint.root().to_str().unwrap();
    let log = Server::try_start("unclip-prior", &["--bundle", root]).await.err().unwrap();
    for text in ["/prior: not there", "this bundle has no prior", "prior/, prior_scheduler/", "unclip import"]
    {
        assert!(log.contains(text), "{text}: {log}");
    }
    let folder = scratch();
    picture(folder.path());
    let server = Server::start("unclip serve", &[&["--bundle", root], &CPU[..]].concat()).await;
    server.logged(&["serving without the prior", "/prior: not there"]).await;
    let url = server.url();
    let vary = [
        "vary",
        "in.png",
        "--endpoint",
        &url,
        "--seed",
        "3",
        "-n",
        "1",
        "-o",
        "out.png",
        "--decoder-steps",
        "2",
    ];
    run_in(folder.path(), "unclip", &vary).assert_done();
    let generate = ["generate", "--endpoint", &url, "--prompt", "a fox"];
    run_in(folder.path(), "unclip", &generate).assert_failed(&["this server has no prior", "prior_mode"]);
    let caption = ["--prior-mode", "caption-only", "--decoder-steps", "2", "--upsampler-steps", "2"];
    run_in(folder.path(), "unclip", &[&generate[..], &caption].concat()).assert_done();
    let models = json_call(&server, "ListModels", &json!({})).await.json();
    assert_eq!(models["models"].as_array().unwrap().len(), 3, "text encoder, decoder, upsampler: {models}");
}

/// Karlo with the image encoder of its variations, put together as docs/operations.md says.
#[test]
fn karlo_and_the_image_encoder_of_its_variations_make_one_bundle() {
    let (whole, karlo) = (Checkpoint::new(), Checkpoint::new());
    for part in ["image_encoder", "feature_extractor"] {
        karlo.remove(part);
        karlo.set("model_index.json", part, None);
    }
    let first = karlo.import();
    first.assert_done();
    for text in ["generate       yes", "vary, edit     no: ", "karlo-v1-alpha-image-variations"] {
        assert!(first.out.contains(text), "{text}: {}", first.out);
    }
    for part in ["image_encoder", "feature_extractor"] {
        unclip_tests::copy_folder(&whole.path(part), &karlo.path(part));
    }
    let run = karlo.import();
    run.assert_done();
    assert!(run.out.contains("vary, edit     yes") && run.out.contains("image-encoder"), "{}", run.out);
    let bundle = karlo.root().to_str().unwrap();
    let folder = scratch();
    picture(folder.path());
    let vary = [
        "vary",
        "in.png",
        "--bundle",
        bundle,
        "--seed",
        "3",
        "-n",
        "1",
        "--decoder-steps",
        "2",
        "-o",
        "out.png",
    ];
    run_in(folder.path(), "unclip", &[&vary[..], &CPU[..]].concat()).assert_done();
}

/// The fixture that other tests share is a bundle that was imported with `-o`.
#[test]
fn a_bundle_is_imported_again_with_the_same_fingerprints() {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    let again = import(&bundle.path(), &folder.path().join("again"), &[]);
    again.assert_done();
    let manifest = |path: &Path| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(path.join("unclip.json")).unwrap()).unwrap()
    };
    let [one, two] = [bundle.path(), folder.path().join("again")].map(|path| manifest(&path));
    for stage in ["text-encoder", "image-encoder", "prior", "decoder", "upsampler"] {
        assert_eq!(one["stages"][stage]["fingerprint"], two["stages"][stage]["fingerprint"], "{stage}");
    }
}
