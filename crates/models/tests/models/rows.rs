//! Rows don't feel their neighbours, bad inputs are errors, and bf16 stays close to f32.

use crate::fixtures::{Fixture, assert_close, fixtures, values};
use tch::{Device, Kind, Tensor};
use unclip_bundle::Component;
use unclip_bundle::config::UNet2DConditionConfig;
use unclip_models::{
    DecoderContext, DecoderModel, EmbeddingStatistics, ModelError, Placement, PriorContext, PriorModel,
    UpsamplerContext, UpsamplerModel,
};

/// Between a row of a batch and the same row alone, f32: sums may run in another order. What is seen is 3e-6.
const ALONE: f64 = 1e-5;

const BF16: Placement = Placement { device: Device::Cpu, kind: Kind::BFloat16 };

fn prior_context(fixture: &Fixture, model: &PriorModel, row: i64) -> PriorContext {
    let text_embedding = fixture.row("prior.text_embedding", row);
    let hidden_states = fixture.row("prior.text_hidden_states", row);
    model.context(&text_embedding, &hidden_states, &fixture.mask("prior.mask", row)).unwrap()
}

fn decoder_context(fixture: &Fixture, model: &DecoderModel, row: i64) -> DecoderContext {
    let image = fixture.row("text_proj.image_embedding", row);
    let text = fixture.row("text_proj.text_embedding", row);
    let hidden_states = fixture.row("text_proj.text_hidden_states", row);
    model.context(Some(&image), &text, &hidden_states, &fixture.mask("prior.mask", row)).unwrap()
}

fn upsampler_context(fixture: &Fixture, model: &UpsamplerModel, row: i64) -> UpsamplerContext {
    let small = fixture.golden("upscale.image");
    let side = |axis: usize| usize::try_from(small.size()[axis]).unwrap();
    model.context(&fixture.row("upscale.image", row), side(2), side(3)).unwrap()
}

/// Runs a stage on three rows, of which the first and the last have the same context, and on each row alone.
fn assert_rows_alone<C>(
    x: &Tensor,
    contexts: &[C; 2],
    forward: impl Fn(&Tensor, &[u32], &[&C]) -> Result<Tensor, ModelError>,
) {
    let x = Tensor::cat(&[x, &x.narrow(0, 1, 1).neg()], 0);
    let (timesteps, contexts) = ([7, 640, 999], [&contexts[0], &contexts[1], &contexts[0]]);
    let together = forward(&x, &timesteps, &contexts).unwrap();
    for row in 0..3_u8 {
        let (index, row) = (usize::from(row), i64::from(row));
        let alone =
            forward(&x.narrow(0, row, 1), &timesteps[index..=index], &contexts[index..=index]).unwrap();
        assert_close("a row alone", &together.narrow(0, row, 1), &alone, ALONE);
    }
}

#[test]
fn rows_of_a_batch_equal_rows_alone() {
    for fixture in fixtures() {
        let prior = PriorModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        let contexts = [0, 1].map(|row| prior_context(&fixture, &prior, row));
        assert_rows_alone(&fixture.golden("prior.x"), &contexts, |x, timesteps, contexts| {
            prior.forward(x, timesteps, contexts)
        });
        let decoder = DecoderModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        let contexts = [0, 1].map(|row| decoder_context(&fixture, &decoder, row));
        assert_rows_alone(&fixture.golden("decoder.sample"), &contexts, |x, timesteps, contexts| {
            decoder.forward(x, timesteps, contexts)
        });
        let upsampler = UpsamplerModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        let contexts = [0, 1].map(|row| upsampler_context(&fixture, &upsampler, row));
        let x = fixture.golden("super_res.sample").narrow(1, 0, 3);
        assert_rows_alone(&x, &contexts, |x, timesteps, contexts| {
            upsampler.forward(x, timesteps, contexts, true)
        });
    }
}

/// The mean absolute difference from f32 over the standard deviation of f32.
fn relative_difference(found: &Tensor, expected: &Tensor) -> f64 {
    let difference = (found - expected).abs().mean(Kind::Float) / expected.std(false);
    f64::try_from(difference).unwrap()
}

/// diffusers' own networks in bf16 differ by 0.0066 to 0.0086 on these inputs, these by 0.0064 to 0.0083.
#[test]
fn bf16_is_close_to_f32() {
    const TOLERANCE: f64 = 0.02;
    for fixture in fixtures() {
        let run = |placement| {
            let prior = PriorModel::load(&fixture.bundle, placement).unwrap();
            let contexts = [0, 1].map(|row| prior_context(&fixture, &prior, row));
            let x = fixture.golden("prior.x");
            let embedding = prior.forward(&x, &[957, 41], &contexts.each_ref()).unwrap();
            let decoder = DecoderModel::load(&fixture.bundle, placement).unwrap();
            let contexts = [0, 1].map(|row| decoder_context(&fixture, &decoder, row));
            let x = fixture.golden("decoder.sample");
            let picture = decoder.forward(&x, &[874, 125], &contexts.each_ref()).unwrap();
            let upsampler = UpsamplerModel::load(&fixture.bundle, placement).unwrap();
            let contexts = [0, 1].map(|row| upsampler_context(&fixture, &upsampler, row));
            let x = fixture.golden("super_res.sample").narrow(1, 0, 3);
            let large = upsampler.forward(&x, &[999, 166], &contexts.each_ref(), false).unwrap();
            [embedding, picture, large]
        };
        for (half, full) in run(BF16).iter().zip(run(Placement::REFERENCE)) {
            assert_eq!(half.kind(), Kind::Float);
            let difference = relative_difference(half, &full);
            println!("{}: {difference:.4}", fixture.name);
            assert!(difference < TOLERANCE, "{}: {difference}", fixture.name);
        }
    }
}

#[test]
fn bad_inputs_are_errors() {
    for fixture in fixtures() {
        let prior = PriorModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        let (dim, tokens) = (prior.embedding_dim(), prior.tokens());
        let (embedding, states, mask) = (vec![0.5; dim], vec![0.5; dim * tokens], vec![true; tokens]);
        assert!(prior.context(&embedding[1..], &states, &mask).is_err());
        assert!(prior.context(&embedding, &states[1..], &mask).is_err());
        assert!(prior.context(&embedding, &states, &mask[1..]).is_err());
        let context = prior.context(&embedding, &states, &mask).unwrap();
        let x = Tensor::zeros([2, fixture.golden("prior.x").size()[1]], (Kind::Float, Device::Cpu));
        assert!(prior.forward(&x, &[1], &[&context, &context]).is_err());
        assert!(prior.forward(&x, &[1, 2], &[&context]).is_err());
        assert!(prior.forward(&x.narrow(0, 0, 0), &[], &[]).is_err());
        assert!(prior.forward(&x.unsqueeze(0), &[1], &[&context]).is_err());
        let statistics = EmbeddingStatistics::load(&fixture.bundle).unwrap();
        assert!(statistics.denormalise(&embedding[1..]).is_err());

        let decoder = DecoderModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        assert!(decoder.context(Some(&embedding[1..]), &embedding, &states, &mask).is_err());
        assert!(decoder.context(None, &embedding, &[], &[]).is_err());
        let context = decoder.context(None, &embedding, &states, &mask).unwrap();
        let x = fixture.golden("decoder.sample").narrow(0, 0, 1);
        assert!(decoder.forward(&x.narrow(1, 0, 2), &[1], &[&context]).is_err());
        let config: UNet2DConditionConfig = fixture.bundle.config(Component::Decoder).unwrap();
        let odd = decoder.forward(&x.narrow(2, 0, x.size()[2] - 1), &[1], &[&context]);
        assert_eq!(odd.is_err(), config.trunk.levels() > 1);
        assert!(decoder.forward(&x, &[], &[]).is_err());

        let upsampler = UpsamplerModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        assert!(upsampler.context(&[], 0, 4).is_err());
        assert!(upsampler.context(&[0.0; 5], 1, 1).is_err());
        let context = upsampler.context(&[0.0; 3], 1, 1).unwrap();
        let x = fixture.golden("super_res.sample").narrow(0, 0, 1);
        assert!(upsampler.forward(&x, &[1], &[&context], false).is_err());
    }
}

/// A text without a single visible token still has its embedding.
#[test]
fn a_mask_may_hide_every_token() {
    for fixture in fixtures() {
        let prior = PriorModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        let (dim, tokens) = (prior.embedding_dim(), prior.tokens());
        let (embedding, states, mask) = (vec![0.5; dim], vec![0.5; dim * tokens], vec![false; tokens]);
        let hidden = prior.context(&embedding, &states, &mask).unwrap();
        let x = fixture.golden("prior.x").narrow(0, 0, 1);
        let out = prior.forward(&x, &[500], &[&hidden]).unwrap();
        assert!(values(&out).iter().all(|value| value.is_finite()));
        let decoder = DecoderModel::load(&fixture.bundle, Placement::REFERENCE).unwrap();
        let hidden = decoder.context(None, &embedding, &states, &mask).unwrap();
        let x = fixture.golden("decoder.sample").narrow(0, 0, 1);
        let out = decoder.forward(&x, &[500], &[&hidden]).unwrap();
        assert!(values(&out).iter().all(|value| value.is_finite()));
    }
}
