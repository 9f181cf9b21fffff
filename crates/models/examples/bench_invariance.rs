//! `make bench-invariance`: what it costs that a row has the same bits whoever shares its pass.
//!
//! ```text
//! bench_invariance BUNDLE [ROUNDS] [THREADS]
//! ```
//!
//! Every network of the bundle runs batches of 1 to 8 rows in three ways, in turn within one run: with whatever kernels libtorch
//! picks for that number of rows, with the steady ones that serve, and row by row. A row of the prior and the decoder is guided: it
//! takes two lanes. The figure is the processor time of a row (all threads), the median over the rounds; that and not the clock,
//! because other programs may be at work. Printed besides: whether all rows came out as alone, to the last bit.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::error::Error;
use std::path::Path;

use tch::{Device, Kind, Tensor};
use unclip_bundle::config::{Config, PriorConfig, UNet2DConditionConfig, UNet2DConfig};
use unclip_bundle::{Bundle, Component};
use unclip_models::networks::{ContextBatch, KeyValues, PriorTransformer, UNet2DConditionModel, UNet2DModel};
use unclip_models::{ModelError, Params, Placement, SafetensorsSource, set_threads};

/// Rows of a batch.
const BATCHES: [usize; 4] = [1, 2, 4, 8];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A network with inputs for any number of lanes.
trait Bench {
    /// Lanes of a row.
    const LANES: usize;

    /// What lanes `from..to` come to, `[lanes, ...]` in f32.
    fn forward(&self, from: usize, to: usize) -> Tensor;
}

/// What all networks have: noisy samples and timesteps, one of each for every lane.
struct Lanes {
    x: Tensor,
    timesteps: Tensor,
    kind: Kind,
}

impl Lanes {
    fn new(shape: &[i64], kind: Kind) -> Self {
        let lanes = 2 * BATCHES[BATCHES.len() - 1] as i64;
        let x = Tensor::randn([&[lanes], shape].concat(), (Kind::Float, Device::Cpu));
        let timesteps = Tensor::linspace(999, 1, lanes, (Kind::Float, Device::Cpu)).round();
        Self { x, timesteps, kind }
    }

    fn of(&self, from: usize, to: usize) -> (Tensor, Tensor) {
        let part = |tensor: &Tensor| tensor.narrow(0, from as i64, (to - from) as i64);
        (part(&self.x).to_kind(self.kind), part(&self.timesteps))
    }

    /// As many tokens as lane `lane` sees: texts have different lengths.
    fn tokens(lane: usize) -> i64 {
        6 + 3 * (lane % 5) as i64
    }
}

struct Decoder {
    network: UNet2DConditionModel,
    lanes: Lanes,
    times: Tensor,
    contexts: Vec<KeyValues>,
}

impl Bench for Decoder {
    const LANES: usize = 2;

    fn forward(&self, from: usize, to: usize) -> Tensor {
        let (x, timesteps) = self.lanes.of(from, to);
        let contexts: Vec<_> = self.contexts[from..to].iter().collect();
        let time = self.times.narrow(0, from as i64, (to - from) as i64);
        let parts = ContextBatch::parts(&contexts, Device::Cpu);
        self.network.forward(&x, &timesteps, &time, &parts).to_kind(Kind::Float)
    }
}

impl Decoder {
    fn new(network: UNet2DConditionModel, config: &UNet2DConditionConfig, kind: Kind) -> Result<Self> {
        let [height, width] = config.sides.map(i64::try_from);
        let lanes = Lanes::new(&[i64::try_from(config.trunk.in_channels)?, height?, width?], kind);
        let count = lanes.x.size()[0];
        let width = i64::try_from(config.cross_attention_dim)?;
        let context = |lane| {
            let tokens = Tensor::randn([1, Lanes::tokens(lane), width], (kind, Device::Cpu));
            KeyValues(network.project_context(&tokens))
        };
        let contexts = (0..usize::try_from(count)?).map(context).collect();
        let times =
            Tensor::randn([count, i64::try_from(config.trunk.time_embed_dim())?], (kind, Device::Cpu));
        Ok(Self { lanes, times, contexts, network })
    }
}

struct Prior {
    network: PriorTransformer,
    lanes: Lanes,
    texts: Vec<KeyValues>,
}

impl Bench for Prior {
    const LANES: usize = 2;

    fn forward(&self, from: usize, to: usize) -> Tensor {
        let (x, timesteps) = self.lanes.of(from, to);
        let texts: Vec<_> = self.texts[from..to].iter().collect();
        let parts = ContextBatch::parts(&texts, Device::Cpu);
        self.network.forward(&x, &timesteps, &parts).to_kind(Kind::Float)
    }
}

impl Prior {
    fn new(network: PriorTransformer, config: &PriorConfig, kind: Kind) -> Result<Self> {
        let lanes = Lanes::new(&[i64::try_from(config.embedding_dim)?], kind);
        let inner = i64::try_from(config.inner_dim())?;
        let text = |lane| {
            let tokens = Tensor::randn([1, Lanes::tokens(lane), inner], (kind, Device::Cpu));
            KeyValues(network.encode_text(&tokens, None).iter().map(Tensor::contiguous).collect())
        };
        let texts = (0..usize::try_from(lanes.x.size()[0])?).map(text).collect();
        Ok(Self { lanes, texts, network })
    }
}

struct Upsampler {
    network: UNet2DModel,
    lanes: Lanes,
}

impl Bench for Upsampler {
    const LANES: usize = 1;

    fn forward(&self, from: usize, to: usize) -> Tensor {
        let (x, timesteps) = self.lanes.of(from, to);
        self.network.forward(&x, &timesteps).to_kind(Kind::Float)
    }
}

impl Upsampler {
    fn new(network: UNet2DModel, config: &UNet2DConfig, kind: Kind) -> Result<Self> {
        let sides = config.trunk.sample_size.ok_or("super_res_first/config.json has no sample_size")?;
        let [height, width] = sides.map(i64::try_from);
        let lanes = Lanes::new(&[i64::try_from(config.trunk.in_channels)?, height?, width?], kind);
        Ok(Self { lanes, network })
    }
}

/// Nanoseconds that this process' threads have computed.
fn computed() -> Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}

/// Rows together, or one by one.
fn run<B: Bench>(bench: &B, rows: usize, together: bool) -> Tensor {
    let lanes = rows * B::LANES;
    if together {
        return bench.forward(0, lanes);
    }
    let alone: Vec<_> = (0..rows).map(|row| bench.forward(row * B::LANES, (row + 1) * B::LANES)).collect();
    Tensor::cat(&alone, 0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One line per number of rows.
fn measure<B: Bench>(name: &str, plain: &B, steady: &B, rounds: usize) -> Result<()> {
    for rows in BATCHES {
        let ways: [(&B, bool); 3] = [(plain, true), (steady, true), (steady, false)];
        let same = |bench: &B| run(bench, rows, true).equal(&run(bench, rows, false));
        let same = [same(plain), same(steady)].map(|same| if same { "yes" } else { "no" });
        let passes = (16 / rows).max(2);
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for ((bench, together), times) in ways.iter().zip(&mut times) {
                let before = computed()?;
                for _ in 0..passes {
                    drop(run(*bench, rows, *together));
                }
                times.push((computed()? - before) as f64 / 1e6 / (passes * rows) as f64);
            }
        }
        let [plain, steady, alone] = times.map(median);
        let cost = |time: f64| (time / plain - 1.0) * 100.0;
        println!(
            "| {name} | {rows} | {plain:.2} | {} | {steady:.2} | {} | {:+.0} % | {alone:.2} | {:+.0} % |",
            same[0],
            same[1],
            cost(steady),
            cost(alone),
        );
    }
    Ok(())
}

/// The same network with both kinds of kernels.
fn both<C: Config, N, B: Bench>(
    bundle: &Bundle,
    component: Component,
    kind: Kind,
    build: impl Fn(&Params, &C) -> std::result::Result<N, ModelError>,
    bench: impl Fn(N, &C, Kind) -> Result<B>,
) -> Result<[B; 2]> {
    let config = bundle.config::<C>(component)?;
    let weights = bundle.weights(component)?;
    let placement = Placement { device: Device::Cpu, kind };
    let source = || SafetensorsSource::new(&weights, placement);
    let make = |source: &SafetensorsSource<'_>| {
        tch::manual_seed(0);
        bench(build(&Params::root(source), &config)?, &config, kind)
    };
    Ok([make(&source().unsteady())?, make(&source())?])
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let bundle = Bundle::open(Path::new(
        arguments.first().ok_or("usage: bench_invariance BUNDLE [ROUNDS] [THREADS]")?,
    ))?;
    let rounds = arguments.get(1).map_or(Ok(9), |text| text.parse())?;
    let cores = std::thread::available_parallelism()?.get();
    let threads = arguments.get(2).map_or(Ok(cores), |text| text.parse())?;
    set_threads(threads);
    let _no_gradients = tch::no_grad_guard();
    println!("{threads} threads, {rounds} rounds, median milliseconds of processor time for a row\n");
    println!("| network | rows | libtorch's | same bits | steady | same bits | cost | row by row | cost |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (dtype, kind) in [("f32", Kind::Float), ("bf16", Kind::BFloat16)] {
        let [plain, steady] = both(&bundle, Component::Prior, kind, PriorTransformer::new, Prior::new)?;
        measure(&format!("prior, {dtype}"), &plain, &steady, rounds)?;
        let [plain, steady] =
            both(&bundle, Component::Decoder, kind, UNet2DConditionModel::new, Decoder::new)?;
        measure(&format!("decoder, {dtype}"), &plain, &steady, rounds)?;
        let [plain, steady] =
            both(&bundle, Component::SuperResFirst, kind, UNet2DModel::new, Upsampler::new)?;
        measure(&format!("upsampler, {dtype}"), &plain, &steady, rounds)?;
    }
    Ok(())
}
