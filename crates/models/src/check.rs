//! Whether the parts of a bundle fit together.

use serde_json::Value;
use unclip_bundle::config::{
    ClipTextConfig, ClipVisionConfig, PriorConfig, TextProjConfig, TokenizerConfig, UNet2DConditionConfig,
    UNet2DConfig,
};
use unclip_bundle::{Bundle, BundleError, Component};

use crate::{DecoderModel, PriorModel, Report, UpsamplerModel};

/// Checks every diffusion network of a bundle, without reading the weights' data: configs, names and shapes of all
/// tensors, and whether the parts fit each other.
pub fn check_bundle(bundle: &Bundle) -> Report {
    let mut report = PriorModel::check(bundle);
    report.extend(DecoderModel::check(bundle));
    report.extend(UpsamplerModel::check(bundle));
    report.errors.extend(misfits(bundle));
    report
}

/// Parts whose own config can't be read are reported by their own check.
fn misfits(bundle: &Bundle) -> Vec<BundleError> {
    let prior = bundle.config::<PriorConfig>(Component::Prior).ok();
    let text_proj = bundle.config::<TextProjConfig>(Component::TextProj).ok();
    let decoder = bundle.config::<UNet2DConditionConfig>(Component::Decoder).ok();
    let first = bundle.config::<UNet2DConfig>(Component::SuperResFirst).ok();
    let last = bundle.config::<UNet2DConfig>(Component::SuperResLast).ok();
    let mut errors = Vec::new();
    if let Some(prior) = &prior {
        errors.extend(clip_fits(bundle, prior));
    }
    if let (Some(prior), Some(text_proj)) = (&prior, &text_proj) {
        errors.extend(prior_fits(prior, text_proj));
    }
    if let (Some(text_proj), Some(decoder)) = (&text_proj, &decoder) {
        errors.extend(text_proj_fits(text_proj, decoder));
    }
    if let Some(decoder) = &decoder {
        errors.extend(variance_fits(bundle, decoder));
    }
    if let (Some(first), Some(last)) = (&first, &last) {
        errors.extend(upsamplers_fit(first, last));
    }
    errors
}

/// The prior takes the text tower's outputs and makes what the image tower makes.
fn clip_fits(bundle: &Bundle, prior: &PriorConfig) -> Vec<BundleError> {
    let dim = ("prior/config.json embedding_dim", prior.embedding_dim);
    let tokens = ("prior/config.json num_embeddings", prior.num_embeddings);
    let text = bundle.config::<ClipTextConfig>(Component::TextEncoder).ok().into_iter().flat_map(|text| {
        [
            differ(("text_encoder/config.json projection_dim", text.projection_dim), dim),
            differ(("text_encoder/config.json hidden_size", text.hidden_size), dim),
        ]
    });
    let length = bundle.config::<TokenizerConfig>(Component::Tokenizer).ok().map(|tokenizer| {
        let name = "tokenizer/tokenizer_config.json model_max_length";
        differ((name, tokenizer.model_max_length), tokens)
    });
    let image = bundle
        .config::<ClipVisionConfig>(Component::ImageEncoder)
        .ok()
        .map(|image| differ(("image_encoder/config.json projection_dim", image.projection_dim), dim));
    text.chain(length).chain(image).flatten().collect()
}

fn prior_fits(prior: &PriorConfig, text_proj: &TextProjConfig) -> Vec<BundleError> {
    let left = ("prior/config.json embedding_dim", prior.embedding_dim);
    let right = ("text_proj/config.json clip_embeddings_dim", text_proj.clip_embeddings_dim);
    differ(left, right).into_iter().collect()
}

pub(crate) fn text_proj_fits(
    text_proj: &TextProjConfig,
    decoder: &UNet2DConditionConfig,
) -> Vec<BundleError> {
    let context = differ(
        ("text_proj/config.json cross_attention_dim", text_proj.cross_attention_dim),
        ("decoder/config.json cross_attention_dim", decoder.cross_attention_dim),
    );
    let time = differ(
        ("text_proj/config.json time_embed_dim", text_proj.time_embed_dim),
        ("decoder/config.json block_out_channels[0] * 4", decoder.trunk.time_embed_dim()),
    );
    context.into_iter().chain(time).collect()
}

/// Pictures have three channels; a scheduler that reads the variance from the network needs as many again.
fn variance_fits(bundle: &Bundle, decoder: &UNet2DConditionConfig) -> Vec<BundleError> {
    let scheduler = bundle.json::<Value>(Component::DecoderScheduler, "scheduler_config.json");
    let Ok(scheduler) = scheduler else {
        // The stage that reads the scheduler says what is wrong with it.
        return Vec::new();
    };
    let learned = scheduler.get("variance_type").and_then(Value::as_str) == Some("learned_range");
    let (expected, why) = if learned {
        (6, "3 and 3 for decoder_scheduler variance_type learned_range")
    } else {
        (3, "3 for a decoder_scheduler variance_type that is fixed")
    };
    let pictures = differ(("decoder/config.json in_channels", decoder.trunk.in_channels), ("RGB", 3));
    let out = differ(("decoder/config.json out_channels", decoder.trunk.out_channels), (why, expected));
    pictures.into_iter().chain(out).collect()
}

pub(crate) fn upsamplers_fit(first: &UNet2DConfig, last: &UNet2DConfig) -> Vec<BundleError> {
    let (one, two) = (&first.trunk, &last.trunk);
    let inputs = "the noisy and the enlarged RGB picture";
    let channels = [
        differ(("super_res_first/config.json in_channels", one.in_channels), (inputs, 6)),
        differ(("super_res_first/config.json out_channels", one.out_channels), ("RGB", 3)),
        differ(("super_res_last/config.json in_channels", two.in_channels), (inputs, 6)),
        differ(("super_res_last/config.json out_channels", two.out_channels), ("RGB", 3)),
    ];
    let names = ("super_res_first/config.json sample_size", "super_res_last/config.json sample_size");
    let sizes =
        one.sides().into_iter().zip(two.sides()).map(|(one, two)| differ((names.0, one), (names.1, two)));
    channels.into_iter().chain(sizes).flatten().collect()
}

fn differ(left: (&str, usize), right: (&str, usize)) -> Option<BundleError> {
    (left.1 != right.1).then(|| BundleError::Mismatch {
        left: left.0.to_owned(),
        right: right.0.to_owned(),
        reason: format!("{} and {}", left.1, right.1),
    })
}
