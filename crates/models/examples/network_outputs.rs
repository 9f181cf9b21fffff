//! What the networks of a bundle compute from inputs in a file, on any device: to be compared with diffusers there.
//!
//! ```text
//! network_outputs BUNDLE INPUTS OUTPUTS DEVICE DTYPE
//! ```
//!
//! INPUTS has the names of `tests/reference/network_goldens.py`, as `decoder.sample`; networks whose inputs are not there are
//! left out. OUTPUTS gets `decoder.out` and so on, and `decoder.alone`: the same rows, each in a pass of its own; f32.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};
use unclip_bundle::config::Config;
use unclip_bundle::{Bundle, Component};
use unclip_models::networks::{
    ContextBatch, PriorTransformer, TextProj, UNet2DConditionModel, UNet2DModel, mask_bias,
};
use unclip_models::{ModelError, Params, Placement, SafetensorsSource};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Inputs by name, on the device; floating point ones in the networks' dtype.
struct Inputs {
    tensors: HashMap<String, Tensor>,
}

impl Inputs {
    fn read(path: &Path, placement: Placement) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let mut tensors = HashMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
            let kind = match view.dtype() {
                Dtype::F32 => Kind::Float,
                Dtype::I64 => Kind::Int64,
                Dtype::BOOL => Kind::Bool,
                other => return Err(format!("{name} is {other:?}").into()),
            };
            let shape: Vec<i64> = view
                .shape()
                .iter()
                .map(|size| i64::try_from(*size))
                .collect::<std::result::Result<_, _>>()?;
            let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)?.to_device(placement.device);
            let kind = if kind == Kind::Float { placement.kind } else { kind };
            tensors.insert(name.clone(), tensor.to_kind(kind));
        }
        Ok(Self { tensors })
    }

    fn has(&self, network: &str) -> bool {
        self.tensors.keys().any(|name| name.starts_with(&format!("{network}.")))
    }

    fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| format!("the inputs lack {name}").into())
    }

    /// One row of everything.
    fn row(&self, row: i64) -> Self {
        let one = |(name, tensor): (&String, &Tensor)| {
            let rows = tensor.size().first().copied().unwrap_or_default();
            (row < rows).then(|| (name.clone(), tensor.narrow(0, row, 1)))
        };
        Self { tensors: self.tensors.iter().filter_map(one).collect() }
    }
}

fn network<C: Config, N>(
    bundle: &Bundle,
    component: Component,
    placement: Placement,
    build: impl Fn(&Params, &C) -> std::result::Result<N, ModelError>,
) -> Result<N> {
    let weights = bundle.weights(component)?;
    let source = SafetensorsSource::new(&weights, placement);
    Ok(build(&Params::root(&source), &bundle.config(component)?)?)
}

fn prior(network: &PriorTransformer, inputs: &Inputs, kind: Kind) -> Result<Tensor> {
    let get = |name: &str| inputs.get(&format!("prior.{name}"));
    let tokens = network.embed_text(get("text_embedding")?, get("text_hidden_states")?);
    let mask = get("mask")?.constant_pad_nd([0, 1]);
    // The text's embedding is always seen.
    let _ = mask.narrow(1, mask.size()[1] - 1, 1).fill_(1);
    let bias = mask_bias(&mask, kind);
    let key_values = network.encode_text(&tokens, Some(&bias));
    let text = ContextBatch { key_values, bias: Some(bias) };
    Ok(network.forward(get("x")?, get("timesteps")?, &[text]))
}

fn decoder(network: &UNet2DConditionModel, inputs: &Inputs, kind: Kind) -> Result<Tensor> {
    let get = |name: &str| inputs.get(&format!("decoder.{name}"));
    let key_values = network.project_context(get("context")?);
    let context = ContextBatch { key_values, bias: Some(mask_bias(get("mask")?, kind)) };
    Ok(network.forward(get("sample")?, get("timesteps")?, get("time")?, &[context]))
}

/// `run` on all rows, and row by row.
fn both(
    name: &str,
    inputs: &Inputs,
    run: impl Fn(&Inputs) -> Result<Tensor>,
) -> Result<[(String, Tensor); 2]> {
    let together = run(inputs)?;
    let alone = (0..together.size()[0]).map(|row| run(&inputs.row(row))).collect::<Result<Vec<_>>>()?;
    Ok([(format!("{name}.out"), together), (format!("{name}.alone"), Tensor::cat(&alone, 0))])
}

fn outputs(bundle: &Bundle, inputs: &Inputs, placement: Placement) -> Result<Vec<(String, Tensor)>> {
    let mut all = Vec::new();
    let kind = placement.kind;
    if inputs.has("prior") {
        let net = network(bundle, Component::Prior, placement, PriorTransformer::new)?;
        all.extend(both("prior", inputs, |rows| prior(&net, rows, kind))?);
    }
    if inputs.has("text_proj") {
        let net = network(bundle, Component::TextProj, placement, TextProj::new)?;
        let get = |name: &str| inputs.get(&format!("text_proj.{name}"));
        let out = net.forward(get("image_embedding")?, get("text_embedding")?, get("text_hidden_states")?);
        all.extend([("text_proj.context".to_owned(), out.context), ("text_proj.time".to_owned(), out.time)]);
    }
    if inputs.has("decoder") {
        let net = network(bundle, Component::Decoder, placement, UNet2DConditionModel::new)?;
        all.extend(both("decoder", inputs, |rows| decoder(&net, rows, kind))?);
    }
    if inputs.has("super_res") {
        let net = network(bundle, Component::SuperResFirst, placement, UNet2DModel::new)?;
        let run =
            |rows: &Inputs| Ok(net.forward(rows.get("super_res.sample")?, rows.get("super_res.timesteps")?));
        all.extend(both("super_res_first", inputs, run)?);
    }
    Ok(all)
}

fn write(path: &Path, all: &[(String, Tensor)]) -> Result<()> {
    let mut data = Vec::new();
    for (name, tensor) in all {
        let tensor = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        let values = Vec::<f32>::try_from(tensor.view([-1]))?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape: Vec<usize> =
            tensor.size().iter().map(|size| usize::try_from(*size)).collect::<std::result::Result<_, _>>()?;
        data.push((name.clone(), shape, bytes));
    }
    let views = data.iter().map(|(name, shape, bytes)| {
        Ok((name.clone(), safetensors::tensor::TensorView::new(Dtype::F32, shape.clone(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    Ok(std::fs::write(path, safetensors::serialize(views, None)?)?)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, inputs, to, device, dtype] = arguments.as_slice() else {
        return Err("usage: network_outputs BUNDLE INPUTS OUTPUTS DEVICE DTYPE".into());
    };
    let placement = Placement::parse(device, dtype)?;
    let _no_gradients = tch::no_grad_guard();
    let bundle = Bundle::open(Path::new(bundle))?;
    let inputs = Inputs::read(Path::new(inputs), placement)?;
    write(Path::new(to), &outputs(&bundle, &inputs, placement)?)
}
