//! The configurations that come with the repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use unclip_training::TrainError;
use unclip_training::clip::ClipConfig;
use unclip_training::decoder::DecoderConfig;
use unclip_training::judge::JudgeConfig;
use unclip_training::prior::PriorTrainingConfig;
use unclip_training::run::read_config;
use unclip_training::upsampler::UpsamplerConfig;

fn path(machine: &str, stage: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("configs/{machine}/{stage}.toml"))
}

#[test]
fn all_of_them_are_taken_and_the_cascade_fits() {
    for machine in ["cpu", "h100"] {
        read_config::<ClipConfig>(&path(machine, "clip")).unwrap();
        read_config::<PriorTrainingConfig>(&path(machine, "prior")).unwrap();
        read_config::<JudgeConfig>(&path(machine, "judge")).unwrap();
        let decoder: DecoderConfig = read_config(&path(machine, "decoder")).unwrap();
        let [first, second]: [UpsamplerConfig; 2] =
            ["upsampler-first", "upsampler"].map(|stage| read_config(&path(machine, stage)).unwrap());
        assert_eq!((decoder.unet.side, first.unet.side), (first.small_side, second.small_side), "{machine}");
        assert_eq!(
            (first.crop, second.crop),
            (first.unet.side, second.unet.side),
            "{machine}: whole pictures"
        );
    }
}

/// A further training starts from a network of the same shape.
#[test]
fn further_trainings_keep_the_shape() {
    let [first, more] = ["decoder", "decoder-more"]
        .map(|stage| read_config::<DecoderConfig>(&path("cpu", stage)).unwrap().unet);
    assert_eq!(format!("{first:?}"), format!("{more:?}"));
}

/// Every thing that is trained on is known by its own name, and other names are of such things only.
#[test]
fn names_are_of_things_that_are_trained_on() {
    let lines = |file: &str| {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(file));
        let text = text.unwrap();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let every: BTreeSet<String> = lines("every.txt").into_iter().collect();
    for smaller in ["things.txt", "drawn.txt"] {
        let unknown: Vec<_> = lines(smaller).into_iter().filter(|thing| !every.contains(thing)).collect();
        assert!(unknown.is_empty(), "{smaller}: {unknown:?}");
    }
    for line in lines("names.txt") {
        let (thing, names) = line.split_once(": ").unwrap();
        assert!(every.contains(thing), "{thing}");
        assert!(names.split(", ").all(|name| !every.contains(name)), "a name is a thing itself: {line}");
    }
}

#[test]
fn errors_name_every_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decoder.toml");
    let text = std::fs::read_to_string(path("cpu", "decoder")).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let error: TrainError = read_config::<DecoderConfig>(&file).unwrap_err();
        error.to_string()
    };
    let two = refused("batch = 32", "batch = 0\nclip_norm = -1.0");
    assert!(two.contains("optimisation.batch is 0") && two.contains("optimisation.clip_norm is -1"), "{two}");
    let odd = refused("batch = 32", "batch = 15");
    assert!(odd.contains("a multiple of optimisation.replicas"), "{odd}");
    let unknown = refused("batch = 32", "bach = 16");
    assert!(unknown.contains("decoder.toml") && unknown.contains("unknown field `bach`"), "{unknown}");
}
