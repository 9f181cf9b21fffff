//! DDIM under classifier-free guidance, on data whose best denoiser is known: more steps must come closer to where endlessly
//! many end.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use serde_json::json;
use unclip_diffusion::guidance::combine;
use unclip_diffusion::noise::TorchNoise;
use unclip_diffusion::{DdimSampler, SchedulerConfig, StepInput};

/// Values are near one of two places, with this deviation; the condition says how often it is the upper one.
const PLACE: f32 = 0.8;
const DEVIATION: f32 = 0.05;

const SCALE: f32 = 3.0;

/// Karlo's decoder, but that it predicts x_0.
fn config() -> SchedulerConfig {
    let config = json!({
        "_class_name": "UnCLIPScheduler", "prediction_type": "sample", "variance_type": "fixed_small_log",
    });
    serde_json::from_value(config).unwrap()
}

/// The expected x_0 of a value x_t, where the upper place has the probability `upper`.
fn denoise(x_t: f32, alpha_bar: f32, upper: f32) -> f32 {
    let (signal, spread) = (alpha_bar.sqrt(), 1.0 - alpha_bar);
    let variance = alpha_bar * DEVIATION.powi(2) + spread;
    let likelihood = |place: f32| -(x_t - signal * place).powi(2) / (2.0 * variance);
    let odds = likelihood(-PLACE) + (1.0 - upper).ln() - likelihood(PLACE) - upper.ln();
    let share = 1.0 / (1.0 + odds.exp());
    let of = |place: f32| place + signal * DEVIATION.powi(2) / variance * (x_t - signal * place);
    share * of(PLACE) + (1.0 - share) * of(-PLACE)
}

/// Where DDIM ends.
fn run(sampler: &DdimSampler, steps: u32) -> Vec<f32> {
    let timesteps = sampler.timesteps(steps).unwrap();
    let mut x = TorchNoise::new(3).normal(256);
    for index in 0..timesteps.len() {
        let alpha_bar = sampler.schedule().alphas_cumprod()[timesteps[index] as usize];
        let predict = |upper: f32| x.iter().map(|x| denoise(*x, alpha_bar, upper)).collect::<Vec<_>>();
        let model_output = &combine(&predict(0.8), &predict(0.5), SCALE, 0).unwrap();
        let timesteps = &timesteps;
        let input = StepInput { timesteps, index, model_output, x_t: &x, seen: None, noise: None };
        x = sampler.step(input).unwrap().prev;
    }
    x
}

fn rmse(a: &[f32], b: &[f32]) -> f32 {
    let sum: f32 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (sum / a.len() as f32).sqrt()
}

#[test]
fn more_steps_come_closer_with_the_noise_of_the_clamped_x_0() {
    let ddim = DdimSampler::new(&config(), 0.0).unwrap();
    let end = run(&ddim, 1000);
    let distances = [5, 10, 25, 50, 100].map(|steps| rmse(&run(&ddim, steps), &end));
    assert!(distances.is_sorted_by(|a, b| a > b) && distances[4] < 0.01, "{distances:?}");
    // What the reference does unless told otherwise leaves the range of the data, the further the more steps.
    let unclamped = ddim.with_clamped_epsilon(false);
    let distances = [10, 25, 50].map(|steps| rmse(&run(&unclamped, steps), &end));
    assert!(distances.is_sorted_by(|a, b| a < b) && distances[2] > 1.0, "{distances:?}");
}
