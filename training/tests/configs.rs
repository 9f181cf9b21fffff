//! The configurations that come with the repository.

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
fn all_of_them_are_taken() {
    for machine in ["cpu", "h100"] {
        read_config::<ClipConfig>(&path(machine, "clip")).unwrap();
        read_config::<PriorTrainingConfig>(&path(machine, "prior")).unwrap();
        read_config::<JudgeConfig>(&path(machine, "judge")).unwrap();
        let decoder: DecoderConfig = read_config(&path(machine, "decoder")).unwrap();
        let upsampler: UpsamplerConfig = read_config(&path(machine, "upsampler")).unwrap();
        assert_eq!(decoder.unet.side, upsampler.small_side, "{machine}");
        assert_eq!(upsampler.unet.side, 4 * upsampler.small_side, "{machine}");
    }
}

/// A further training starts from a network of the same shape.
#[test]
fn further_trainings_keep_the_shape() {
    let [first, more] = ["decoder", "decoder-more"]
        .map(|stage| read_config::<DecoderConfig>(&path("cpu", stage)).unwrap().unet);
    assert_eq!(format!("{first:?}"), format!("{more:?}"));
    let [first, whole] = ["upsampler", "upsampler-whole"]
        .map(|stage| read_config::<UpsamplerConfig>(&path("cpu", stage)).unwrap());
    assert_eq!(format!("{:?}", first.unet), format!("{:?}", whole.unet));
    assert_eq!((first.small_side, whole.crop), (whole.small_side, whole.unet.side));
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
    let two = refused("batch = 16", "batch = 0\nclip_norm = -1.0");
    assert!(two.contains("optimisation.batch is 0") && two.contains("optimisation.clip_norm is -1"), "{two}");
    let odd = refused("batch = 16", "batch = 15");
    assert!(odd.contains("a multiple of optimisation.replicas"), "{odd}");
    let unknown = refused("batch = 16", "bach = 16");
    assert!(unknown.contains("decoder.toml") && unknown.contains("unknown field `bach`"), "{unknown}");
}
