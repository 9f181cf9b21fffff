//! `unclip import` of good and of broken checkpoints: one error that says all, in words a person can act on.

use unclip_tests::{Checkpoint, Server, fixture, run_in, scratch};

const PRIOR: &str = "prior/diffusion_pytorch_model.safetensors";
const DECODER: &str = "decoder/diffusion_pytorch_model.safetensors";

#[test]
fn a_good_checkpoint_is_imported_in_its_place_and_again() {
    let checkpoint = Checkpoint::new();
    let first = checkpoint.import();
    first.assert_done();
    for text in ["imported ", "CLIP space", "text-encoder", "image-encoder", "prior", "decoder", "upsampler"]
    {
        assert!(first.out.contains(text), "{}", first.out);
    }
    let again = checkpoint.import();
    again.assert_done();
    assert_eq!(again.out, first.out, "the same files have the same fingerprints");
}

#[test]
fn a_missing_file_is_named() {
    let checkpoint = Checkpoint::new();
    checkpoint.remove(PRIOR);
    checkpoint.import().assert_failed(&[PRIOR, "not found", "complete the download"]);
    let checkpoint = Checkpoint::new();
    checkpoint.remove("tokenizer/vocab.json");
    checkpoint.import().assert_failed(&["tokenizer/vocab.json", "not found"]);
    let checkpoint = Checkpoint::new();
    checkpoint.remove("model_index.json");
    checkpoint.import().assert_failed(&["model_index.json", "not found", "diffusers"]);
}

#[test]
fn pickled_weights_are_refused_with_the_way_to_convert_them() {
    let checkpoint = Checkpoint::new();
    checkpoint.remove(DECODER);
    std::fs::write(checkpoint.path("decoder/diffusion_pytorch_model.bin"), b"\x80\x02.").unwrap();
    let expected = ["diffusion_pytorch_model.bin", "pickle", "safe_serialization=True"];
    checkpoint.import().assert_failed(&expected);
}

#[test]
fn another_pipeline_is_refused_with_those_that_work() {
    let checkpoint = Checkpoint::new();
    checkpoint.edit("model_index.json", "\"UnCLIPPipeline\"", "\"StableDiffusionPipeline\"");
    let expected = ["model_index.json: _class_name is StableDiffusionPipeline", "supported: UnCLIPPipeline"];
    checkpoint.import().assert_failed(&expected);
}

#[test]
fn tensors_that_are_missing_or_have_another_shape_are_told_all_at_once() {
    let checkpoint = Checkpoint::new();
    checkpoint.reshape(PRIOR, |name, shape| match name {
        "clip_mean" => None,
        "proj_in.weight" => Some(vec![shape.iter().product::<usize>(), 1]),
        _ => Some(shape.to_vec()),
    });
    checkpoint.reshape(DECODER, |name, shape| (name != "conv_in.bias").then(|| shape.to_vec()));
    let run = checkpoint.import();
    run.assert_failed(&[
        PRIOR,
        "tensor `clip_mean` of shape [1, 32] is missing",
        "tensor `proj_in.weight` has shape [1024, 1], its config.json asks for [32, 32]",
        DECODER,
        "tensor `conv_in.bias` of shape",
        "weights and config are of different models",
    ]);
    assert_eq!(run.errors.matches("  - ").count(), 3, "{}", run.errors);
    assert!(!checkpoint.path("unclip.json").exists(), "a failed import leaves no manifest");
}

#[test]
fn a_damaged_file_and_a_config_that_does_not_parse_are_named() {
    let checkpoint = Checkpoint::new();
    let half = std::fs::read(checkpoint.path(DECODER)).unwrap();
    std::fs::write(checkpoint.path(DECODER), &half[..half.len() / 2]).unwrap();
    std::fs::write(checkpoint.path("prior/config.json"), "{").unwrap();
    checkpoint.import().assert_failed(&[DECODER, "not a readable safetensors file", "prior/config.json"]);
}

#[test]
fn broken_defaults_are_refused_by_file_and_field() {
    for (text, expected) in [
        (r#"{"prior": {"steps": 0}}"#, "prior.steps is 0, it must be a whole number from 1 to 1000"),
        (r#"{"decoder": {"guidance": 3}}"#, "decoder.guidance is no key of it"),
        (r#"{"upsampler": {"steps": "7"}}"#, "upsampler.steps is \"7\""),
    ] {
        let checkpoint = Checkpoint::new();
        std::fs::write(checkpoint.path("sampling.json"), text).unwrap();
        checkpoint.import().assert_failed(&["sampling.json: ", expected]);
        assert!(!checkpoint.path("unclip.json").exists(), "a failed import leaves no manifest");
    }
}

#[test]
fn a_target_that_is_not_empty_is_refused() {
    let (checkpoint, target) = (Checkpoint::new(), scratch());
    std::fs::write(target.path().join("mine.txt"), "keep me").unwrap();
    let arguments = ["import", checkpoint.root().to_str().unwrap(), "-o", target.path().to_str().unwrap()];
    run_in(target.path(), "unclip", &arguments).assert_failed(&["not empty", "give a new directory"]);
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 1);
    let nowhere = ["import", "/no/such/checkpoint"];
    run_in(target.path(), "unclip", &nowhere).assert_failed(&["/no/such/checkpoint", "not found"]);
}

#[tokio::test]
async fn servers_of_a_bundle_that_was_not_imported_say_what_to_run() {
    let bundle = fixture("tiny");
    let bundle = bundle.to_str().unwrap();
    for name in
        ["unclip-text-encoder", "unclip-image-encoder", "unclip-prior", "unclip-decoder", "unclip-upsampler"]
    {
        let log = Server::try_start(name, &["--bundle", bundle]).await.err().unwrap();
        assert!(log.contains("the bundle has not been imported yet"), "{name}: {log}");
        assert!(log.contains(&format!("run `unclip import {bundle}`")), "{name}: {log}");
    }
}
