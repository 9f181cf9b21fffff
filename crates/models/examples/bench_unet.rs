//! The Rust half of the decoder benchmark: one line of JSON at a time, so that a driver can alternate it with a
//! reference (`bench/reference/bench_reference.py`) in one run, on the same machine.
//!
//! ```text
//! bench_unet BUNDLE [f32|bf16|f16] [THREADS] [DEVICE]
//! {"ready": true, ...}                    printed once, after loading
//! {"batch": 2, "iters": 5}                read; "warmup" (1 unless told) is optional
//! {"batch": 2, "seconds": [0.1, ...]}     printed: seconds of each forward pass
//! ```
//!
//! A pass is what a step of the server does: stack the contexts of the rows, run the U-Net on f32 pictures with a
//! timestep per row, and give f32 back. Half of the text tokens are masked. Only `decoder/` of the bundle is read.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use unclip_bundle::config::UNet2DConditionConfig;
use unclip_bundle::{Bundle, Component};
use unclip_models::networks::{ContextBatch, KeyValues, UNet2DConditionModel};
use unclip_models::{Params, Placement, SafetensorsSource, set_threads};

/// Context tokens of Karlo: 4 of the image, 77 of the text.
const TOKENS: i64 = 81;

#[derive(Deserialize)]
struct Request {
    batch: u32,
    iters: usize,
    #[serde(default = "once")]
    warmup: usize,
}

fn once() -> usize {
    1
}

struct Worker {
    unet: UNet2DConditionModel,
    config: UNet2DConditionConfig,
    placement: Placement,
}

/// What the rows of a batch bring along.
struct Inputs {
    x: Tensor,
    timesteps: Tensor,
    times: Vec<Tensor>,
    contexts: Vec<KeyValues>,
}

impl Worker {
    fn load(bundle: &Path, placement: Placement) -> Result<Self, Box<dyn Error>> {
        let bundle = Bundle::open(bundle)?;
        let config = bundle.config::<UNet2DConditionConfig>(Component::Decoder)?;
        let weights = bundle.weights(Component::Decoder)?;
        let source = SafetensorsSource::new(&weights, placement);
        let unet = UNet2DConditionModel::new(&Params::root(&source), &config)?;
        Ok(Self { unet, config, placement })
    }

    fn inputs(&self, batch: u32) -> Result<Inputs, Box<dyn Error>> {
        let options = (self.placement.kind, self.placement.device);
        let rows = i64::from(batch);
        let trunk = &self.config.trunk;
        let [height, width] = self.config.sides;
        let x = [trunk.in_channels, height, width].map(i64::try_from);
        let x = [Ok(rows), x[0], x[1], x[2]].into_iter().collect::<Result<Vec<_>, _>>()?;
        let time = [1, i64::try_from(trunk.time_embed_dim())?];
        let context = [1, (TOKENS + 1) / 2, i64::try_from(self.config.cross_attention_dim)?];
        Ok(Inputs {
            x: Tensor::randn(x, (Kind::Float, Device::Cpu)),
            timesteps: Tensor::linspace(999, 1, rows, (Kind::Float, Device::Cpu)).round(),
            times: (0..batch).map(|_| Tensor::randn(time, options)).collect(),
            contexts: (0..batch)
                .map(|_| KeyValues(self.unet.project_context(&Tensor::randn(context, options))))
                .collect(),
        })
    }

    fn forward(&self, inputs: &Inputs) -> f64 {
        let start = Instant::now();
        let contexts: Vec<_> = inputs.contexts.iter().collect();
        let x = inputs.x.to_device(self.placement.device).to_kind(self.placement.kind);
        let timesteps = inputs.timesteps.to_device(self.placement.device);
        let out = self.unet.forward(
            &x,
            &timesteps,
            &Tensor::cat(&inputs.times, 0),
            &ContextBatch::parts(&contexts, self.placement.device),
        );
        // Reading a value waits for the device.
        let _ = out.to_kind(Kind::Float).to_device(Device::Cpu);
        start.elapsed().as_secs_f64()
    }

    fn answer(&self, line: &str) -> Result<Value, Box<dyn Error>> {
        let request: Request = serde_json::from_str(line)?;
        let inputs = self.inputs(request.batch)?;
        for _ in 0..request.warmup {
            self.forward(&inputs);
        }
        let seconds: Vec<_> = (0..request.iters).map(|_| self.forward(&inputs)).collect();
        Ok(json!({"batch": request.batch, "seconds": seconds}))
    }
}

fn reply(value: &Value) -> Result<(), Box<dyn Error>> {
    let mut out = stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let bundle = arguments.next().ok_or("usage: bench_unet BUNDLE [f32|bf16|f16] [THREADS] [DEVICE]")?;
    let dtype = arguments.next().unwrap_or_else(|| "f32".to_owned());
    if let Some(threads) = arguments.next() {
        set_threads(threads.parse()?);
    }
    let device = arguments.next().unwrap_or_else(|| "cpu".to_owned());
    let placement = Placement::parse(&device, &dtype)?;
    let _no_gradients = tch::no_grad_guard();
    let worker = Worker::load(Path::new(&bundle), placement)?;
    reply(
        &json!({"ready": true, "device": placement.device_name(), "dtype": placement.dtype_name(), "threads": tch::get_num_threads()}),
    )?;
    for line in stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            break;
        }
        match worker.answer(&line) {
            Ok(answer) => reply(&answer)?,
            Err(error) => reply(&json!({"error": error.to_string()}))?,
        }
    }
    Ok(())
}
