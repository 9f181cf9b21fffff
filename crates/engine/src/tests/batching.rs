//! Who shares a forward with whom, and that nobody notices.

use std::pin::pin;

use unclip_diffusion::noise::TorchNoise;
use unclip_diffusion::{StepInput, guidance};

use super::rig::{Act, LEN, Rig, Seen, alone, ddim, guided, job, predict, unclip};
use crate::*;

#[tokio::test]
async fn different_requests_share_a_forward() {
    let mut rig = Rig::new(8, 8, 8).await;
    let _handles = rig.submit([job(1.0, 3), guided(2.0, 5)]).await;
    let lane = |condition, timestep, branch| Seen { condition, timestep, branch };
    let (with, without) = (Branch::Conditional, Branch::Unconditional);
    assert_eq!(rig.forward().await, [lane(1.0, 999, with), lane(2.0, 999, with), lane(2.0, 999, without)]);
    rig.end(Act::Answer);
    assert_eq!(rig.forward().await, [lane(1.0, 500, with), lane(2.0, 749, with), lane(2.0, 749, without)]);
}

#[tokio::test]
async fn jobs_join_and_leave_at_a_step() {
    let mut rig = Rig::new(8, 8, 8).await;
    let [first] = rig.submit([job(1.0, 2)]).await;
    assert_eq!(rig.conditions().await, [1.0]);
    let second = rig.engine.submit(job(2.0, 2)).unwrap();
    rig.end(Act::Answer);
    assert_eq!(rig.conditions().await, [1.0, 2.0]);
    rig.end(Act::Answer);
    assert_eq!(first.finish().await.unwrap().sample.len(), LEN);
    assert_eq!(rig.conditions().await, [2.0]);
    rig.end(Act::Answer);
    second.finish().await.unwrap();
    assert_eq!(rig.engine.load(), Load::default());
}

#[tokio::test]
async fn rows_take_turns_where_lanes_are_few() {
    let mut rig = Rig::new(2, 8, 8).await;
    let _handles = rig.submit([job(1.0, 9), guided(2.0, 9), job(3.0, 9)]).await;
    for expected in [[1.0, 3.0], [2.0, 2.0], [1.0, 3.0], [2.0, 2.0]] {
        assert_eq!(rig.conditions().await, expected);
        rig.end(Act::Answer);
    }
}

#[tokio::test]
async fn a_stream_of_short_jobs_holds_nobody_up() {
    let mut rig = Rig::new(1, 2, 8).await;
    let _long = rig.submit([job(1.0, 9)]).await;
    let mut short = Vec::new();
    assert_eq!(rig.conditions().await, [1.0]);
    for _ in 0..4 {
        short.push(rig.engine.submit(job(2.0, 1)).unwrap());
        rig.end(Act::Answer);
        assert_eq!(rig.conditions().await, [1.0], "a new row comes behind whoever waits already");
        rig.end(Act::Answer);
        assert_eq!(rig.conditions().await, [2.0]);
    }
}

#[tokio::test]
async fn more_jobs_than_rows_wait_their_turn() {
    let mut rig = Rig::new(8, 1, 8).await;
    let _handles = rig.submit([job(1.0, 2), job(2.0, 1)]).await;
    for expected in [1.0, 1.0, 2.0] {
        assert_eq!(rig.conditions().await, [expected]);
        rig.end(Act::Answer);
    }
}

#[tokio::test]
async fn a_guided_row_runs_where_one_lane_is_the_limit() {
    let mut rig = Rig::new(1, 8, 8).await;
    let [handle] = rig.submit([guided(2.0, 1)]).await;
    assert_eq!(rig.conditions().await, [2.0, 2.0]);
    rig.end(Act::Answer);
    handle.finish().await.unwrap();
}

#[tokio::test]
async fn different_batch_keys_do_not_mix() {
    let mut rig = Rig::new(8, 8, 8).await;
    // The last of 7 steps has a key of its own.
    let keyed = job(7.0, 7);
    let resumed = Start::Resume { step: 5, x_t: vec![0.0; LEN], noise: TorchNoise::new(1) };
    let _handles = rig.submit([Job { start: resumed, ..keyed }, job(1.0, 4)]).await;
    for expected in [vec![7.0, 1.0], vec![7.0], vec![1.0], vec![1.0]] {
        assert_eq!(rig.conditions().await, expected);
        rig.end(Act::Answer);
    }
}

#[tokio::test]
async fn a_job_among_neighbours_equals_the_job_alone() {
    let ours = Job { start: Start::Noise(TorchNoise::new(7)), ..guided(0.25, 6) };
    let expected = alone(ours.clone()).await;

    let mut rig = Rig::new(4, 8, 8).await;
    let with_ddim = Job { sampler: ddim(), ..job(0.5, 4) };
    let [_first, handle, _third] = rig.submit([job(0.75, 9), ours, with_ddim]).await;
    let mut finish = pin!(handle.finish());
    let mut late = Vec::new();
    let finished = loop {
        tokio::select! {
            finished = &mut finish => break finished,
            _ = rig.forward() => {
                late.extend(rig.engine.submit(guided(0.1, 3)));
                rig.end(Act::Answer);
            }
        }
    };
    assert_eq!(finished.unwrap(), expected);
    assert!(late.len() > 6);
}

#[tokio::test]
async fn the_engine_computes_what_the_samplers_do() {
    for (sampler, scale) in [(unclip(), 4.0), (ddim(), 1.0)] {
        let job = Job { sampler, guidance_scale: scale, ..job(0.25, 5) };
        let mut noise = TorchNoise::new(42);
        let mut x_t = noise.normal(LEN);
        for (index, timestep) in job.timesteps.iter().copied().enumerate() {
            let step = StepView { index: u32::try_from(index).unwrap(), steps: 5 };
            let output = |branch| predict(&Lane { x_t: &x_t, timestep, context: &0.25, branch, step });
            let (with, without) = (output(Branch::Conditional), output(Branch::Unconditional));
            let model_output = guidance::combine(&with, &without, scale, LEN).unwrap();
            let model_output = if scale == 1.0 { with } else { model_output };
            let draws = job.sampler.needs_noise(&job.timesteps, index).unwrap();
            let drawn = draws.then(|| noise.normal(LEN));
            let (timesteps, x) = (job.timesteps.as_slice(), x_t.as_slice());
            let input = StepInput {
                timesteps,
                index,
                model_output: &model_output,
                x_t: x,
                seen: None,
                noise: drawn.as_deref(),
            };
            x_t = job.sampler.step(input).unwrap().prev;
        }
        assert_eq!(alone(job).await, Finished { sample: x_t, noise: noise.position() });
    }
}
