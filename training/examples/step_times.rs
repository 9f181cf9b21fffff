//! Where the time of a training step goes: making the batch, forward, backward, optimiser.
//!
//! ```text
//! step_times clip|prior|decoder|upsampler CONFIG STORE CLIP DTYPE THREADS STEPS
//! ```
//!
//! CLIP is a bundle with a trained CLIP, or `-` for the trainers that need none. Prints mean milliseconds per step after one
//! step of warm-up, and pictures per second of the last three together. Making the batch takes place on another thread in a
//! training.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tch::Device;
use unclip_models::{Params, Placement, parse_dtype, set_threads};
use unclip_training::clip::{ClipConfig, ClipTask, FrozenClip};
use unclip_training::decoder::{DecoderConfig, DecoderTask};
use unclip_training::params::{Layout, ParamStore};
use unclip_training::prior::{PriorTask, PriorTrainingConfig};
use unclip_training::run::{Claim, DataConfig, Optimisation, RunInfo, Task, keep_pages, open, read_config};
use unclip_training::upsampler::{UpsamplerConfig, UpsamplerTask};

fn main() -> anyhow::Result<()> {
    if std::env::var_os("KEEP_PAGES").is_none_or(|value| value != "0") {
        keep_pages(1);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [stage, config, store, clip, dtype, threads, steps] = arguments.as_slice() else {
        bail!("usage: step_times STAGE CONFIG STORE CLIP DTYPE THREADS STEPS");
    };
    set_threads(threads.parse().context("THREADS")?);
    let placement = Placement { device: Device::Cpu, kind: parse_dtype(dtype, Device::Cpu)? };
    let steps = steps.parse().context("STEPS")?;
    let scratch = std::env::temp_dir().join(format!("step-times-{}", std::process::id()));
    let claim = Claim::new(&scratch, RunInfo::default(), false)?;
    let folder = claim.folder();
    let (config, clip) = (Path::new(config), Path::new(clip));
    let data = |data: &DataConfig, side| open(&DataConfig { store: store.into(), ..data.clone() }, side);
    match stage.as_str() {
        "clip" => {
            let config: ClipConfig = read_config(config)?;
            let (train, held_out) = data(&config.data, config.vision.side)?;
            let task = ClipTask::new(config.clone(), train, held_out, folder, placement)?;
            measure(&task, &config.optimisation, placement, steps)?;
        }
        "prior" => {
            let (config, clip): (PriorTrainingConfig, _) = (read_config(config)?, FrozenClip::open(clip)?);
            let (train, held_out) = data(&config.data, clip.side())?;
            let task = PriorTask::new(config.clone(), clip, train, held_out, folder, placement)?;
            measure(&task, &config.optimisation, placement, steps)?;
        }
        "decoder" => {
            let (config, clip): (DecoderConfig, _) = (read_config(config)?, FrozenClip::open(clip)?);
            let (train, held_out) = data(&config.data, clip.side().max(config.unet.side))?;
            let task = DecoderTask::new(config.clone(), clip, train, held_out, folder, placement)?;
            measure(&task, &config.optimisation, placement, steps)?;
        }
        "upsampler" => {
            let config: UpsamplerConfig = read_config(config)?;
            let (train, held_out) = data(&config.data, config.unet.side)?;
            let task = UpsamplerTask::new(config.clone(), train, held_out, folder, placement)?;
            measure(&task, &config.optimisation, placement, steps)?;
        }
        other => bail!("no stage {other}"),
    }
    std::fs::remove_dir_all(&scratch).context("scratch folder")
}

#[expect(clippy::print_stdout, reason = "a benchmark's result")]
fn measure<T: Task>(
    task: &T,
    optimisation: &Optimisation,
    placement: Placement,
    steps: u32,
) -> anyhow::Result<()> {
    let layout =
        Layout::record(|name, shape, weight| task.initialise(name, shape, weight), |p| task.build(p))?;
    let trained = layout.trained();
    let mut store = ParamStore::new(layout, placement, 1)?;
    let leaves = store.leaves();
    let network = task.build(&Params::root(&leaves))?;
    let mut times = [Duration::ZERO; 4];
    for step in 0..=steps {
        if step == 1 {
            times = [Duration::ZERO; 4];
        }
        let mut start = Instant::now();
        let mut lap = |place: usize| {
            times[place] += start.elapsed();
            start = Instant::now();
        };
        let inputs = task.inputs(u64::from(step))?;
        lap(0);
        let loss = task.loss(&network, &inputs)?;
        lap(1);
        let gradients = leaves.gradients(&loss.total)?;
        lap(2);
        optimisation.adamw().step(&mut store, &[gradients], 1e-4)?;
        lap(3);
    }
    let [batch, forward, backward, optimiser] = times.map(|time| time.as_secs_f64() * 1e3 / f64::from(steps));
    #[expect(clippy::cast_precision_loss, reason = "batches are small")]
    let rate = optimisation.batch as f64 * 1e3 / (forward + backward + optimiser);
    println!(
        "{}: {trained} parameters, {}, batch {}: batch {batch:.1} ms, forward {forward:.1} ms, backward {backward:.1} ms, \
         optimiser {optimiser:.1} ms, {rate:.0} pictures/s",
        task.name(),
        placement.dtype_name(),
        optimisation.batch,
    );
    Ok(())
}
