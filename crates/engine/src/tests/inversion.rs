//! Jobs that walk from a sample to noise.

use std::sync::Arc;

use unclip_diffusion::noise::TorchNoise;
use unclip_diffusion::{DdimInverse, DdimSampler, PredictionType, Sampler, StepInput};

use super::rig::{Act, LEN, Rig, alone, guided, job, predict, scheduler_config};
use crate::*;

/// An inversion of a ramp.
pub(super) fn inverse(steps: u32, refinements: u32) -> Job<f32> {
    // With this prediction a step up depends on what the model saw.
    let mut config = scheduler_config();
    config.prediction_type = PredictionType::Sample;
    let ddim = DdimSampler::new(&config, 0.0).unwrap();
    let sampler = Arc::new(Sampler::DdimInverse(DdimInverse::new(&ddim, refinements).unwrap()));
    let x_t = (0..LEN).map(|at| at as f32 / 20.0 - 0.5).collect();
    Job {
        timesteps: sampler.timesteps(steps).unwrap(),
        sampler,
        start: Start::From { x_t, noise: TorchNoise::new(1) },
        ..job(0.25, steps)
    }
}

#[tokio::test]
async fn a_step_is_refined_at_its_own_result() {
    for refinements in [0, 2] {
        let job = inverse(4, refinements);
        let Start::From { x_t: mut x, .. } = job.start.clone() else { unreachable!() };
        for (index, timestep) in job.timesteps.iter().copied().enumerate() {
            let step = StepView { index: u32::try_from(index).unwrap(), steps: 4 };
            let mut seen = x.clone();
            for _ in 0..=refinements {
                let lane = Lane { x_t: &seen, timestep, context: &0.25, branch: Branch::Conditional, step };
                let (timesteps, model_output) = (job.timesteps.as_slice(), &predict(&lane));
                let input =
                    StepInput { timesteps, index, model_output, x_t: &x, seen: Some(&seen), noise: None };
                seen = job.sampler.step(input).unwrap().prev;
            }
            x = seen;
        }
        let finished = alone(job).await;
        assert_eq!(finished.sample, x);
        assert_eq!(finished.noise.draws, 0, "inversion draws no noise");
    }
}

#[tokio::test]
async fn timesteps_go_up_and_refinements_count_as_work() {
    let mut rig = Rig::new(8, 8, 8).await;
    let [handle] = rig.submit([inverse(3, 1)]).await;
    assert_eq!(rig.engine.load().outstanding_steps, 6);
    let mut timesteps = Vec::new();
    for _ in 0..6 {
        timesteps.push(rig.forward().await[0].timestep);
        rig.end(Act::Answer);
    }
    assert_eq!(timesteps, [0, 0, 500, 500, 999, 999]);
    handle.finish().await.unwrap();
    assert_eq!(rig.engine.load(), Load::default());
}

#[tokio::test]
async fn an_inversion_among_neighbours_equals_the_inversion_alone() {
    let mut rig = Rig::new(4, 8, 8).await;
    let handles = rig.submit([guided(0.5, 4), inverse(5, 1), inverse(3, 0)]).await;
    tokio::spawn(async move {
        loop {
            rig.forward().await;
            rig.end(Act::Answer);
        }
    });
    for (handle, job) in handles.into_iter().zip([guided(0.5, 4), inverse(5, 1), inverse(3, 0)]) {
        assert_eq!(handle.finish().await.unwrap(), alone(job).await);
    }
}

#[tokio::test]
async fn an_inversion_that_walks_down_is_refused() {
    let rig = Rig::new(8, 8, 8).await;
    let error = rig.engine.submit(Job { timesteps: vec![9, 5], ..inverse(2, 0) }).unwrap_err().to_string();
    assert!(error.starts_with("invalid job: timesteps 9 and 5 follow each other at step 1"), "{error}");
}
