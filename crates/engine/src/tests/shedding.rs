//! Work that isn't done: cancelled, late, turned away. And the books afterwards.

use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use unclip_diffusion::noise::TorchNoise;

use super::rig::{Act, LEN, Rig, guided, job};
use crate::metric_names as names;
use crate::*;

/// A recorder for this thread, where the engine takes its handles.
fn recorder() -> (&'static DebuggingRecorder, Snapshotter) {
    let recorder: &'static DebuggingRecorder = Box::leak(Box::new(DebuggingRecorder::new()));
    (recorder, recorder.snapshotter())
}

/// The values of all metrics now, by name and reason.
fn values(snapshotter: &Snapshotter) -> Vec<(String, DebugValue)> {
    let snapshot = snapshotter.snapshot().into_vec();
    let name = |key: &metrics::Key| {
        let reason = key.labels().find(|label| label.key() == names::LABEL_REASON);
        reason.map_or(key.name().to_owned(), |reason| format!("{}:{}", key.name(), reason.value()))
    };
    snapshot.into_iter().map(|(key, _, _, value)| (name(key.key()), value)).collect()
}

fn value(values: &[(String, DebugValue)], name: &str) -> f64 {
    match values.iter().find(|(key, _)| key == name).map(|(_, value)| value) {
        Some(DebugValue::Counter(count)) => *count as f64,
        Some(DebugValue::Gauge(value)) => value.0,
        Some(DebugValue::Histogram(samples)) => samples.iter().map(|sample| sample.0).sum(),
        None => panic!("there is no {name}"),
    }
}

#[tokio::test]
async fn dropping_the_handle_frees_the_row_at_the_next_step() {
    let mut rig = Rig::new(8, 8, 8).await;
    let [leaves, stays] = rig.submit([guided(1.0, 5), job(2.0, 2)]).await;
    assert_eq!(rig.conditions().await, [1.0, 1.0, 2.0]);
    drop(leaves);
    rig.end(Act::Answer);
    assert_eq!(rig.conditions().await, [2.0]);
    assert_eq!(rig.engine.load(), Load { rows: 1, queued: 0, outstanding_steps: 1 });
    rig.end(Act::Answer);
    stays.finish().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_row_makes_room_at_once() {
    let mut rig = Rig::new(8, 1, 8).await;
    let [leaves, _waits] = rig.submit([job(1.0, 5), job(2.0, 2)]).await;
    assert_eq!(rig.conditions().await, [1.0]);
    drop(leaves);
    rig.end(Act::Answer);
    assert_eq!(rig.conditions().await, [2.0]);
}

#[tokio::test]
async fn a_full_queue_turns_away_with_a_hint() {
    let rig = Rig::new(8, 8, 2).await;
    let _held = rig.permit.acquire_async().await;
    let first = rig.engine.submit(job(1.0, 3)).unwrap();
    let _second = rig.engine.submit(job(2.0, 3)).unwrap();
    let full = rig.engine.submit(job(3.0, 3)).unwrap_err();
    assert_eq!(full, SubmitError::Full { retry_after: Duration::from_secs(1) });
    assert_eq!(rig.engine.load(), Load { rows: 0, queued: 2, outstanding_steps: 6 });
    drop(first);
    let _third = rig.engine.submit(job(3.0, 3)).unwrap();
    assert_eq!(rig.engine.load().queued, 2, "who leaves the queue makes room");
}

#[tokio::test]
async fn the_deadline_is_checked_before_every_step() {
    let mut rig = Rig::new(8, 1, 8).await;
    let in_a_minute = Some(rig.now() + Duration::from_secs(60));
    let late = |condition, steps| Job { deadline: in_a_minute, ..job(condition, steps) };
    let [running, waiting, patient] = rig.submit([late(1.0, 5), late(2.0, 3), job(3.0, 1)]).await;
    for _ in 0..2 {
        assert_eq!(rig.conditions().await, [1.0]);
        rig.end(Act::Answer);
    }
    assert_eq!(rig.conditions().await, [1.0]);
    rig.advance_clock(Duration::from_secs(60));
    rig.end(Act::Answer);
    assert_eq!(rig.conditions().await, [3.0]);
    let error = running.finish().await.unwrap_err();
    assert!(matches!(error, JobError::DeadlineExceeded { step: 3, steps: 5 }), "{error}");
    let error = waiting.finish().await.unwrap_err();
    assert!(matches!(error, JobError::DeadlineExceeded { step: 0, steps: 3 }), "{error}");
    rig.end(Act::Answer);
    patient.finish().await.unwrap();
}

#[tokio::test]
async fn invalid_jobs_are_refused_by_name() {
    let rig = Rig::new(8, 8, 8).await;
    let resume = |step, x_t| Start::Resume { step, x_t, noise: TorchNoise::new(1) };
    let from = |x_t| Start::From { x_t, noise: TorchNoise::new(1) };
    let cases = [
        (Job { sample_len: 0, ..job(1.0, 3) }, "`sample_len` is 0; it must be at least 1"),
        (Job { guidance_scale: f32::NAN, ..job(1.0, 3) }, "`guidance_scale` is NaN; it must be finite"),
        (
            Job { timesteps: vec![], ..job(1.0, 3) },
            "`timesteps` is empty; it must be a list of at least 1 timestep",
        ),
        (Job { timesteps: vec![5, 9], ..job(1.0, 3) }, "timesteps 5 and 9 follow each other at step 0"),
        (Job { timesteps: vec![1000], ..job(1.0, 3) }, "`timestep` is 1000; it must be below 1000"),
        (Job { start: resume(3, vec![0.0; LEN]), ..job(1.0, 3) }, "`start step` is 3; it must be below 3"),
        (Job { start: from(vec![0.0; 3]), ..job(1.0, 3) }, "`x_t` has 3 values; expected 20"),
        (
            Job { start: from(vec![f32::INFINITY; LEN]), ..job(1.0, 3) },
            "`x_t value` is inf; it must be finite",
        ),
    ];
    for (job, text) in cases {
        let error = rig.engine.submit(job).unwrap_err().to_string();
        assert!(error.starts_with(&format!("invalid job: {text}")), "{error}");
    }
    assert_eq!(rig.engine.load(), Load::default());
}

#[tokio::test]
async fn metrics_tell_the_work_and_gauges_are_zero_after_a_drain() {
    let (recorder, snapshotter) = recorder();
    let local = metrics::set_default_local_recorder(recorder);
    let mut rig = Rig::new(8, 2, 2).await;
    drop(local);
    let [finishes, leaves] = rig.submit([guided(1.0, 2), job(2.0, 10)]).await;
    rig.forward().await;
    let abandoned = rig.engine.submit(job(3.0, 100)).unwrap();
    let fails = rig.engine.submit(job(4.0, 5)).unwrap();
    assert!(rig.engine.submit(job(5.0, 1)).is_err());
    assert!(rig.engine.submit(Job { sample_len: 0, ..job(6.0, 1) }).is_err());

    let running = values(&snapshotter);
    assert_eq!(value(&running, names::ROWS), 2.0);
    assert_eq!(value(&running, names::QUEUE_JOBS), 2.0);
    assert_eq!(value(&running, names::OUTSTANDING_STEPS), 117.0);
    assert_eq!(value(&running, "unclip_engine_rejected_total:full"), 1.0);
    assert_eq!(value(&running, "unclip_engine_rejected_total:invalid"), 1.0);

    drop((leaves, abandoned));
    rig.end(Act::Answer);
    assert_eq!(rig.conditions().await, [1.0, 1.0, 4.0]);
    rig.end(Act::Nan(2));
    finishes.finish().await.unwrap();
    assert!(fails.finish().await.is_err());
    rig.engine.drain().await;
    assert!(rig.engine.submit(job(7.0, 1)).is_err());

    let after = values(&snapshotter);
    for gauge in [names::ROWS, names::QUEUE_JOBS, names::OUTSTANDING_STEPS] {
        assert_eq!(value(&after, gauge), 0.0, "{gauge}");
    }
    assert_eq!(value(&after, names::SAVED_STEPS_TOTAL), 109.0);
    // A snapshot takes what was counted since the last.
    assert_eq!(value(&after, names::STEPS_TOTAL), 3.0);
    assert_eq!(value(&after, names::BATCH_LANES), 6.0);
    assert_eq!(value(&after, "unclip_engine_rejected_total:stopped"), 1.0);
}
