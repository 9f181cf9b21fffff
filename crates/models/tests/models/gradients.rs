//! Networks can be trained: with parameters that want gradients they compute the same, and every one gets its gradient.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};
use unclip_bundle::Component;
use unclip_bundle::config::Config;
use unclip_models::networks::{ContextBatch, PriorTransformer, UNet2DConditionModel, UNet2DModel, mask_bias};
use unclip_models::{ModelError, ParamSource, Params, Placement, SafetensorsSource};

use crate::fixtures::{Fixture, assert_close, fixtures};

/// Hands out variables, as a trainer's source would.
struct Variables<'a> {
    source: SafetensorsSource<'a>,
    all: RefCell<Vec<(String, Tensor)>>,
}

impl ParamSource for Variables<'_> {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let variable = self.source.tensor(name, shape)?.set_requires_grad(true);
        self.all.borrow_mut().push((name.to_owned(), variable.shallow_clone()));
        Ok(variable)
    }
}

/// Runs a network with variables, compares it with the golden, and looks at the gradients. `unread` are parameters that
/// the output does not depend on.
fn assert_trainable<C: Config, N>(
    fixture: &Fixture,
    component: Component,
    build: impl Fn(&Params, &C) -> Result<N, ModelError>,
    forward: impl Fn(&N) -> Tensor,
    golden: &str,
    unread: &[&str],
) {
    let weights = fixture.bundle.weights(component).unwrap();
    let source = SafetensorsSource::new(&weights, Placement::REFERENCE);
    let variables = Variables { source, all: RefCell::default() };
    let config = fixture.bundle.config(component).unwrap();
    let network = build(&Params::root(&variables), &config).unwrap();
    let out = forward(&network);
    assert_close(component.folder(), &out, &fixture.golden(golden), 1e-4);
    out.square().mean(Kind::Float).backward();
    for (name, variable) in variables.all.into_inner() {
        let gradient = variable.grad();
        let reached = gradient.defined() && f64::try_from(gradient.abs().max()).unwrap() > 0.0;
        assert_eq!(reached, !unread.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn prior() {
    for fixture in fixtures() {
        let golden = |name: &str| fixture.golden(&format!("prior.{name}"));
        let forward = |network: &PriorTransformer| {
            // With the mask as a bias, as a trainer batches texts of different lengths.
            let always = Tensor::ones([2, 1], (Kind::Bool, Device::Cpu));
            let mask = Tensor::cat(&[golden("mask"), always], 1);
            let bias = mask_bias(&mask, Kind::Float);
            let text = network.embed_text(&golden("text_embedding"), &golden("text_hidden_states"));
            let key_values = network.encode_text(&text, Some(&bias));
            let text = ContextBatch { key_values, bias: Some(bias) };
            network.forward(&golden("x"), &golden("timesteps"), &[text])
        };
        let unread = ["clip_mean", "clip_std"];
        assert_trainable(&fixture, Component::Prior, PriorTransformer::new, forward, "prior.out", &unread);
    }
}

#[test]
fn decoder() {
    for fixture in fixtures() {
        let golden = |name: &str| fixture.golden(&format!("decoder.{name}"));
        let forward = |network: &UNet2DConditionModel| {
            let context = ContextBatch {
                key_values: network.project_context(&golden("context")),
                bias: Some(mask_bias(&golden("mask"), Kind::Float)),
            };
            network.forward(&golden("sample"), &golden("timesteps"), &golden("time"), &[context])
        };
        let component = Component::Decoder;
        assert_trainable(&fixture, component, UNet2DConditionModel::new, forward, "decoder.out", &[]);
    }
}

#[test]
fn upsampler() {
    for fixture in fixtures() {
        let (x, timesteps) = (fixture.golden("super_res.sample"), fixture.golden("super_res.timesteps"));
        let forward = |network: &UNet2DModel| network.forward(&x, &timesteps);
        let component = Component::SuperResFirst;
        assert_trainable(&fixture, component, UNet2DModel::new, forward, "super_res_first.out", &[]);
    }
}
