//! Whether the parts of a bundle fit together.

use unclip_bundle::config::{
    ClipTextConfig, ClipVisionConfig, PriorConfig, TextProjConfig, TokenizerConfig, UNet2DConditionConfig,
    UNet2DConfig, upsampler_sides,
};
use unclip_bundle::{Bundle, BundleError, Component, Stage};

use crate::{DecoderModel, PriorModel, Report, UpsamplerModel, schedules};

/// Checks every diffusion network that a bundle has: configs, schedules, names, shapes and values of all tensors, and
/// whether the parts fit each other. Reads every weight once.
pub fn check_bundle(bundle: &Bundle) -> Report {
    let mut report = Report::default();
    for (stage, check) in STAGES {
        if bundle.has_stage(stage) {
            report.extend(check(bundle));
        }
    }
    report.errors.extend(misfits(bundle));
    report.errors.extend(schedules::check(bundle));
    report
}

type Check = fn(&Bundle) -> Report;

const STAGES: [(Stage, Check); 3] = [
    (Stage::Prior, PriorModel::check),
    (Stage::Decoder, DecoderModel::check),
    (Stage::Upsampler, UpsamplerModel::check),
];

/// Parts whose own config can't be read are reported by their own check.
fn misfits(bundle: &Bundle) -> Vec<BundleError> {
    let prior = bundle.config::<PriorConfig>(Component::Prior).ok();
    let text_proj = bundle.config::<TextProjConfig>(Component::TextProj).ok();
    let decoder = bundle.config::<UNet2DConditionConfig>(Component::Decoder).ok();
    let first = bundle.config::<UNet2DConfig>(Component::SuperResFirst).ok();
    let last = bundle.config::<UNet2DConfig>(Component::SuperResLast).ok();
    let mut errors = Vec::new();
    match (&prior, &text_proj) {
        (Some(prior), _) => {
            let tokens = ("prior/config.json num_embeddings", prior.num_embeddings);
            errors.extend(clip_fits(
                bundle,
                ("prior/config.json embedding_dim", prior.embedding_dim),
                Some(tokens),
            ));
        }
        (None, Some(text_proj)) => {
            let dim = ("text_proj/config.json clip_embeddings_dim", text_proj.clip_embeddings_dim);
            errors.extend(clip_fits(bundle, dim, None));
        }
        (None, None) => {}
    }
    if let (Some(prior), Some(text_proj)) = (&prior, &text_proj) {
        errors.extend(prior_fits(prior, text_proj));
    }
    if let (Some(text_proj), Some(decoder)) = (&text_proj, &decoder) {
        errors.extend(text_proj_fits(text_proj, decoder));
    }
    if let Some(decoder) = &decoder {
        errors.extend(differ(("decoder/config.json in_channels", decoder.trunk.in_channels), ("RGB", 3)));
    }
    if let (Some(first), Some(last)) = (&first, &last) {
        errors.extend(upsamplers_fit(first, last));
        errors.extend(upsampler_sides(bundle).err());
    }
    errors
}

/// The prior takes the text tower's outputs and makes what the image tower makes; the decoder takes both. `dim` and
/// `tokens` are what they ask for.
fn clip_fits(bundle: &Bundle, dim: (&str, usize), tokens: Option<(&str, usize)>) -> Vec<BundleError> {
    let text = bundle.config::<ClipTextConfig>(Component::TextEncoder).ok().into_iter().flat_map(|text| {
        [
            differ(("text_encoder/config.json projection_dim", text.projection_dim), dim),
            differ(("text_encoder/config.json hidden_size", text.hidden_size), dim),
        ]
    });
    let tokenizer = bundle.config::<TokenizerConfig>(Component::Tokenizer).ok();
    let length = tokenizer.zip(tokens).map(|(tokenizer, tokens)| {
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
        (
            "decoder/config.json time_embedding_dim, by default block_out_channels[0] * 4,",
            decoder.trunk.time_embed_dim(),
        ),
    );
    context.into_iter().chain(time).collect()
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
    // Karlo's last one has none.
    let sides = one.sample_size.into_iter().flatten().zip(two.sample_size.into_iter().flatten());
    let sizes = sides.map(|(one, two)| differ((names.0, one), (names.1, two)));
    channels.into_iter().chain(sizes).flatten().collect()
}

pub(crate) fn differ(left: (&str, usize), right: (&str, usize)) -> Option<BundleError> {
    (left.1 != right.1).then(|| BundleError::Mismatch {
        left: left.0.to_owned(),
        right: right.0.to_owned(),
        reason: format!("{} and {}", left.1, right.1),
    })
}
