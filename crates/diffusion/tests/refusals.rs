//! Bad input is refused with a text that says what is wrong.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use serde_json::json;
use unclip_diffusion::{DdimInverse, DdimSampler, Sampler, SchedulerConfig, StepInput, slerp};

fn decoder_config() -> SchedulerConfig {
    serde_json::from_value(json!({"_class_name": "UnCLIPScheduler", "variance_type": "learned_range"}))
        .unwrap()
}

const GOOD: StepInput<'static> = StepInput {
    timesteps: &[999, 500, 0],
    index: 0,
    model_output: &[0.0; 6],
    x_t: &[0.0; 3],
    seen: None,
    noise: Some(&[0.0; 3]),
};

#[track_caller]
fn assert_refused(input: StepInput<'_>, text: &str) {
    let unclip = Sampler::from_config(&decoder_config()).unwrap();
    let ddim = Sampler::Ddim(DdimSampler::new(&decoder_config(), 1.0).unwrap());
    for sampler in [unclip, ddim] {
        let error = sampler.step(input).unwrap_err().to_string();
        assert_eq!(error, text, "{sampler:?}");
    }
}

#[test]
fn lengths_must_agree() {
    assert_refused(StepInput { model_output: &[0.0; 3], ..GOOD }, "`model_output` has 3 values; expected 6");
    assert_refused(StepInput { noise: Some(&[0.0; 6]), ..GOOD }, "`noise` has 6 values; expected 3");
}

#[test]
fn noise_must_be_there() {
    assert_refused(
        StepInput { noise: None, ..GOOD },
        "step 0 adds noise: pass `noise` with 3 standard normal values",
    );
}

#[test]
fn the_index_must_be_in_the_list() {
    assert_refused(StepInput { index: 3, ..GOOD }, "step index 3 is outside the list of 3 timesteps");
    assert_refused(StepInput { timesteps: &[], ..GOOD }, "step index 0 is outside the list of 0 timesteps");
}

#[test]
fn timesteps_must_be_trained_and_decrease() {
    assert_refused(StepInput { timesteps: &[1000, 0], ..GOOD }, "`timestep` is 1000; it must be below 1000");
    assert_refused(
        StepInput { timesteps: &[500, 500], ..GOOD },
        "timesteps 500 and 500 follow each other at step 0; they must be strictly decreasing",
    );
}

#[test]
fn inversion_must_increase() {
    let ddim = DdimSampler::new(&decoder_config(), 0.0).unwrap();
    let inverse = DdimInverse::new(&ddim, 0).unwrap();
    let error = inverse.step(StepInput { index: 1, ..GOOD }).unwrap_err().to_string();
    assert_eq!(error, "timesteps 999 and 500 follow each other at step 1; they must be strictly increasing");
}

#[test]
fn step_counts_must_be_possible() {
    let sampler = Sampler::from_config(&decoder_config()).unwrap();
    for num_steps in [0, 1001, u32::MAX] {
        let error = sampler.timesteps(num_steps).unwrap_err().to_string();
        assert_eq!(error, format!("`num_steps` is {num_steps}; it must be 1 to 1000"));
    }
}

#[test]
fn eta_must_be_between_0_and_1() {
    for eta in [-0.1, 1.5, f32::NAN] {
        let error = DdimSampler::new(&decoder_config(), eta).unwrap_err().to_string();
        assert_eq!(error, format!("`eta` is {eta}; it must be 0 to 1"));
    }
    assert!(DdimSampler::new(&decoder_config(), 0.0).unwrap().with_eta(2.0).is_err());
}

#[test]
fn a_changed_config_is_checked_again() {
    let mut config = decoder_config();
    config.clip_sample_range = Some(f32::NAN);
    assert!(Sampler::from_config(&config).is_err());
    config.num_train_timesteps = u32::MAX;
    assert!(Sampler::from_config(&config).is_err());
}

#[test]
fn slerp_needs_one_length_and_a_share() {
    assert!(slerp(&[1.0], &[1.0, 2.0], 0.5).is_err());
    assert!(slerp(&[1.0], &[1.0], 1.5).is_err());
    assert!(slerp(&[1.0], &[1.0], f32::NAN).is_err());
}

#[test]
fn slerp_of_exact_opposites_and_zeros() {
    let half = slerp(&[2.0, 0.0, 0.0], &[-2.0, 0.0, 0.0], 0.5).unwrap();
    assert!((half.iter().map(|x| x * x).sum::<f32>() - 4.0).abs() < 1e-5 && half[0].abs() < 1e-6, "{half:?}");
    assert_eq!(slerp(&[0.0, 0.0], &[0.0, 4.0], 0.25), Ok(vec![0.0, 1.0]));
    assert_eq!(slerp(&[3.0, 4.0], &[3.0, 4.0], 0.3), Ok(vec![3.0, 4.0]));
}

#[test]
fn refinements_have_a_limit() {
    let ddim = DdimSampler::new(&decoder_config(), 0.5).unwrap();
    let error = DdimInverse::new(&ddim, 11).unwrap_err().to_string();
    assert_eq!(error, "`refinements` is 11; it must be at most 10");
}

#[test]
fn an_inversion_is_a_sampler_that_walks_up() {
    let ddim = DdimSampler::new(&decoder_config(), 0.5).unwrap();
    let inverse = Sampler::DdimInverse(DdimInverse::new(&ddim, 2).unwrap());
    let timesteps = inverse.timesteps(5).unwrap();
    assert!(timesteps.is_sorted() && timesteps.len() == 5);
    assert_eq!((inverse.evaluations(), inverse.needs_noise(&timesteps, 4)), (3, Ok(false)));
    let error = inverse.needs_noise(&[5, 5], 1).unwrap_err().to_string();
    assert!(error.contains("strictly increasing"), "{error}");
}
