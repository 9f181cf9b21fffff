//! The training loop.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tch::Tensor;
use unclip_models::{Params, Placement};

use super::prefetch::Prefetch;
use super::progress::Progress;
use super::replica::{Part, Replicas};
use super::warm_start::start_from;
use super::{Cadence, Checkpoint, Claim, Metrics, Optimisation, Record, RunFolder, Task, draw_curves};
use crate::TrainError;
use crate::params::{Layout, ParamStore};

/// What is not in the configuration file.
#[derive(Clone, Debug)]
pub struct Options {
    /// Device and dtype of the networks.
    pub placement: Placement,
    /// How long to train before writing a checkpoint and stopping; none: to the last step.
    pub limit: Option<Duration>,
    /// Stop after this step of the schedule, as if the time were up.
    pub stop_at: Option<u64>,
    /// A bundle whose weights a new training starts from, instead of from noise.
    pub init: Option<PathBuf>,
    /// Threads that make batches.
    pub workers: usize,
}

/// Where a training stands when it returns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Steps taken, earlier slices included.
    pub step: u64,
    /// Whether that was the last one of the schedule.
    pub finished: bool,
    /// The mean loss since the last line of the metrics.
    pub loss: f64,
    /// Pictures per second while training, without evaluations and checkpoints.
    pub rate: f64,
}

/// Trains a run that was claimed for this task, from its checkpoint if it has one, until the schedule's end or the time
/// limit, and leaves a checkpoint and the averaged parts.
///
/// # Errors
/// A checkpoint of other networks or another seed, before anything of the run is changed, and whatever data, files or
/// libtorch refuse.
pub fn train<T: Task>(
    task: &T,
    seed: u64,
    claim: &Claim,
    optimisation: &Optimisation,
    cadence: &Cadence,
    options: &Options,
) -> Result<Outcome, TrainError> {
    let layout =
        Layout::record(|name, shape, weight| task.initialise(name, shape, weight), |p| task.build(p))?;
    let mut store = ParamStore::new(layout, options.placement, seed)?;
    let (mut images, mut seconds) = (0, 0.0);
    match claim.checkpoint() {
        Some(path) => {
            let state = Checkpoint::read(path, seed, &mut store)?;
            (images, seconds) = (state.images, state.seconds);
        }
        None => {
            task.prepare(&mut store)?;
            if let Some(bundle) = &options.init {
                start_from(bundle, &mut store)?;
                task.adopt(&mut store)?;
            }
        }
    }
    claim.begin()?;
    let folder = claim.folder().clone();
    let metrics = Metrics::open(&folder.metrics(), store.steps())?;
    let progress = Progress::new(task.name(), store.steps(), optimisation.steps);
    let trained = store.layout().trained();
    progress.note(&format!("{}: {trained} parameters, from step {}", task.name(), store.steps()));
    let mut run = Run {
        task,
        seed,
        optimisation,
        cadence,
        folder,
        store,
        metrics,
        progress,
        tally: Tally::default(),
        clock: Clock::new(options.limit, seconds),
        images,
        loss: f64::NAN,
    };
    run.go(options)
}

struct Run<'a, T: Task> {
    task: &'a T,
    seed: u64,
    optimisation: &'a Optimisation,
    cadence: &'a Cadence,
    folder: RunFolder,
    store: ParamStore,
    metrics: Metrics,
    progress: Progress,
    tally: Tally,
    clock: Clock,
    images: u64,
    loss: f64,
}

impl<T: Task> Run<'_, T> {
    fn go(&mut self, options: &Options) -> Result<Outcome, TrainError> {
        let end = options.stop_at.unwrap_or(u64::MAX).min(self.optimisation.steps);
        let task = self.task;
        let make = |step: u64| task.inputs(step);
        std::thread::scope(|scope| {
            let batches = Prefetch::start(scope, options.workers, self.store.steps(), end, &make);
            let mut replicas = Replicas::start(scope, task, &self.store, self.optimisation.replicas)?;
            while self.store.steps() < end && !self.is_over() && !self.clock.is_up() {
                self.step(&mut replicas, &batches)?;
                self.intervals()?;
            }
            Ok::<_, TrainError>(())
        })?;
        self.log()?;
        let finished = self.is_over();
        let rate = self.clock.rate(self.optimisation.batch);
        self.look()?;
        self.save()?;
        self.progress.finish();
        let step = self.store.steps();
        Ok(Outcome { step, finished, loss: self.loss, rate })
    }

    /// Whether the schedule is at its end.
    fn is_over(&self) -> bool {
        self.optimisation.schedule().is_over(self.store.steps(), self.clock.seconds())
    }

    fn step(&mut self, replicas: &mut Replicas<T>, batches: &Prefetch) -> Result<(), TrainError> {
        let step = self.store.steps();
        let parts = replicas.run(self.task, batches.take(step)?)?;
        let rate = self.optimisation.schedule().at(step, self.clock.seconds());
        let (gradients, losses): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|Part { gradients, losses }| (gradients, losses)).unzip();
        let report = self.optimisation.adamw().step(&mut self.store, &gradients, rate)?;
        self.tally.add(losses, report.gradient_norm, report.skipped);
        if self.tally.skipped_in_a_row > MAX_SKIPPED {
            let reason = format!("{MAX_SKIPPED} steps in a row had no finite gradients");
            return Err(TrainError::Diverged { step, reason });
        }
        self.images += u64::try_from(self.optimisation.batch).unwrap_or_default();
        self.clock.stepped();
        Ok(())
    }

    /// What happens every few steps or minutes.
    fn intervals(&mut self) -> Result<(), TrainError> {
        if self.store.steps().is_multiple_of(self.cadence.log_steps) {
            self.log()?;
        }
        if self.clock.looked.elapsed() >= minutes(self.cadence.sheet_minutes) {
            let pause = Instant::now();
            self.look()?;
            self.clock.paused(pause);
            self.clock.looked = Instant::now();
        }
        if self.clock.saved.elapsed() >= minutes(self.cadence.checkpoint_minutes) {
            let pause = Instant::now();
            self.save()?;
            self.clock.paused(pause);
            self.clock.saved = Instant::now();
        }
        Ok(())
    }

    /// A line of the metrics and the progress bar.
    fn log(&mut self) -> Result<(), TrainError> {
        let Some(mut record) = self.tally.take()? else {
            return Ok(());
        };
        let step = self.store.steps();
        self.loss = record.get("loss").unwrap_or(f64::NAN);
        (record.step, record.seconds) = (step, self.clock.seconds());
        let rate = self.clock.rate(self.optimisation.batch);
        record.push("learning_rate", self.optimisation.schedule().at(step, self.clock.seconds()));
        record.push("pictures_per_second", rate);
        self.metrics.push(record)?;
        let left = self.clock.left(self.optimisation.steps - step.min(self.optimisation.steps));
        self.progress.update(step, self.loss, rate, left);
        Ok(())
    }

    /// Evaluation, sample sheet and loss curve of the averaged networks.
    fn look(&mut self) -> Result<(), TrainError> {
        let network = self.task.build(&Params::root(&self.store.averages()))?;
        let step = self.store.steps();
        let mut record = Record { step, seconds: self.clock.seconds(), ..Record::default() };
        for (name, value) in tch::no_grad(|| self.task.evaluate(&network))? {
            record.push(name, value);
        }
        if !record.values.is_empty() {
            let text: Vec<_> =
                record.values.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            self.progress.note(&format!("step {step}: {}", text.join(", ")));
            self.metrics.push(record)?;
        }
        if let Some(sheet) = tch::no_grad(|| self.task.sheet(&network))? {
            save_picture(&sheet, self.folder.sheets().join(format!("step-{step:08}.png")))?;
        }
        let title = format!("{} loss", self.task.name());
        save_picture(&draw_curves(&title, &self.metrics.series("loss")), self.folder.curve())
    }

    /// A checkpoint, and the averaged parts in diffusers' layout.
    fn save(&mut self) -> Result<(), TrainError> {
        let state = Checkpoint::new(&self.store, self.seed, self.images, self.clock.seconds());
        state.write(&self.folder.checkpoints(), &self.store)?;
        let averages = self.task.exported(self.store.averages_by_name())?;
        self.folder.write_weights(&averages, self.task.also_exported())?;
        self.task.save(&self.folder, &averages)
    }
}

/// Steps in a row without finite gradients, after which the training is given up.
const MAX_SKIPPED: usize = 20;

fn minutes(minutes: f64) -> Duration {
    Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX)
}

fn save_picture(picture: &image::RgbImage, path: PathBuf) -> Result<(), TrainError> {
    picture.save(&path).map_err(|source| TrainError::Picture { path, source })
}

/// Losses since the last line of the metrics. They stay on their device until they are wanted.
#[derive(Default)]
struct Tally {
    sums: Vec<(&'static str, Tensor)>,
    parts: u32,
    gradient_norm: f64,
    steps: u32,
    skipped_in_a_row: usize,
}

impl Tally {
    fn add(&mut self, losses: Vec<Vec<(&'static str, Tensor)>>, gradient_norm: f64, skipped: bool) {
        for part in losses.into_iter().filter(|part| !part.is_empty()) {
            self.parts += 1;
            for (name, loss) in part {
                match self.sums.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum = &*sum + loss,
                    None => self.sums.push((name, loss)),
                }
            }
        }
        self.gradient_norm += gradient_norm;
        self.steps += 1;
        self.skipped_in_a_row = if skipped { self.skipped_in_a_row + 1 } else { 0 };
    }

    fn take(&mut self) -> Result<Option<Record>, TrainError> {
        if self.steps == 0 {
            return Ok(None);
        }
        let mut record = Record::default();
        for (name, sum) in std::mem::take(&mut self.sums) {
            record.push(name, f64::try_from(sum.to_device(tch::Device::Cpu))? / f64::from(self.parts));
        }
        record.push("gradient_norm", self.gradient_norm / f64::from(self.steps));
        (self.parts, self.steps, self.gradient_norm) = (0, 0, 0.0);
        Ok(Some(record))
    }
}

/// Times of a run.
struct Clock {
    started: Instant,
    limit: Option<Duration>,
    before: f64,
    pauses: Duration,
    looked: Instant,
    saved: Instant,
    steps: u32,
    first: Option<Duration>,
}

impl Clock {
    fn new(limit: Option<Duration>, before: f64) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            limit,
            before,
            pauses: Duration::ZERO,
            looked: now,
            saved: now,
            steps: 0,
            first: None,
        }
    }

    fn is_up(&self) -> bool {
        self.limit.is_some_and(|limit| self.started.elapsed() >= limit)
    }

    fn stepped(&mut self) {
        self.steps += 1;
        // The first step warms up.
        if self.first.is_none() {
            self.first = Some(self.started.elapsed());
        }
    }

    fn paused(&mut self, since: Instant) {
        self.pauses += since.elapsed();
    }

    /// Seconds of training, earlier slices included.
    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn seconds_per_step(&self) -> f64 {
        let first = self.first.unwrap_or_default();
        let busy = self.started.elapsed().saturating_sub(self.pauses).saturating_sub(first);
        match self.steps {
            0 | 1 => first.as_secs_f64(),
            steps => busy.as_secs_f64() / f64::from(steps - 1),
        }
    }

    /// Pictures per second.
    #[expect(clippy::cast_precision_loss, reason = "batches are small")]
    fn rate(&self, batch: usize) -> f64 {
        batch as f64 / self.seconds_per_step().max(1e-9)
    }

    /// What remains of the steps or of the time, whichever is less.
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^52")]
    fn left(&self, steps: u64) -> Duration {
        let steps = Duration::try_from_secs_f64(self.seconds_per_step() * steps as f64).unwrap_or_default();
        match self.limit {
            Some(limit) => steps.min(limit.saturating_sub(self.started.elapsed())),
            None => steps,
        }
    }
}
