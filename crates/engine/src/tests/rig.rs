//! The fake denoiser, and an engine with handles on everything that drives it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use unclip_diffusion::noise::TorchNoise;
use unclip_diffusion::{DdimSampler, Sampler, SchedulerConfig};

use crate::*;

/// The samples' length: above 16, torch's group, and no multiple of it.
pub(super) const LEN: usize = 20;

/// The batch key that the fake gives the last step of runs with this many steps.
pub(super) const KEYED_STEPS: u32 = 7;

/// How a forward ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Answer,
    Fail,
    Panic,
    /// The lane's output has a NaN.
    Nan(usize),
    /// The lane's output is a value short.
    Short(usize),
    /// An output is missing.
    Missing,
}

/// A lane as the fake saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub(super) condition: f32,
    pub(super) timestep: u32,
    pub(super) branch: Branch,
}

pub(super) struct Fake {
    pub(super) seen: UnboundedSender<Vec<Seen>>,
    /// Without it forwards end at once.
    pub(super) acts: Option<Receiver<Act>>,
}

impl Denoiser for Fake {
    type Condition = f32;
    type Context = f32;

    fn prepare(&mut self, condition: f32, _guided: bool) -> Result<f32, DenoiseError> {
        assert!(condition < 1000.0, "the fake panics at {condition}");
        if condition < 0.0 {
            return Err(DenoiseError::Condition(format!(
                "`condition` is {condition}; it must be at least 0"
            )));
        }
        Ok(condition)
    }

    fn batch_key(&self, step: StepView) -> u32 {
        u32::from(step.steps == KEYED_STEPS && step.is_last())
    }

    fn forward(&mut self, lanes: &[Lane<'_, f32>]) -> Result<Vec<Vec<f32>>, DenoiseError> {
        let seen = |lane: &Lane<'_, f32>| Seen {
            condition: *lane.context,
            timestep: lane.timestep,
            branch: lane.branch,
        };
        let _ = self.seen.send(lanes.iter().map(seen).collect());
        let act = self.acts.as_ref().map_or(Act::Answer, |acts| acts.recv().unwrap_or(Act::Answer));
        let mut outputs: Vec<_> = lanes.iter().map(predict).collect();
        match act {
            Act::Answer => {}
            Act::Fail => return Err(DenoiseError::model("out of memory")),
            Act::Panic => panic!("the fake's forward"),
            Act::Nan(lane) => outputs[lane][3] = f32::NAN,
            Act::Short(lane) => drop(outputs[lane].pop()),
            Act::Missing => drop(outputs.pop()),
        }
        Ok(outputs)
    }
}

/// A prediction and a variance half that depend on all that a lane holds.
pub(super) fn predict(lane: &Lane<'_, f32>) -> Vec<f32> {
    let shift = match lane.branch {
        Branch::Conditional => *lane.context,
        Branch::Unconditional => -0.5,
    };
    let t = lane.timestep as f32 / 1000.0;
    let prediction = lane.x_t.iter().map(|x| 0.7 * x + t + shift);
    let variance = lane.x_t.iter().map(|x| (x + t + shift).sin());
    prediction.chain(variance).collect()
}

pub(super) struct Rig {
    pub(super) engine: Engine<f32>,
    pub(super) permit: ComputePermit,
    seen: UnboundedReceiver<Vec<Seen>>,
    acts: Sender<Act>,
    now: Arc<Mutex<Instant>>,
}

impl Rig {
    /// An engine whose forwards wait for [`Rig::end`].
    pub(super) async fn new(max_lanes: usize, max_rows: usize, queue: usize) -> Self {
        let ((seen_tx, seen), (acts, acts_rx)) = (unbounded_channel(), channel());
        let permit = ComputePermit::new();
        let config = EngineConfig { permit: permit.clone(), ..config(max_lanes, max_rows, queue) };
        let now = Arc::new(Mutex::new(Instant::now()));
        let clock = Arc::clone(&now);
        let build = || Ok(Fake { seen: seen_tx, acts: Some(acts_rx) });
        let clock = Arc::new(move || *clock.lock().unwrap());
        let engine = Engine::start_with_clock(config, build, clock).await.unwrap();
        Self { engine, permit, seen, acts, now }
    }

    /// Submits jobs so that they start together.
    pub(super) fn submit<const N: usize>(&self, jobs: [Job<f32>; N]) -> impl Future<Output = [JobHandle; N]> {
        // On the heap: several jobs are large for a future.
        Box::pin(async move {
            let _held = self.permit.acquire_async().await;
            jobs.map(|job| self.engine.submit(job).unwrap())
        })
    }

    /// The lanes of the next forward, which now waits.
    pub(super) async fn forward(&mut self) -> Vec<Seen> {
        self.seen.recv().await.unwrap()
    }

    /// The conditions in the next forward, one per lane.
    pub(super) async fn conditions(&mut self) -> Vec<f32> {
        self.forward().await.iter().map(|seen| seen.condition).collect()
    }

    /// Ends the forward that waits.
    pub(super) fn end(&self, act: Act) {
        self.acts.send(act).unwrap();
    }

    pub(super) fn now(&self) -> Instant {
        *self.now.lock().unwrap()
    }

    pub(super) fn advance_clock(&self, by: Duration) {
        *self.now.lock().unwrap() += by;
    }

    /// Drops the engine alone; the forward that waits can still be ended.
    pub(super) fn drop_engine(self) -> Sender<Act> {
        self.acts
    }
}

pub(super) fn config(max_lanes: usize, max_rows: usize, queue: usize) -> EngineConfig {
    let permit = ComputePermit::new();
    EngineConfig { name: "test".to_owned(), max_lanes, max_rows, queue, permit, batch_invariant: false }
}

/// An engine whose forwards end at once.
pub(super) async fn free_running(permit: ComputePermit) -> Engine<f32> {
    let config = EngineConfig { permit, ..config(8, 8, 8) };
    Engine::start(config, || Ok(Fake { seen: unbounded_channel().0, acts: None })).await.unwrap()
}

/// The result of a job in an engine of its own.
pub(super) async fn alone(job: Job<f32>) -> Finished {
    free_running(ComputePermit::new()).await.submit(job).unwrap().finish().await.unwrap()
}

pub(super) fn scheduler_config() -> SchedulerConfig {
    let config = serde_json::json!({"_class_name": "UnCLIPScheduler", "variance_type": "learned_range"});
    serde_json::from_value(config).unwrap()
}

pub(super) fn unclip() -> Arc<Sampler> {
    Arc::new(Sampler::from_config(&scheduler_config()).unwrap())
}

pub(super) fn ddim() -> Arc<Sampler> {
    Arc::new(Sampler::Ddim(DdimSampler::new(&scheduler_config(), 0.5).unwrap()))
}

/// An unguided job from noise; the condition tells it from others.
pub(super) fn job(condition: f32, steps: u32) -> Job<f32> {
    let sampler = unclip();
    Job {
        name: format!("job {condition}"),
        condition,
        timesteps: sampler.timesteps(steps).unwrap(),
        sampler,
        guidance_scale: 1.0,
        sample_len: LEN,
        start: Start::Noise(TorchNoise::new(42)),
        keep: None,
        deadline: None,
        preview_every: 0,
        checkpoint_every: 0,
    }
}

pub(super) fn guided(condition: f32, steps: u32) -> Job<f32> {
    Job { guidance_scale: 4.0, ..job(condition, steps) }
}
