//! Trainers of the smallest networks there are.

use std::path::Path;
use std::sync::Arc;

use unclip_models::Placement;
use unclip_training::clip::{ClipConfig, ClipTask, FrozenClip};
use unclip_training::decoder::{DecoderConfig, DecoderTask, PriorSamples};
use unclip_training::judge::{JudgeConfig, JudgeTask};
use unclip_training::prior::{PriorTask, PriorTrainingConfig};
use unclip_training::run::{BatchSource, Cadence, CheckedConfig, Claim, Optimisation, Problems, RunInfo};
use unclip_training::upsampler::{UpsamplerConfig, UpsamplerTask};

use crate::shapes::Shapes;

/// A task and the folder that it has to itself.
pub(crate) struct Trial<T> {
    pub(crate) task: T,
    pub(crate) claim: Claim,
}

fn claim(folder: &Path, stage: &str, clip: Option<&FrozenClip>) -> Claim {
    let clip = clip.map(|clip| clip.fingerprint().to_owned());
    Claim::new(folder, RunInfo { clip, ..RunInfo::of(stage) }, true).unwrap()
}

/// What the loop takes besides a task.
pub(crate) struct Recipe {
    pub(crate) optimisation: Optimisation,
    pub(crate) cadence: Cadence,
}

pub(crate) fn recipe(steps: u64, batch: usize, replicas: usize) -> Recipe {
    let text = format!(
        "batch = {batch}\nsteps = {steps}\nlearning_rate = 3e-3\nwarmup = 2\nreplicas = {replicas}\nema_decay = 0.9"
    );
    let log_steps = (steps / 6).max(1);
    Recipe {
        optimisation: toml::from_str(&text).unwrap(),
        cadence: Cadence { log_steps, ..Cadence::default() },
    }
}

/// The optimisation in these is not read: tests bring their own.
const COMMON: &str = r#"
seed = 1
[data]
store = "none"
[optimisation]
batch = 4
steps = 1
learning_rate = 1e-3
"#;

fn parse<C: CheckedConfig>(own: &str) -> C {
    let (head, tables) = own.split_once("---").unwrap();
    let config: C = toml::from_str(&format!("{head}\n{COMMON}\n{tables}")).unwrap();
    let mut problems = Problems::default();
    config.check(&mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    config
}

fn sources(side: usize) -> (Arc<dyn BatchSource>, Arc<dyn BatchSource>) {
    (Arc::new(Shapes { side }), Arc::new(Shapes { side }))
}

pub(crate) fn clip(folder: &Path, placement: Placement) -> Trial<ClipTask> {
    let config: ClipConfig = parse(
        "dim = 32
        ---
        [text]
        tokens = 12
        vocabulary = 560
        layers = 1
        heads = 2
        [vision]
        side = 16
        patch = 8
        width = 32
        layers = 1
        heads = 2",
    );
    let (train, held_out) = sources(16);
    let claim = claim(folder, "clip", None);
    let task = ClipTask::new(config, train, held_out, claim.folder(), placement).unwrap();
    Trial { task, claim }
}

pub(crate) fn prior(folder: &Path, clip: &Path, placement: Placement) -> Trial<PriorTask> {
    let config: PriorTrainingConfig = parse(
        "clip = 'none'
        ---
        [transformer]
        heads = 2
        head_width = 16
        layers = 2
        [sampling]
        count = 4
        steps = 3",
    );
    let clip = FrozenClip::open(clip).unwrap();
    let (train, held_out) = sources(16);
    let claim = claim(folder, "prior", Some(&clip));
    let task = PriorTask::new(config, clip, train, held_out, claim.folder(), placement).unwrap();
    Trial { task, claim }
}

/// With a prior's run, three quarters of the rows are conditioned on its samples.
pub(crate) fn decoder(
    folder: &Path,
    clip: &Path,
    prior: Option<&Path>,
    placement: Placement,
) -> Trial<DecoderTask> {
    let mut config: DecoderConfig = parse(
        "clip = 'none'
        context_width = 32
        ---
        [unet]
        side = 8
        channels = [16, 32]
        time_width = 40
        layers = 1
        groups = 8
        attention_levels = 1
        head_width = 16
        [sampling]
        count = 4
        steps = 3",
    );
    config.prior = prior.map(|run| PriorSamples { run: run.to_path_buf(), share: 0.75, guidance: 2.0 });
    let clip = FrozenClip::open(clip).unwrap();
    let (train, held_out) = sources(16);
    let claim = claim(folder, "decoder", Some(&clip));
    let task = DecoderTask::new(config, clip, train, held_out, claim.folder(), placement).unwrap();
    Trial { task, claim }
}

pub(crate) fn upsampler(folder: &Path, placement: Placement) -> Trial<UpsamplerTask> {
    let config: UpsamplerConfig = parse(
        "small_side = 8
        crop = 16
        ---
        [degradation]
        blur = 0.5
        resample = 0.2
        noise = 0.05
        [unet]
        side = 32
        channels = [16, 16]
        layers = 1
        groups = 8
        [sampling]
        count = 4
        steps = 3
        guidance = 1.0",
    );
    let (train, held_out) = sources(32);
    let claim = claim(folder, "upsampler", None);
    let task = UpsamplerTask::new(config, train, held_out, claim.folder(), placement).unwrap();
    Trial { task, claim }
}

pub(crate) fn judge(folder: &Path, placement: Placement) -> Trial<JudgeTask> {
    let config: JudgeConfig = parse(
        "dim = 16
        ---
        [picture]
        side = 16
        stem = 8
        channels = [16, 16]
        blocks = [1, 2]
        groups = 4
        [text]
        words = 100
        width = 16
        hidden = 32",
    );
    let (train, held_out) = sources(16);
    let claim = claim(folder, "judge", None);
    let task = JudgeTask::new(config, train, held_out, claim.folder(), placement).unwrap();
    Trial { task, claim }
}
