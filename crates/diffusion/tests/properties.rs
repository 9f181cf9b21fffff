//! What holds for every input.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use unclip_diffusion::guidance::combine;
use unclip_diffusion::noise::{TorchNoise, draws_for};
use unclip_diffusion::{DdimInverse, DdimSampler, Sampler, SchedulerConfig, StepInput, UnClipSampler, slerp};

fn config(prediction_type: &str, variance_type: &str) -> SchedulerConfig {
    let config = json!({
        "_class_name": "UnCLIPScheduler", "prediction_type": prediction_type, "variance_type": variance_type,
    });
    serde_json::from_value(config).unwrap()
}

fn samplers() -> Vec<Sampler> {
    let prior = config("sample", "fixed_small_log");
    let decoder = config("epsilon", "learned_range");
    vec![
        Sampler::UnClip(UnClipSampler::new(&prior).unwrap()),
        Sampler::UnClip(UnClipSampler::new(&decoder).unwrap()),
        Sampler::Ddim(DdimSampler::new(&prior, 0.5).unwrap()),
        Sampler::Ddim(DdimSampler::new(&decoder, 1.0).unwrap()),
        Sampler::DdimInverse(DdimInverse::new(&DdimSampler::new(&prior, 0.0).unwrap(), 0).unwrap()),
        Sampler::DdimInverse(DdimInverse::new(&DdimSampler::new(&decoder, 0.0).unwrap(), 0).unwrap()),
    ]
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

fn vector(len: usize) -> impl Strategy<Value = Vec<f32>> {
    vec(-10.0_f32..10.0, len)
}

proptest! {
    #[test]
    fn slerp_norm_goes_linearly(a in vector(8), b in vector(8), t in 0.0_f32..=1.0) {
        let expected = f64::from(1.0 - t) * norm(&a) + f64::from(t) * norm(&b);
        prop_assert!((norm(&slerp(&a, &b, t).unwrap()) - expected).abs() < 1e-5 * (1.0 + expected));
    }

    #[test]
    fn slerp_between_almost_parallel_vectors_is_finite_and_long(
        a in vector(8), off in vec(-1e-6_f32..1e-6, 8), sign in prop_oneof![Just(-1.0_f32), Just(1.0)], t in 0.0_f32..=1.0
    ) {
        prop_assume!(norm(&a) > 1.0);
        let b: Vec<f32> = a.iter().zip(&off).map(|(a, off)| sign * a + off).collect();
        let between = slerp(&a, &b, t).unwrap();
        prop_assert!((norm(&between) / norm(&a) - 1.0).abs() < 1e-4);
        if sign > 0.0 {
            prop_assert!(between.iter().zip(&a).all(|(x, a)| (x - a).abs() < 1e-5));
        }
    }

    #[test]
    fn guidance_at_scale_one_is_conditional(cond in vector(6), uncond in vector(6)) {
        let guided = combine(&cond, &uncond, 1.0, 2).unwrap();
        prop_assert!(guided.iter().zip(&cond).all(|(g, c)| (g - c).abs() < 1e-5));
        prop_assert_eq!(&guided[4..], &cond[4..]);
    }

    #[test]
    fn a_position_is_enough_to_go_on(seed: u64, lens in vec(0_usize..40, 0..8), next in 1_usize..40) {
        let mut noise = TorchNoise::new(seed);
        lens.iter().for_each(|len| drop(noise.normal(*len)));
        let before = noise.position();
        let mut resumed = TorchNoise::at(before).unwrap();
        prop_assert_eq!(resumed.position(), before);
        prop_assert_eq!(resumed.normal(next), noise.normal(next));
        let from_pending = usize::from(before.pending.is_some() && next < 16);
        prop_assert_eq!(noise.position().draws - before.draws, draws_for(next - from_pending));
    }

    #[test]
    fn seeds_with_the_same_low_bits_draw_the_same(seed: u32, high: u32) {
        let wide = u64::from(high) << 32 | u64::from(seed);
        prop_assert_eq!(TorchNoise::new(wide).normal(20), TorchNoise::new(u64::from(seed)).normal(20));
    }

    #[test]
    fn runs_stay_finite_whatever_the_model_says(outputs in vector(8), seed: u64, num_steps in 1_u32..30) {
        for sampler in samplers() {
            let timesteps = sampler.timesteps(num_steps).unwrap();
            let mut noise = TorchNoise::new(seed);
            let mut x = noise.normal(4);
            for index in 0..timesteps.len() {
                let drawn = noise.normal(4);
                let model_output = &outputs[..4 * sampler.output_channels_factor()];
                let input = StepInput { timesteps: &timesteps, index, model_output, x_t: &x, seen: None, noise: Some(&drawn) };
                x = sampler.step(input).unwrap().prev;
                prop_assert!(x.iter().all(|x| x.is_finite()), "{sampler:?} at {index}");
            }
        }
    }
}

/// DDIM with eta 1 and `fixed_small_log` ancestral sampling are the same process (arXiv 2010.02502, section 4.1).
#[test]
fn ddim_with_eta_one_is_ancestral_sampling() {
    let prior = config("sample", "fixed_small_log");
    let ddim = Sampler::Ddim(DdimSampler::new(&prior, 1.0).unwrap());
    let unclip = Sampler::UnClip(UnClipSampler::new(&prior).unwrap());
    let timesteps = unclip.timesteps(25).unwrap();
    for index in 0..24 {
        let step = |sampler: &Sampler| {
            let noise: Option<&[f32]> = Some(&[0.7, -1.1]);
            let input = StepInput {
                timesteps: &timesteps,
                index,
                model_output: &[0.3, -0.8],
                x_t: &[1.5, 0.2],
                seen: None,
                noise,
            };
            sampler.step(input).unwrap().prev
        };
        let (a, b) = (step(&ddim), step(&unclip));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?} at {index}");
    }
}

/// The ten noisiest timesteps are left out: so little of x_0 is in them that `f32` loses it.
#[test]
fn inversion_undoes_ddim_for_a_constant_noise_estimate() {
    let mut decoder = config("epsilon", "fixed_small_log");
    decoder.clip_sample_range = None;
    let sampler = DdimSampler::new(&decoder, 0.0).unwrap();
    let inverse = DdimInverse::new(&sampler, 0).unwrap();
    let timesteps: Vec<u32> = sampler.timesteps(50).unwrap().split_off(10);
    let ascending: Vec<u32> = timesteps.iter().rev().copied().collect();
    let model_output = &[0.4, -1.2];
    let start = vec![0.25, -0.5];
    let mut x = start.clone();
    for index in 0..ascending.len() {
        let input =
            StepInput { timesteps: &ascending, index, model_output, x_t: &x, seen: None, noise: None };
        x = inverse.step(input).unwrap().prev;
    }
    for index in 0..timesteps.len() {
        let input =
            StepInput { timesteps: &timesteps, index, model_output, x_t: &x, seen: None, noise: None };
        x = sampler.step(input).unwrap().prev;
    }
    assert!(x.iter().zip(&start).all(|(a, b)| (a - b).abs() < 1e-4), "{x:?}");
}

/// A noise estimate that depends on x, as a network's does: then plain inversion drifts.
fn noise_estimate(x: &[f32], t: u32, _: f32) -> Vec<f32> {
    x.iter().map(|x| 0.8 * (x + t as f32 / 2000.0).sin()).collect()
}

/// The x_0 that is expected of x_t where values of x_0 are normal with mean 0.2 and variance 0.25.
fn x_0_estimate(x: &[f32], _: u32, alpha_bar: f32) -> Vec<f32> {
    let share = 0.25 * alpha_bar.sqrt() / (0.25 * alpha_bar + 1.0 - alpha_bar);
    x.iter().map(|x| 0.2 + share * (x - 0.2 * alpha_bar.sqrt())).collect()
}

/// Values of x, a timestep and its `alphas_cumprod`, to what a network would predict.
type Estimate = fn(&[f32], u32, f32) -> Vec<f32>;

/// How far DDIM ends from the sample whose inversion it starts from.
fn round_trip_error(prediction_type: &str, estimate: Estimate, refinements: u32) -> f32 {
    let mut decoder = config(prediction_type, "fixed_small_log");
    decoder.clip_sample_range = None;
    let ddim = DdimSampler::new(&decoder, 0.0).unwrap();
    let inverse = DdimInverse::new(&ddim, refinements).unwrap();
    // The noisiest timesteps are left out, see above.
    let mut ascending = inverse.timesteps(20).unwrap();
    ascending.truncate(16);
    let timesteps: Vec<u32> = ascending.iter().rev().copied().collect();
    let alpha_bar = |t: u32| ddim.schedule().alphas_cumprod()[t as usize];
    let start = vec![0.25, -0.5, 0.9];
    let mut x = start.clone();
    for (index, t) in ascending.iter().copied().enumerate() {
        let mut seen = x.clone();
        for _ in 0..inverse.evaluations() {
            let model_output = &estimate(&seen, t, alpha_bar(t));
            let timesteps = &ascending;
            let input = StepInput { timesteps, index, model_output, x_t: &x, seen: Some(&seen), noise: None };
            seen = inverse.step(input).unwrap().prev;
        }
        x = seen;
    }
    for (index, t) in timesteps.iter().copied().enumerate() {
        let model_output = &estimate(&x, t, alpha_bar(t));
        let input =
            StepInput { timesteps: &timesteps, index, model_output, x_t: &x, seen: None, noise: None };
        x = ddim.step(input).unwrap().prev;
    }
    x.iter().zip(&start).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn refinement_makes_inversion_exact() {
    let cases: [(&str, Estimate); 2] = [("epsilon", noise_estimate), ("sample", x_0_estimate)];
    for (prediction_type, estimate) in cases {
        let errors = [0, 2, 10].map(|refinements| round_trip_error(prediction_type, estimate, refinements));
        assert!(errors[0] > 0.01, "{errors:?}: plain inversion should drift");
        assert!(errors[1] < errors[0] / 2.0 && errors[2] < errors[0] / 20.0, "{errors:?}");
    }
}
