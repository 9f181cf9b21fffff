//! Against torch 2.11.0 and diffusers 0.42.1, whose numbers `goldens/make.py` wrote.
//!
//! Tables and timesteps are compared for equality. Steps to 2e-6 of the larger of 1 and the value, because
//! torch's square root isn't rounded correctly everywhere (one last bit in 218 of Karlo's 1000
//! `alphas_cumprod` on an AMD EPYC); x_0 to 1e-5, because it's divided by that root. Noise to 1e-5.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use serde::Deserialize;
use serde::de::DeserializeOwned;
use unclip_diffusion::noise::TorchNoise;
use unclip_diffusion::{
    DdimInverse, DdimSampler, PredictionType, Sampler, SchedulerConfig, StepInput, StepOutput,
};

const STEP_TOLERANCE: f32 = 2e-6;
const X_0_TOLERANCE: f32 = 1e-5;
const NOISE_TOLERANCE: f32 = 1e-5;

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * e.abs().max(1.0), "{what}: value {i} is {a}, expected {e}");
    }
}

#[derive(Deserialize)]
struct Table {
    config: SchedulerConfig,
    at: Vec<usize>,
    betas: Vec<f32>,
    alphas_cumprod: Vec<f32>,
    q_sample: QSample,
}

#[derive(Deserialize)]
struct QSample {
    t: u32,
    x_0: Vec<f32>,
    noise: Vec<f32>,
    x_t: Vec<f32>,
}

#[test]
fn schedules_equal_torchs() {
    #[derive(Deserialize)]
    struct Golden {
        tables: Vec<Table>,
    }
    for table in read::<Golden>(include_str!("goldens/schedules.json")).tables {
        let schedule = table.config.noise_schedule().unwrap();
        let pick = |values: &[f32]| table.at.iter().map(|t| values[*t]).collect::<Vec<_>>();
        assert_eq!(pick(schedule.betas()), table.betas, "{:?}", table.config);
        assert_eq!(pick(schedule.alphas_cumprod()), table.alphas_cumprod, "{:?}", table.config);
        let QSample { t, x_0, noise, x_t } = table.q_sample;
        assert_close("q_sample", &schedule.q_sample(&x_0, &noise, t).unwrap(), &x_t, STEP_TOLERANCE);
    }
}

#[derive(Deserialize)]
struct Step {
    index: usize,
    num_steps: Option<u32>,
    eta: Option<f32>,
    model_output: Vec<f32>,
    x_t: Vec<f32>,
    noise: Option<Vec<f32>>,
    prev: Vec<f32>,
    x_0: Vec<f32>,
}

impl Step {
    fn input<'a>(&'a self, timesteps: &'a [u32]) -> StepInput<'a> {
        StepInput {
            timesteps,
            index: self.index,
            model_output: &self.model_output,
            x_t: &self.x_t,
            seen: None,
            noise: self.noise.as_deref(),
        }
    }

    #[track_caller]
    fn check(&self, what: &str, output: &StepOutput) {
        assert_close(&format!("{what}, x_0"), &output.x_0, &self.x_0, X_0_TOLERANCE);
        assert_close(&format!("{what}, prev"), &output.prev, &self.prev, STEP_TOLERANCE);
    }
}

#[derive(Deserialize)]
struct UnClipGolden {
    timesteps: Vec<Vec<u32>>,
    configs: Vec<UnClipConfig>,
}

#[derive(Deserialize)]
struct UnClipConfig {
    name: String,
    config: SchedulerConfig,
    steps: Vec<Step>,
    run: Run,
}

#[derive(Deserialize)]
struct Run {
    num_steps: u32,
    seed: u64,
    sample: Vec<f32>,
}

fn unclip() -> UnClipGolden {
    read(include_str!("goldens/unclip.json"))
}

#[test]
fn unclip_timesteps_equal_the_references() {
    let golden = unclip();
    let sampler = Sampler::from_config(&golden.configs[0].config).unwrap();
    for expected in golden.timesteps {
        assert_eq!(sampler.timesteps(u32::try_from(expected.len()).unwrap()).unwrap(), expected);
    }
}

#[test]
fn unclip_steps_match_for_every_karlo_stage() {
    for UnClipConfig { name, config, steps, .. } in unclip().configs {
        let sampler = Sampler::from_config(&config).unwrap();
        assert_eq!(sampler.predicts_variance(), name == "decoder");
        for step in steps {
            let num_steps = step.num_steps.unwrap();
            let timesteps = sampler.timesteps(num_steps).unwrap();
            assert_eq!(sampler.needs_noise(&timesteps, step.index), Ok(step.noise.is_some()));
            let output = sampler.step(step.input(&timesteps)).unwrap();
            step.check(&format!("{name}, step {} of {num_steps}", step.index), &output);
        }
    }
}

/// 25 steps with one generator: the order of draws and the steps together. Differences of the noise add up.
#[test]
fn unclip_runs_match_from_seed_to_sample() {
    for UnClipConfig { name, config, run, .. } in unclip().configs {
        let sampler = Sampler::from_config(&config).unwrap();
        let timesteps = sampler.timesteps(run.num_steps).unwrap();
        let mut noise = TorchNoise::new(run.seed);
        let mut x = noise.normal(run.sample.len());
        for index in 0..timesteps.len() {
            let mut output: Vec<f32> = x.iter().map(|x| 0.75 * x + 0.125).collect();
            if sampler.predicts_variance() {
                output.extend(x.iter().map(|x| 0.25 * x));
            }
            let drawn = sampler.needs_noise(&timesteps, index).unwrap().then(|| noise.normal(x.len()));
            let input = StepInput {
                timesteps: &timesteps,
                index,
                model_output: &output,
                x_t: &x,
                seen: None,
                noise: drawn.as_deref(),
            };
            x = sampler.step(input).unwrap().prev;
        }
        assert_close(&name, &x, &run.sample, NOISE_TOLERANCE);
    }
}

/// diffusers gives x_0 times 0.999472 at timestep 0.
#[test]
fn unclip_last_step_is_not_quite_x_0() {
    let decoder = unclip().configs.remove(1);
    let sampler = Sampler::from_config(&decoder.config).unwrap();
    let input = StepInput {
        timesteps: &[0],
        index: 0,
        model_output: &[0.0; 2],
        x_t: &[0.5],
        seen: None,
        noise: None,
    };
    let StepOutput { prev, x_0 } = sampler.step(input).unwrap();
    assert!((prev[0] / x_0[0] - 0.999_472).abs() < 1e-6, "{}", prev[0] / x_0[0]);
}

#[derive(Deserialize)]
struct DdimGolden {
    configs: Vec<DdimConfig>,
    timesteps: Vec<DdimTimesteps>,
}

#[derive(Deserialize)]
struct DdimConfig {
    config: SchedulerConfig,
    num_steps: u32,
    steps: Vec<Step>,
    inverse: Vec<Step>,
}

#[derive(Deserialize)]
struct DdimTimesteps {
    config: SchedulerConfig,
    timesteps: Vec<u32>,
}

fn ddim() -> DdimGolden {
    read(include_str!("goldens/ddim.json"))
}

#[test]
fn ddim_timesteps_equal_the_references() {
    for DdimTimesteps { config, timesteps } in ddim().timesteps {
        let sampler = Sampler::from_config(&config).unwrap();
        let num_steps = u32::try_from(timesteps.len()).unwrap();
        assert_eq!(sampler.timesteps(num_steps).unwrap(), timesteps, "{:?}", config.timestep_spacing);
    }
}

/// diffusers' default is the noise of the unclamped x_0.
#[test]
fn ddim_steps_match_for_every_eta() {
    for DdimConfig { config, num_steps, steps, .. } in ddim().configs {
        for step in steps {
            let sampler = DdimSampler::new(&config, step.eta.unwrap()).unwrap().with_clamped_epsilon(false);
            let timesteps = sampler.timesteps(num_steps).unwrap();
            let output = sampler.step(step.input(&timesteps)).unwrap();
            step.check(&format!("{config:?}, eta {:?}, step {}", step.eta, step.index), &output);
        }
    }
}

#[derive(Deserialize)]
struct ClampedGolden {
    configs: Vec<ClampedConfig>,
}

#[derive(Deserialize)]
struct ClampedConfig {
    config: SchedulerConfig,
    num_steps: u32,
    steps: Vec<ClampedStep>,
}

#[derive(Deserialize)]
struct ClampedStep {
    clamped: bool,
    #[serde(flatten)]
    step: Step,
}

/// `use_clipped_model_output` both ways, on outputs that leave the range; without a word it is the clamped one.
#[test]
fn ddim_steps_match_with_the_noise_of_the_clamped_x_0_and_without() {
    let golden: ClampedGolden = read(include_str!("goldens/ddim_clamped.json"));
    for ClampedConfig { config, num_steps, steps } in golden.configs {
        for ClampedStep { clamped, step } in steps {
            let default = DdimSampler::new(&config, step.eta.unwrap()).unwrap();
            let sampler = if clamped { default } else { default.with_clamped_epsilon(false) };
            let timesteps = sampler.timesteps(num_steps).unwrap();
            let output = sampler.step(step.input(&timesteps)).unwrap();
            let what = format!("{config:?}, eta {:?}, step {}, clamped {clamped}", step.eta, step.index);
            step.check(&what, &output);
        }
    }
}

/// Of models that predict noise: of the others the references' inversion is another one, see [`DdimInverse`].
#[test]
fn ddim_inversion_matches() {
    let epsilon = |one: &DdimConfig| one.config.prediction_type == PredictionType::Epsilon;
    for DdimConfig { config, num_steps, inverse, .. } in ddim().configs.into_iter().filter(epsilon) {
        let sampler = DdimInverse::new(&DdimSampler::new(&config, 0.0).unwrap(), 0).unwrap();
        let timesteps = sampler.timesteps(num_steps).unwrap();
        for step in inverse {
            let output = sampler.step(step.input(&timesteps)).unwrap();
            step.check(&format!("{config:?}, inverse step {}", step.index), &output);
        }
    }
}

#[derive(Deserialize)]
struct NoiseGolden {
    draws: Vec<Draw>,
    sequences: Vec<Sequence>,
}

#[derive(Deserialize)]
struct Draw {
    seed: u64,
    len: usize,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct Sequence {
    seed: u64,
    values: Vec<Vec<f32>>,
}

fn noise() -> NoiseGolden {
    read(include_str!("goldens/noise.json"))
}

#[test]
fn noise_matches_torch_randn() {
    for Draw { seed, len, values } in noise().draws {
        let drawn = TorchNoise::new(seed).normal(len);
        assert_close(&format!("seed {seed}, length {len}"), &drawn, &values, NOISE_TOLERANCE);
    }
}

/// The pending scalar survives buffer fills in between, and a generator resumed before any draw goes on the same.
#[test]
fn noise_sequences_match_and_resume_anywhere() {
    for Sequence { seed, values } in noise().sequences {
        let mut noise = TorchNoise::new(seed);
        for (i, expected) in values.iter().enumerate() {
            let mut resumed = TorchNoise::at(noise.position()).unwrap();
            let drawn = noise.normal(expected.len());
            assert_close(&format!("seed {seed}, draw {i}"), &drawn, expected, NOISE_TOLERANCE);
            assert_eq!(resumed.normal(expected.len()), drawn, "seed {seed}, draw {i}");
            assert_eq!(resumed.position(), noise.position(), "seed {seed}, draw {i}");
        }
    }
}
