//! Every trainer on a few synthetic pictures: it runs, its loss falls, a resumed training equals an uninterrupted one bit for
//! bit, and what is exported is a bundle that the servers take.
#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

mod shapes;
mod tasks;

use std::path::Path;

use tch::Kind;
use unclip_bundle::{Bundle, Component, StageSampling};
use unclip_models::Placement;
use unclip_training::judge::Judge;
use unclip_training::run::{BatchSource as _, Options, Outcome, Task, train};
use unclip_training::{ExportOptions, Precision, export};

use crate::tasks::{Recipe, clip, decoder, judge, prior, recipe, upsampler};

const CPU: Placement = Placement::REFERENCE;
const BF16: Placement = Placement { kind: Kind::BFloat16, ..CPU };

fn run<T: Task>(
    task: &T,
    recipe: &Recipe,
    folder: &Path,
    placement: Placement,
    stop_at: Option<u64>,
) -> Outcome {
    // Tests run side by side; more threads would only wait for each other.
    unclip_models::set_threads(1);
    let options = Options {
        run: folder.to_path_buf(),
        placement,
        limit: None,
        stop_at,
        resume: true,
        init: None,
        workers: 2,
    };
    train(task, 1, recipe.clip.clone(), &recipe.optimisation, &recipe.cadence, &options).unwrap()
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
    make: impl Fn(&Path) -> (T, Option<String>),
) {
    let straight = root.join(format!("straight-{replicas}-{:?}", placement.kind));
    let halved = root.join(format!("halved-{replicas}-{:?}", placement.kind));
    let recipe = |clip| Recipe { clip, ..recipe(6, 4, replicas) };
    let (task, clip) = make(&straight);
    let outcome = run(&task, &recipe(clip), &straight, placement, None);
    assert!(outcome.finished && outcome.loss.is_finite());
    let (task, clip) = make(&halved);
    assert!(!run(&task, &recipe(clip), &halved, placement, Some(3)).finished);
    let (task, clip) = make(&halved);
    assert!(run(&task, &recipe(clip), &halved, placement, None).finished);
    assert!(checkpoint(&straight) == checkpoint(&halved), "a resumed run differs");
    let steps = std::fs::read_dir(halved.join("checkpoints")).unwrap().count();
    assert_eq!(steps, 2, "the last two are kept");
    for file in ["metrics.jsonl", "loss.png", "run.json"] {
        assert!(halved.join(file).is_file(), "{file}");
    }
}

#[test]
fn trainers_resume_exactly_and_export_a_bundle() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    assert_resumes(root, BF16, 1, |folder| (clip(folder, BF16), None));
    assert_resumes(root, CPU, 2, |folder| (clip(folder, CPU), None));
    let trained = root.join("straight-1-BFloat16");
    let towers = trained.join("bundle");
    let stages = root.join("stages");
    let at = |name: &str| stages.join(name);
    assert_resumes(&at("prior"), BF16, 1, |folder| prior(folder, &towers, BF16));
    assert_resumes(&at("decoder"), BF16, 1, |folder| decoder(folder, &towers, BF16));
    assert_resumes(&at("decoder"), CPU, 2, |folder| decoder(folder, &towers, CPU));
    assert_resumes(&at("upsampler"), BF16, 2, |folder| (upsampler(folder, BF16), None));
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
    assert_resumes(root.path(), BF16, 2, |folder| (judge(folder, BF16), None));
    let folder = root.path().join("judge");
    let (first, last) = overfit(&judge(&folder, CPU), &recipe(60, 4, 1), &folder);
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
        run(&clip(&folder, CPU), &recipe(3, 4, replicas), &folder, CPU, None);
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
        let task = clip(folder, CPU);
        let steps = if folder == &one { 1 } else { 2 };
        run(&task, &recipe(steps, 4, 1), folder, CPU, None);
    }
    let folder = root.path().join("prior");
    let (task, fingerprint) = prior(&folder, &one.join("bundle"), CPU);
    run(&task, &Recipe { clip: fingerprint, ..recipe(1, 4, 1) }, &folder, CPU, None);
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
fn overfit<T: Task>(task: &T, recipe: &Recipe, folder: &Path) -> (f64, f64) {
    run(task, recipe, folder, CPU, None);
    let metrics = unclip_training::run::Metrics::open(&folder.join("metrics.jsonl"), u64::MAX).unwrap();
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
    falls("clip", overfit(&clip(&at("clip"), CPU), &recipe(60, 4, 1), &at("clip")), 0.3);
    let towers = at("clip").join("bundle");
    let (task, fingerprint) = prior(&at("prior"), &towers, CPU);
    let with_clip = Recipe { clip: fingerprint.clone(), ..recipe(90, 4, 1) };
    falls("prior", overfit(&task, &with_clip, &at("prior")), 0.5);
    let (task, _) = decoder(&at("decoder"), &towers, CPU);
    falls("decoder", overfit(&task, &with_clip, &at("decoder")), 0.6);
    falls("upsampler", overfit(&upsampler(&at("upsampler"), CPU), &recipe(60, 4, 1), &at("upsampler")), 0.5);
}
