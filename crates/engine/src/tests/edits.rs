//! Jobs that keep a part of a given sample.

use unclip_diffusion::noise::{TorchNoise, draws_for};

use super::inversion::inverse;
use super::rig::{Act, LEN, Rig, alone, ddim, guided, job, unclip};
use crate::*;

/// Keeps the first half of a ramp.
fn keep(resample: u32) -> Keep {
    Keep {
        x_0: (0..LEN).map(|at| at as f32 / 10.0 - 1.0).collect(),
        mask: (0..LEN).map(|at| at < LEN / 2).collect(),
        resample,
    }
}

fn edit(resample: u32) -> Job<f32> {
    Job { keep: Some(keep(resample)), ..guided(0.25, 5) }
}

#[tokio::test]
async fn kept_values_come_back_exactly() {
    for sampler in [unclip(), ddim()] {
        for resample in [0, 3] {
            let finished = alone(Job { sampler: sampler.clone(), ..edit(resample) }).await;
            assert_eq!(finished.sample[..LEN / 2], keep(0).x_0[..LEN / 2]);
            assert_ne!(finished.sample[LEN / 2..], keep(0).x_0[LEN / 2..]);
        }
    }
}

#[tokio::test]
async fn keeping_nothing_is_the_job_without_an_edit() {
    let nothing = Keep { mask: [false; LEN].into(), ..keep(4) };
    let job = Job { keep: Some(nothing), ..guided(0.25, 5) };
    assert_eq!(alone(job).await, alone(guided(0.25, 5)).await);
}

#[tokio::test]
async fn what_is_kept_shapes_the_rest_only_through_the_model() {
    // The fake looks at each value alone, so the edited half depends on the row's noise and on nothing that is kept.
    let other = Keep { x_0: [0.5; LEN].into(), ..keep(2) };
    let (ours, theirs) = (alone(edit(2)).await, alone(Job { keep: Some(other), ..edit(2) }).await);
    assert_eq!(ours.sample[LEN / 2..], theirs.sample[LEN / 2..]);
    assert_ne!(ours.sample[..LEN / 2], theirs.sample[..LEN / 2]);
}

#[tokio::test]
async fn a_repeated_step_takes_a_forward_each_time_but_the_last() {
    let mut rig = Rig::new(8, 8, 8).await;
    let [mut handle] = rig.submit([Job { keep: Some(keep(2)), ..job(1.0, 3) }]).await;
    assert_eq!(rig.engine.load().outstanding_steps, 7);
    let mut timesteps = Vec::new();
    for _ in 0..7 {
        timesteps.push(rig.forward().await[0].timestep);
        rig.end(Act::Answer);
    }
    assert_eq!(timesteps, [999, 999, 999, 500, 500, 500, 0]);
    let mut last = None;
    while let Some(event) = handle.next_event().await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Progress { step: 3, steps: 3 }));
    let finished = handle.finish().await.unwrap();
    // The start, the sampler's and the edit's noise of six forwards, and of four jumps back.
    assert_eq!(finished.noise.draws, (1 + 2 * 6 + 4) * draws_for(LEN));
    assert_eq!(rig.engine.load(), Load::default());
}

#[tokio::test]
async fn an_edit_among_neighbours_equals_the_edit_alone() {
    let mut rig = Rig::new(4, 8, 8).await;
    let neighbour = Job { keep: Some(keep(1)), start: Start::Noise(TorchNoise::new(9)), ..job(0.5, 3) };
    let handles = rig.submit([neighbour.clone(), edit(2), guided(0.75, 9)]).await;
    tokio::spawn(async move {
        loop {
            rig.forward().await;
            rig.end(Act::Answer);
        }
    });
    for (handle, job) in handles.into_iter().zip([neighbour, edit(2), guided(0.75, 9)]) {
        assert_eq!(handle.finish().await.unwrap(), alone(job).await);
    }
}

#[tokio::test]
async fn an_edit_goes_on_from_a_checkpoint() {
    let mut rig = Rig::new(8, 8, 8).await;
    let [mut handle] = rig.submit([Job { checkpoint_every: 2, ..edit(1) }]).await;
    for _ in 0..4 {
        rig.forward().await;
        rig.end(Act::Answer);
    }
    rig.forward().await;
    let resumed = loop {
        if let Some(Event::Checkpoint { step, x_t, noise }) = handle.next_event().await {
            break Start::Resume { step, x_t, noise: TorchNoise::at(noise).unwrap() };
        }
    };
    assert_eq!(alone(Job { start: resumed, ..edit(1) }).await, alone(edit(1)).await);
    rig.end(Act::Answer);
}

#[tokio::test]
async fn edits_that_do_not_fit_are_refused_by_name() {
    let rig = Rig::new(8, 8, 8).await;
    let with = |keep| Job { keep: Some(keep), ..job(1.0, 3) };
    let cases = [
        (with(Keep { x_0: [0.0; 3].into(), ..keep(0) }), "`keep.x_0` has 3 values; expected 20"),
        (with(Keep { mask: [true; 21].into(), ..keep(0) }), "`keep.mask` has 21 values; expected 20"),
        (with(Keep { x_0: [f32::NAN; LEN].into(), ..keep(0) }), "`keep.x_0 value` is NaN; it must be finite"),
        (with(keep(51)), "`keep.resample` is 51; it must be at most 50"),
        (Job { keep: Some(keep(0)), ..inverse(3, 0) }, "`keep` is set; it must be left out of an inversion"),
    ];
    for (job, text) in cases {
        let error = rig.engine.submit(job).unwrap_err().to_string();
        assert_eq!(error, format!("invalid job: {text}"));
    }
}
