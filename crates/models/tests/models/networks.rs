//! Every network against diffusers 0.42.1, in f32 on the CPU, with another timestep in each row.

use crate::fixtures::{Fixture, assert_close, fixtures};
use tch::Tensor;
use unclip_bundle::Component;
use unclip_bundle::config::Config;
use unclip_models::networks::{ContextBatch, TextProj, UNet2DConditionModel, UNet2DModel, mask_bias};
use unclip_models::rows::stack_rows;
use unclip_models::{
    DecoderModel, EmbeddingStatistics, ModelError, Params, Placement, PriorModel, SafetensorsSource,
    UpsamplerModel,
};

/// The largest absolute difference; what is seen is below 1e-5.
const TOLERANCE: f64 = 1e-4;

fn network<C: Config, N>(
    fixture: &Fixture,
    component: Component,
    build: impl Fn(&Params, &C) -> Result<N, ModelError>,
) -> N {
    let weights = fixture.bundle.weights(component).unwrap();
    let source = SafetensorsSource::new(&weights, Placement::REFERENCE);
    build(&Params::root(&source), &fixture.bundle.config(component).unwrap()).unwrap()
}

#[test]
fn prior() {
    for fixture in fixtures() {
        let model = PriorModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        let context = |row| {
            let text_embedding = fixture.row("prior.text_embedding", row);
            let hidden_states = fixture.row("prior.text_hidden_states", row);
            model.context(&text_embedding, &hidden_states, &fixture.mask("prior.mask", row)).unwrap()
        };
        let contexts = [context(0), context(1)];
        let timesteps = fixture.timesteps("prior.timesteps");
        let x = fixture.golden("prior.x");
        let out = model.forward(&x, &timesteps, &contexts.each_ref()).unwrap();
        assert_close(&format!("{} prior", fixture.name), &out, &fixture.golden("prior.out"), TOLERANCE);
        let statistics = EmbeddingStatistics::load(&fixture.bundle).unwrap();
        let rows = [fixture.row("prior.x", 0), fixture.row("prior.x", 1)];
        let rows = rows.map(|row| statistics.denormalise(&row).unwrap());
        let rows = stack_rows(&rows.each_ref().map(Vec::as_slice), &x.size()[1..]).unwrap();
        assert_close("statistics", &rows, &fixture.golden("prior.post_processed"), 1e-6);
    }
}

#[test]
fn text_projection() {
    for fixture in fixtures() {
        let network = network(&fixture, Component::TextProj, TextProj::new);
        let golden = |name: &str| fixture.golden(&format!("text_proj.{name}"));
        let (image, text) = (golden("image_embedding"), golden("text_embedding"));
        let hidden_states = golden("text_hidden_states");
        let plain = network.forward(&image, &text, &hidden_states);
        let guided = Tensor::cat(&[network.null_image(), image.narrow(0, 1, 1)], 0);
        let guided = network.forward(&guided, &text, &hidden_states);
        assert_close("context", &plain.context, &golden("context"), TOLERANCE);
        assert_close("time", &plain.time, &golden("time"), TOLERANCE);
        assert_close("guided context", &guided.context, &golden("guided_context"), TOLERANCE);
        assert_close("guided time", &guided.time, &golden("guided_time"), TOLERANCE);
    }
}

#[test]
fn decoder() {
    for fixture in fixtures() {
        let network = network(&fixture, Component::Decoder, UNet2DConditionModel::new);
        let golden = |name: &str| fixture.golden(&format!("decoder.{name}"));
        let context = ContextBatch {
            key_values: network.project_context(&golden("context")),
            bias: Some(mask_bias(&golden("mask"), tch::Kind::Float)),
        };
        let out = network.forward(&golden("sample"), &golden("timesteps"), &golden("time"), &[context]);
        assert_close(&format!("{} decoder", fixture.name), &out, &golden("out"), TOLERANCE);
    }
}

/// The stage leaves masked tokens out; the network is told to ignore them, as diffusers is.
#[test]
fn decoder_stage_equals_the_masked_network() {
    for fixture in fixtures() {
        let model = DecoderModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        let text_proj = network(&fixture, Component::TextProj, TextProj::new);
        let unet = network(&fixture, Component::Decoder, UNet2DConditionModel::new);
        let image = fixture.golden("text_proj.image_embedding");
        let text = fixture.golden("text_proj.text_embedding");
        let hidden_states = fixture.golden("text_proj.text_hidden_states");
        let image = Tensor::cat(&[text_proj.null_image(), image.narrow(0, 1, 1)], 0);
        let projected = text_proj.forward(&image, &text, &hidden_states);
        let context = ContextBatch {
            key_values: unet.project_context(&projected.context),
            bias: Some(mask_bias(&fixture.golden("decoder.mask"), tch::Kind::Float)),
        };
        let (x, timesteps) = (fixture.golden("decoder.sample"), fixture.golden("decoder.timesteps"));
        let expected = unet.forward(&x, &timesteps, &projected.time, &[context]);

        let stage_context = |image: Option<&[f32]>, row| {
            let text = fixture.row("text_proj.text_embedding", row);
            let hidden_states = fixture.row("text_proj.text_hidden_states", row);
            model.context(image, &text, &hidden_states, &fixture.mask("prior.mask", row)).unwrap()
        };
        let image = fixture.row("text_proj.image_embedding", 1);
        let contexts = [stage_context(None, 0), stage_context(Some(&image), 1)];
        let timesteps = fixture.timesteps("decoder.timesteps");
        let out = model.forward(&x, &timesteps, &contexts.each_ref()).unwrap();
        assert_close(&format!("{} decoder stage", fixture.name), &out, &expected, TOLERANCE);
    }
}

#[test]
fn upsampler() {
    for fixture in fixtures() {
        let timesteps = fixture.golden("super_res.timesteps");
        let sample = fixture.golden("super_res.sample");
        for component in [Component::SuperResFirst, Component::SuperResLast] {
            let network = network(&fixture, component, UNet2DModel::new);
            let what = format!("{} {}", fixture.name, component.folder());
            let golden = fixture.golden(&format!("{}.out", component.folder()));
            assert_close(&what, &network.forward(&sample, &timesteps), &golden, TOLERANCE);
        }
    }
}

/// The stage enlarges the small picture and puts it after the noisy one.
#[test]
fn upsampler_stage() {
    for fixture in fixtures() {
        let model = UpsamplerModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        let small = fixture.golden("upscale.image").size();
        let sides = [small[2], small[3]].map(|side| usize::try_from(side).unwrap());
        let context = |row| {
            let image = fixture.row("upscale.image", row);
            model.context(&image, sides[0], sides[1]).unwrap()
        };
        let contexts = [context(0), context(1)];
        let x = fixture.golden("super_res.sample").narrow(1, 0, 3);
        let timesteps = fixture.timesteps("super_res.timesteps");
        let input = Tensor::cat(&[&x, &fixture.golden("upscale.out")], 1);
        for (last, component) in [(false, Component::SuperResFirst), (true, Component::SuperResLast)] {
            let expected = network(&fixture, component, UNet2DModel::new)
                .forward(&input, &fixture.golden("super_res.timesteps"));
            let out = model.forward(&x, &timesteps, &contexts.each_ref(), last).unwrap();
            assert_close(&format!("{} last={last}", fixture.name), &out, &expected, TOLERANCE);
        }
    }
}
