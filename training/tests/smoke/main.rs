//! Every trainer on a few synthetic pictures: it runs, its loss falls, a resumed training equals an uninterrupted one bit for
//! bit, and what is exported is a bundle that the servers take.
#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

mod shapes;
mod tasks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::Kind;
use unclip_bundle::{Bundle, Component, StageSampling};
use unclip_models::Placement;
use unclip_training::commands::TrainCommand;
use unclip_training::judge::Judge;
use unclip_training::run::{BatchSource as _, Options, Outcome, Task, train};
use unclip_training::{ExportOptions, Precision, export};

use crate::tasks::{Recipe, Trial, clip, decoder, judge, prior, recipe, upsampler};

const CPU: Placement = Placement::REFERENCE;
const BF16: Placement = Placement { kind: Kind::BFloat16, ..CPU };

fn run<T: Task>(trial: &Trial<T>, recipe: &Recipe, placement: Placement, stop_at: Option<u64>) -> Outcome {
    // Tests run side by side; more threads would only wait for each other.
    unclip_models::set_threads(1);
    let options = Options { placement, limit: None, stop_at, init: None, workers: 2 };
    train(&trial.task, 1, &trial.claim, &recipe.optimisation, &recipe.cadence, &options).unwrap()
}

/// The newest checkpoint's tensors.
fn checkpoint(folder: &Path) -> Vec<u8> {
    let newest = unclip_training::run::latest(&folder.join("checkpoints")).unwrap().unwrap();
    std::fs::read(newest.join("state.safetensors")).unwrap()
}

/// Trains to `steps` at once, and again with a stop in the middle.
fn assert_resumes<T: Task>(
    root: &Path,
    placement: Placement,
    replicas: usize,
    make: impl Fn(&Path) -> Trial<T>,
) {
    let straight = root.join(format!("straight-{replicas}-{:?}", placement.kind));
    let halved = root.join(format!("halved-{replicas}-{:?}", placement.kind));
    let recipe = recipe(6, 4, replicas);
    let outcome = run(&make(&straight), &recipe, placement, None);
    assert!(outcome.finished && outcome.loss.is_finite());
    assert!(!run(&make(&halved), &recipe, placement, Some(3)).finished);
    assert!(run(&make(&halved), &recipe, placement, None).finished);
    assert!(checkpoint(&straight) == checkpoint(&halved), "a resumed run differs");
    let steps = std::fs::read_dir(halved.join("checkpoints")).unwrap().count();
    assert_eq!(steps, 2, "the last two are kept");
    for file in ["metrics.jsonl", "loss.png", "run.json"] {
        assert!(halved.join(file).is_file(), "{file}");
    }
}

/// While a decoder trains, its one-step errors are noted: over pictures that it has seen, and over held-out ones.
fn assert_measured(run: &Path) {
    let metrics = unclip_training::run::Metrics::open(&run.join("metrics.jsonl"), u64::MAX).unwrap();
    let last = |name: &str| metrics.series(name).last().unwrap().1;
    for (memory, held_out) in [("memory_999", "held_out_999"), ("memory_300", "held_out_300")] {
        let (memory, held_out) = (last(memory), last(held_out));
        assert!(memory > 0.0 && memory < 4.0, "{memory}");
        // The test's held-out pictures are those that it trains on.
        assert!((memory - held_out).abs() < 1e-6, "{memory} {held_out}");
    }
}

#[test]
fn trainers_resume_exactly_and_export_a_bundle() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    assert_resumes(root, BF16, 1, |folder| clip(folder, BF16));
    assert_resumes(root, CPU, 2, |folder| clip(folder, CPU));
    let trained = root.join("straight-1-BFloat16");
    let towers = trained.join("bundle");
    let stages = root.join("stages");
    let at = |name: &str| stages.join(name);
    assert_resumes(&at("prior"), BF16, 1, |folder| prior(folder, &towers, BF16));
    let sampled = at("prior").join("straight-1-BFloat16");
    assert_resumes(&at("decoder"), BF16, 1, |folder| decoder(folder, &towers, None, BF16));
    assert_resumes(&at("decoder"), CPU, 2, |folder| decoder(folder, &towers, Some(&sampled), CPU));
    assert_measured(&at("decoder").join("straight-1-BFloat16"));
    assert_resumes(&at("upsampler"), BF16, 2, |folder| upsampler(folder, BF16));
    let runs = vec![
        trained,
        at("prior").join("straight-1-BFloat16"),
        at("decoder").join("straight-1-BFloat16"),
        at("upsampler").join("straight-2-BFloat16"),
    ];
    for precision in [Precision::F32, Precision::Bf16] {
        assert_exports(&runs, &root.join(format!("{precision:?}")), precision);
    }
}

fn assert_exports(runs: &[std::path::PathBuf], output: &Path, precision: Precision) {
    let options = ExportOptions { runs: runs.to_vec(), output: output.to_path_buf(), precision };
    assert_eq!(export(&options).unwrap(), Vec::<Component>::new());
    let bundle = Bundle::open(output).unwrap();
    assert_sampling(&bundle);
    let report = unclip_models::check_bundle(&bundle);
    assert!(report.errors.is_empty() && report.warnings.is_empty(), "{report:?}");
    assert!(
        unclip_clip::check_text_tower(&bundle).is_empty(),
        "{:?}",
        unclip_clip::check_text_tower(&bundle)
    );
    assert!(unclip_clip::check_image_tower(&bundle).is_empty());
    assert!(unclip_clip::text_tower_warnings(&bundle).is_empty());
    unclip_clip::export_text_tower(&bundle).unwrap();
    unclip_clip::export_image_tower(&bundle).unwrap();
    unclip_bundle::Manifest::compute(&bundle).unwrap();
}

/// The trainers' `[sampling]`: three steps, guidance by default, and none where the stage has none.
fn assert_sampling(bundle: &Bundle) {
    let guided = StageSampling { steps: Some(3), guidance_scale: Some(4.0) };
    let sampling = bundle.sampling();
    assert_eq!([sampling.prior, sampling.decoder], [guided; 2]);
    assert_eq!(sampling.upsampler, StageSampling { guidance_scale: None, ..guided });
}

#[test]
fn the_judge_resumes_exactly_and_tells_colours_apart() {
    let root = tempfile::tempdir().unwrap();
    assert_resumes(root.path(), BF16, 2, |folder| judge(folder, BF16));
    let folder = root.path().join("judge");
    let (first, last) = overfit(&judge(&folder, CPU), &recipe(60, 4, 1));
    assert!(last < first * 0.3, "{first} to {last}");
    let judge = Judge::open(&folder, CPU).unwrap();
    let batch = shapes::Shapes { side: 32 }.plain(4);
    let pictures = tch::Tensor::from_slice(&batch.images).view([4, 3, 32, 32]);
    let (pictures, features) = (judge.pictures(&pictures).unwrap(), judge.features(&pictures).unwrap());
    let found = unclip_training::clip::recall(&pictures, &judge.texts(&batch.captions).unwrap()).unwrap();
    assert!(found.at_1 >= 1.0, "{found:?}");
    assert_eq!(features.size(), [4, 16]);
}

/// Two replicas compute the gradients that one would.
#[test]
fn replicas_make_no_difference() {
    let root = tempfile::tempdir().unwrap();
    let trained = [1, 2].map(|replicas| {
        let folder = root.path().join(replicas.to_string());
        run(&clip(&folder, CPU), &recipe(3, 4, replicas), CPU, None);
        let bytes = checkpoint(&folder);
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let master = tensors.tensor("master").unwrap().data().to_vec();
        let len = i64::try_from(master.len() / 4).unwrap();
        tch::Tensor::from_data_size(&master, &[len], Kind::Float)
    });
    let difference = f64::try_from((&trained[0] - &trained[1]).abs().mean(Kind::Float)).unwrap();
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn runs_of_different_clips_do_not_mix() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (root.path().join("one"), root.path().join("two"));
    for folder in [&one, &two] {
        let steps = if folder == &one { 1 } else { 2 };
        run(&clip(folder, CPU), &recipe(steps, 4, 1), CPU, None);
    }
    let folder = root.path().join("prior");
    run(&prior(&folder, &one.join("bundle"), CPU), &recipe(1, 4, 1), CPU, None);
    let options = |clip: &Path| ExportOptions {
        runs: vec![clip.to_path_buf(), folder.clone()],
        output: root.path().join("bundle"),
        precision: Precision::F32,
    };
    assert!(export(&options(&one)).is_ok());
    let error = export(&options(&two)).unwrap_err().to_string();
    assert!(error.contains("another CLIP"), "{error}");
}

/// The mean loss of the last steps of a training on four pictures.
fn overfit<T: Task>(trial: &Trial<T>, recipe: &Recipe) -> (f64, f64) {
    run(trial, recipe, CPU, None);
    let metrics = unclip_training::run::Metrics::open(&trial.claim.folder().metrics(), u64::MAX).unwrap();
    let losses = metrics.series("loss");
    (losses.first().unwrap().1, losses.last().unwrap().1)
}

#[test]
fn losses_fall_on_four_pictures() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let falls = |name: &str, (first, last): (f64, f64), share: f64| {
        println!("{name}: {first:.4} to {last:.4}");
        assert!(last < first * share, "{name}: {first} to {last}");
    };
    falls("clip", overfit(&clip(&at("clip"), CPU), &recipe(60, 4, 1)), 0.3);
    let towers = at("clip").join("bundle");
    falls("prior", overfit(&prior(&at("prior"), &towers, CPU), &recipe(90, 4, 1)), 0.5);
    falls("decoder", overfit(&decoder(&at("decoder"), &towers, None, CPU), &recipe(90, 4, 1)), 0.6);
    falls("upsampler", overfit(&upsampler(&at("upsampler"), CPU), &recipe(60, 4, 1)), 0.5);
}

/// Every file of a folder but the lock, with its bytes.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else if path.file_name().unwrap() != "lock" {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

/// `unclip train ...` as a user types it.
fn command(arguments: &[&str]) -> Result<(), String> {
    #[derive(clap::Parser)]
    struct Program {
        #[command(subcommand)]
        command: TrainCommand,
    }
    let program = <Program as clap::Parser>::try_parse_from(["unclip"].iter().chain(arguments)).unwrap();
    unclip_training::commands::run(program.command).map_err(|error| format!("{error:#}"))
}

/// A run that is refused stays as it is: with another shape and no --resume, with another shape, seed, CLIP or trainer and
/// --resume, and with another bundle's tokenizer.
#[test]
fn a_refused_training_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let at = |name: &str| root.join(name).display().to_string();
    let images = root.join("images");
    std::fs::create_dir(&images).unwrap();
    for (name, colour) in [("red", "#d00"), ("blue", "#00d"), ("green", "#0a0"), ("black", "#000")] {
        let svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><path fill="{colour}" d="M2 2h4v4H2z"/></svg>"#
        );
        std::fs::write(images.join(format!("{name}.svg")), svg).unwrap();
        std::fs::write(images.join(format!("{name}.txt")), format!("a {name} square")).unwrap();
    }
    command(&["data", "--folder", &at("images"), "--side", "16", "--out", &at("store")]).unwrap();
    let config = |name: &str, text: &str| {
        std::fs::write(root.join(name), text).unwrap();
        at(name)
    };
    let common = "[optimisation]\nbatch = 4\nsteps = 1\nlearning_rate = 1e-3\n[data]\nstore = 'none'\n";
    let clip = |dim: usize, seed: usize| {
        format!(
            "seed = {seed}\ndim = {dim}\n{common}[text]\ntokens = 12\nvocabulary = 560\nlayers = 1\nheads = 2\n\
             [vision]\nside = 16\npatch = 8\nwidth = 32\nlayers = 1\nheads = 2\n"
        )
    };
    let prior =
        format!("seed = 1\nclip = 'none'\n{common}[transformer]\nheads = 2\nhead_width = 16\nlayers = 1\n");
    let (small, large) = (config("small.toml", &clip(32, 1)), config("large.toml", &clip(64, 1)));
    let (seeded, prior) = (config("seeded.toml", &clip(32, 2)), config("prior.toml", &prior));
    let train = |stage: &str, config: &str, run: &str, more: &[&str]| {
        let store = at("store");
        let own = ["--config", config, "--run", run, "--store", &store, "--device", "cpu", "--dtype", "f32"];
        command(&[&[stage], &own[..], more].concat())
    };
    let (one, two, run) = (at("one"), at("two"), at("run"));
    train("clip", &small, &one, &[]).unwrap();
    train("clip", &large, &two, &[]).unwrap();
    let (first, second) = (format!("{one}/bundle"), format!("{two}/bundle"));
    train("prior", &prior, &run, &["--clip", &first]).unwrap();
    let refuse = |folder: &str, told: &str, result: &dyn Fn() -> Result<(), String>| {
        let before = contents(Path::new(folder));
        let error = result().unwrap_err();
        assert!(error.contains(told), "{error}");
        assert!(contents(Path::new(folder)) == before, "{told}: files changed");
    };
    refuse(&one, "--resume", &|| train("clip", &large, &one, &[]));
    refuse(&one, "networks have changed", &|| train("clip", &large, &one, &["--resume"]));
    refuse(&one, "its seed is 1", &|| train("clip", &seeded, &one, &["--resume", "--init", &second]));
    refuse(&run, "--resume", &|| train("prior", &prior, &run, &["--clip", &second]));
    refuse(&run, "another CLIP", &|| train("prior", &prior, &run, &["--clip", &second, "--resume"]));
    refuse(&run, "of the prior", &|| train("clip", &small, &run, &["--resume"]));
    train("prior", &prior, &run, &["--clip", &first, "--resume"]).unwrap();
}
