//! From pictures to a model that draws, by the commands that a person types.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::path::Path;

use unclip_tests::{draw_style, run_in, scratch};

/// The smallest network of each kind, and where its pictures are.
const CONFIGS: [(&str, &str, &str); 4] = [
    (
        "clip",
        "small",
        r"
dim = 32
[text]
tokens = 12
vocabulary = 560
layers = 1
heads = 2
[vision]
side = 16
patch = 8
width = 32
layers = 1
heads = 2
",
    ),
    (
        "prior",
        "small",
        r#"
clip = "clip/bundle"
[transformer]
heads = 2
head_width = 16
layers = 1
"#,
    ),
    (
        "decoder",
        "small",
        r#"
clip = "clip/bundle"
context_width = 32
[unet]
side = 8
channels = [16, 32]
layers = 1
groups = 8
attention_levels = 1
head_width = 16
"#,
    ),
    (
        "upsampler",
        "large",
        r"
small_side = 8
crop = 16
[unet]
side = 32
channels = [16, 16]
layers = 1
groups = 8
",
    ),
];

fn write_config(folder: &Path, part: &str, store: &str, networks: &str) {
    let (head, tables) = networks.split_once("\n[").unwrap();
    let config = format!(
        "seed = 1\n{head}\n[data]\nstore = {store:?}\n[optimisation]\nbatch = 4\nsteps = 2\nlearning_rate = 1e-3\n[{tables}"
    );
    std::fs::write(folder.join(format!("{part}.toml")), config).unwrap();
}

#[test]
fn what_is_trained_draws() {
    let folder = scratch();
    let root = folder.path();
    let unclip = |arguments: &[&str]| {
        let run = run_in(root, "unclip", arguments);
        assert_eq!(run.code, Some(0), "{run:?}");
    };
    draw_style(&root.join("one"));
    for (store, side) in [("small", "16"), ("large", "32")] {
        unclip(&["train", "data", "--folder", "one", "--side", side, "--out", store]);
    }
    for (part, store, networks) in CONFIGS {
        write_config(root, part, store, networks);
        let config = format!("{part}.toml");
        unclip(&["train", part, "--config", &config, "--run", part, "--device", "cpu", "--threads", "1"]);
    }
    unclip(&["train", "export", "clip", "prior", "decoder", "upsampler", "-o", "bundle"]);
    unclip(&["import", "bundle"]);
    let own = ["generate", "--bundle", "bundle", "--prompt", "thing 7", "--seed", "3", "-n", "2"];
    let quick = ["--prior-steps", "2", "--decoder-steps", "2", "--upsampler-steps", "2"];
    unclip(&[&own[..], &quick, &["--device", "cpu", "--threads", "1", "-o", "thing.png"]].concat());
    let [first, second] =
        ["thing-0.png", "thing-1.png"].map(|name| image::open(root.join(name)).unwrap().into_rgb8());
    assert_eq!(first.dimensions(), (32, 32));
    assert!(first != second, "two seeds, one picture");
}

#[test]
fn parts_of_a_bundle_that_is_not_there_are_refused() {
    let folder = scratch();
    let arguments = ["train", "export", "nowhere", "-o", "bundle"];
    run_in(folder.path(), "unclip", &arguments).assert_failed(&["nowhere"]);
    assert!(!folder.path().join("bundle").exists());
}
