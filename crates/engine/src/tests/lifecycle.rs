//! A job's events and checkpoints, and an engine's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use futures::FutureExt;
use unclip_diffusion::noise::TorchNoise;

use super::rig::{Act, LEN, Rig, alone, config, ddim, free_running, guided, job};
use crate::*;

/// Runs a job alone by hand and collects its events.
async fn events(job: Job<f32>) -> (Vec<Event>, Finished) {
    let mut rig = Rig::new(8, 8, 8).await;
    let steps = job.timesteps.len() - job.start.step() as usize;
    let [mut handle] = rig.submit([job]).await;
    let mut events = Vec::new();
    for _ in 0..steps {
        rig.forward().await;
        // What came before the forward is there by now.
        events.extend(std::iter::from_fn(|| handle.next_event().now_or_never().flatten()));
        rig.end(Act::Answer);
    }
    while let Some(event) = handle.next_event().await {
        events.push(event);
    }
    (events, handle.finish().await.unwrap())
}

#[tokio::test]
async fn events_come_at_their_steps() {
    let (events, _) = events(Job { preview_every: 2, checkpoint_every: 3, ..job(1.0, 6) }).await;
    let name = |event: &Event| match event {
        Event::Progress { step, steps } => format!("{step}/{steps}"),
        Event::Preview { step, x_0 } => format!("preview {step} {}", x_0.len()),
        Event::Checkpoint { step, x_t, .. } => format!("checkpoint {step} {}", x_t.len()),
    };
    let names: Vec<_> = events.iter().map(name).collect();
    let expected = "0/6, 1/6, 2/6, preview 2 20, 3/6, checkpoint 3 20, 4/6, preview 4 20, 5/6, 6/6";
    assert_eq!(names.join(", "), expected);
}

#[tokio::test]
async fn a_checkpoint_goes_on_to_the_same_sample() {
    for sampler in [super::rig::unclip(), ddim()] {
        let whole = Job { checkpoint_every: 1, sampler, ..guided(0.5, 5) };
        let (events, expected) = events(whole.clone()).await;
        let mut resumed = 0;
        for event in events {
            let Event::Checkpoint { step, x_t, noise } = event else {
                continue;
            };
            let noise = TorchNoise::at(noise).unwrap();
            let rest = Job { start: Start::Resume { step, x_t, noise }, ..whole.clone() };
            assert_eq!(alone(rest).await, expected, "from step {step}");
            resumed += 1;
        }
        assert_eq!(resumed, 4);
    }
}

#[tokio::test]
async fn a_given_start_equals_the_drawn_one() {
    let mut noise = TorchNoise::new(42);
    let x_t = noise.normal(LEN);
    let given = Job { start: Start::From { x_t, noise }, ..job(1.0, 3) };
    assert_eq!(alone(given).await, alone(job(1.0, 3)).await);
}

#[tokio::test]
async fn a_client_that_does_not_listen_gets_its_result() {
    let engine = free_running(ComputePermit::new()).await;
    let mut handle = engine.submit(Job { preview_every: 1, ..job(1.0, 50) }).unwrap();
    engine.drain().await;
    let mut newest = Vec::new();
    while let Some(event) = handle.next_event().await {
        newest.push(event);
    }
    assert!(matches!(newest[..], [Event::Preview { step: 49, .. }, Event::Progress { step: 50, steps: 50 }]));
    assert_eq!(handle.finish().await.unwrap(), alone(job(1.0, 50)).await);
}

#[tokio::test]
async fn drain_waits_for_the_jobs_and_takes_no_more() {
    let mut rig = Rig::new(8, 1, 8).await;
    let [running, waiting] = rig.submit([job(1.0, 1), job(2.0, 1)]).await;
    assert_eq!(rig.conditions().await, [1.0]);
    assert!(rig.engine.drain().now_or_never().is_none());
    assert_eq!(rig.engine.submit(job(3.0, 1)).unwrap_err(), SubmitError::Stopped);
    rig.end(Act::Answer);
    assert_eq!(rig.conditions().await, [2.0]);
    assert!(rig.engine.drain().now_or_never().is_none());
    rig.end(Act::Answer);
    rig.engine.drain().await;
    assert!(running.finish().now_or_never().unwrap().is_ok());
    assert!(waiting.finish().now_or_never().unwrap().is_ok());
}

#[tokio::test]
async fn jobs_of_a_dropped_engine_fail() {
    let mut rig = Rig::new(8, 1, 8).await;
    let [running, waiting] = rig.submit([job(1.0, 9), job(2.0, 9)]).await;
    assert_eq!(rig.conditions().await, [1.0]);
    let acts = rig.drop_engine();
    assert!(matches!(waiting.finish().now_or_never().unwrap(), Err(JobError::EngineStopped)));
    acts.send(Act::Answer).unwrap();
    assert!(matches!(running.finish().await, Err(JobError::EngineStopped)));
}

/// A denoiser that notes its end, and whether another one computes beside it.
struct Noted {
    dropped: Arc<AtomicBool>,
    computing: Arc<AtomicUsize>,
}

impl Noted {
    fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        assert_eq!(self.computing.fetch_add(1, Ordering::SeqCst), 0);
        let result = work();
        self.computing.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

impl Denoiser for Noted {
    type Condition = f32;
    type Context = ();

    fn prepare(&mut self, _condition: f32, _guided: bool) -> Result<(), DenoiseError> {
        self.alone(|| Ok(()))
    }

    fn forward(&mut self, lanes: &[Lane<'_, ()>]) -> Result<Vec<Vec<f32>>, DenoiseError> {
        self.alone(|| Ok(lanes.iter().map(|lane| [lane.x_t, lane.x_t].concat()).collect()))
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

async fn noted(
    permit: &ComputePermit,
    dropped: &Arc<AtomicBool>,
    computing: &Arc<AtomicUsize>,
) -> Engine<f32> {
    let denoiser = Noted { dropped: Arc::clone(dropped), computing: Arc::clone(computing) };
    let config = EngineConfig { permit: permit.clone(), ..config(2, 4, 8) };
    Engine::start(config, || Ok(denoiser)).await.unwrap()
}

#[tokio::test]
async fn engines_with_one_permit_compute_in_turn() {
    let (permit, dropped, computing) = Default::default();
    let engines = [noted(&permit, &dropped, &computing).await, noted(&permit, &dropped, &computing).await];
    let handles: Vec<_> = (0..16).map(|i| engines[i % 2].submit(job(1.0, 20)).unwrap()).collect();
    for handle in handles {
        handle.finish().await.unwrap();
    }
}

#[test]
fn outside_a_runtime_the_drop_waits_for_the_thread() {
    let (permit, dropped, computing) = Default::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let engine = runtime.block_on(noted(&permit, &dropped, &computing));
    let handle = engine.submit(job(1.0, 900)).unwrap();
    drop(engine);
    assert!(dropped.load(Ordering::SeqCst));
    let result = runtime.block_on(handle.finish());
    assert!(matches!(result, Err(JobError::EngineStopped) | Ok(_)), "{result:?}");
}

#[tokio::test]
async fn a_start_that_is_given_up_ends_the_thread() {
    let (go, wait) = channel::<()>();
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let build = move || {
        let _ended = ended;
        wait.recv().ok();
        Err::<Noted, _>(DenoiseError::model("too late"))
    };
    assert!(Engine::start(config(1, 1, 1), build).now_or_never().is_none());
    drop(go);
    assert!(end.await.is_err());
}
