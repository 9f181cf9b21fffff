//! Configs as the reference lets them be: keys that are absent, null, one number or a list; and what is said of the others.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use serde_json::{Value, json};
use unclip_bundle::BundleError;
use unclip_bundle::config::{
    Activation, ClipTextConfig, ClipVisionConfig, Config, PerLevel, PreprocessorConfig, PriorConfig, Size,
    TextProjConfig, TokenizerConfig, UNet2DConditionConfig, UNet2DConfig, read,
};

fn parse<C: Config>(config: &Value) -> Result<C, BundleError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(C::FILE), config.to_string()).unwrap();
    read(folder.path())
}

/// `base` with some keys changed.
fn with(base: &Value, changes: &Value) -> Value {
    let mut config = base.clone();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Every change is refused, and the error names the file, the key and the value.
fn assert_refused<C: Config>(base: &Value, changes: &[(&str, Value)]) {
    parse::<C>(base).map(drop).unwrap();
    for (key, value) in changes {
        let result = parse::<C>(&with(base, &json!({*key: value})));
        let error = result.err().unwrap_or_else(|| unreachable!("{key}: {value} was taken")).to_string();
        assert!(error.contains(C::FILE) && error.contains(&format!("{key} is ")), "{key}: {error}");
        assert!(error.contains("supported: "), "{key}: {error}");
        if value.is_null() {
            assert!(error.contains(&format!("{key} is null")), "{error}");
        }
    }
}

fn decoder() -> Value {
    json!({
        "sample_size": 16, "in_channels": 3, "out_channels": 6, "block_out_channels": [32, 64], "norm_num_groups": 8,
        "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
        "up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "class_embed_type": "identity"
    })
}

fn upsampler() -> Value {
    json!({
        "in_channels": 6, "block_out_channels": [32, 64], "norm_num_groups": 8,
        "down_block_types": ["ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D"],
        "up_block_types": ["ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"]
    })
}

#[test]
fn a_decoder_takes_what_diffusers_takes() {
    let config: UNet2DConditionConfig = parse(&decoder()).unwrap();
    assert_eq!((config.cross_attention_dim, config.attention_head_dim), (1280, PerLevel::All(8)));
    let same = json!({
        "sample_size": [16, 32], "cross_attention_dim": [20, 20], "attention_head_dim": [8, 16],
        "layers_per_block": [1, 2], "only_cross_attention": [false, false], "mid_block_only_cross_attention": null,
        "resnet_out_scale_factor": 1, "mid_block_scale_factor": 1.0, "freq_shift": 0.0, "center_input_sample": null,
        "time_embedding_dim": 128, "transformer_layers_per_block": [1, 2], "num_class_embeds": 7,
        "projection_class_embeddings_input_dim": 5, "addition_time_embed_dim": 256, "dropout": 0.1, "extra": {"a": []}
    });
    let config: UNet2DConditionConfig = parse(&with(&decoder(), &same)).unwrap();
    assert_eq!((config.sides, config.cross_attention_dim), ([16, 32], 20));
    assert_eq!(config.trunk.layers_per_block, PerLevel::Each(vec![1, 2]));
}

#[test]
fn a_decoder_is_refused_by_the_key_that_it_can_not_have() {
    assert_refused::<UNet2DConditionConfig>(
        &decoder(),
        &[
            ("sample_size", Value::Null),
            ("sample_size", json!("16")),
            ("sample_size", json!([16])),
            ("in_channels", Value::Null),
            ("in_channels", json!(3.5)),
            ("out_channels", json!(-3)),
            ("block_out_channels", json!(32)),
            ("block_out_channels", json!([])),
            ("layers_per_block", Value::Null),
            ("layers_per_block", json!([1, 2, 3])),
            ("cross_attention_dim", json!([20, 24])),
            ("attention_head_dim", Value::Null),
            ("norm_num_groups", Value::Null),
            ("norm_eps", json!("1e-5")),
            ("resnet_time_scale_shift", json!("ada_group")),
            ("down_block_types", Value::Null),
            ("mid_block_type", Value::Null),
            ("class_embed_type", Value::Null),
            ("only_cross_attention", json!([false, true])),
            ("flip_sin_to_cos", json!("yes")),
        ],
    );
    let mut absent = decoder();
    absent.as_object_mut().unwrap().remove("mid_block_type");
    let error = parse::<UNet2DConditionConfig>(&absent).unwrap_err().to_string();
    assert!(error.contains("mid_block_type is absent, which means \"UNetMidBlock2DCrossAttn\""), "{error}");
}

#[test]
fn an_upsampler_takes_null_where_diffusers_does() {
    let nulls = json!({
        "sample_size": null, "attention_head_dim": null, "attn_norm_num_groups": null, "class_embed_type": null,
        "num_class_embeds": null, "num_train_timesteps": null, "time_embedding_dim": null, "add_attention": null
    });
    let config: UNet2DConfig = parse(&with(&upsampler(), &nulls)).unwrap();
    assert_eq!(
        (config.trunk.sample_size, config.attention_head_dim, config.add_attention),
        (None, None, false)
    );
    let plain: UNet2DConfig = parse(&upsampler()).unwrap();
    assert_eq!(
        (plain.trunk.sample_size, plain.attention_head_dim, plain.add_attention),
        (None, Some(8), true)
    );
    assert_refused::<UNet2DConfig>(
        &upsampler(),
        &[
            ("mid_block_type", Value::Null),
            ("layers_per_block", json!([1, 2])),
            ("attention_head_dim", json!(65)),
            ("attn_norm_num_groups", json!(7)),
            ("num_class_embeds", json!(3)),
        ],
    );
}

#[test]
fn a_prior_needs_no_key_and_refuses_other_networks() {
    let config: PriorConfig = parse(&json!({})).unwrap();
    assert_eq!((config.num_layers, config.inner_dim(), config.sequence_length()), (20, 2048, 81));
    let nulls = json!({"time_embed_dim": null, "clip_embed_dim": 768, "embedding_proj_dim": null, "norm_in_type": null});
    parse::<PriorConfig>(&nulls).unwrap();
    assert_refused::<PriorConfig>(
        &json!({}),
        &[
            ("num_layers", Value::Null),
            ("num_layers", json!(0)),
            ("num_embeddings", json!(4_294_967_295_u32)),
            ("added_emb_type", Value::Null),
            ("encoder_hid_proj_type", Value::Null),
            ("norm_in_type", json!("layer")),
            ("additional_embeddings", json!(3)),
        ],
    );
    let error = parse::<TextProjConfig>(&json!({"time_embed_dim": 128})).unwrap_err().to_string();
    assert!(error.contains("cross_attention_dim is absent"), "{error}");
}

#[test]
fn a_tower_may_be_described_inside_a_whole_clip() {
    let clip = json!({
        "model_type": "clip", "projection_dim": 7, "text_config": {"hidden_size": 64, "eos_token_id": 2},
        "vision_config": {"hidden_size": 96, "hidden_act": "gelu"}
    });
    let text: ClipTextConfig = parse(&clip).unwrap();
    assert_eq!((text.hidden_size, text.projection_dim, text.eos_token_id), (64, 512, 2));
    let vision: ClipVisionConfig = parse(&clip).unwrap();
    assert_eq!((vision.hidden_size, vision.hidden_act), (96, Activation::Gelu));
    assert_refused::<ClipTextConfig>(
        &json!({}),
        &[
            ("eos_token_id", Value::Null),
            ("eos_token_id", json!([1, 2])),
            ("projection_dim", Value::Null),
            ("layer_norm_eps", Value::Null),
            ("hidden_act", json!("gelu_new")),
            ("num_attention_heads", json!(7)),
            ("model_type", json!("siglip")),
        ],
    );
    assert_refused::<ClipVisionConfig>(
        &json!({}),
        &[("image_size", Value::Null), ("patch_size", json!([32, 32])), ("num_channels", json!(1))],
    );
}

#[test]
fn a_preprocessor_takes_sizes_in_all_their_shapes() {
    let plain: PreprocessorConfig = parse(&json!({"image_processor_type": "CLIPImageProcessor"})).unwrap();
    assert_eq!((plain.size, plain.crop_size), (Size::ShortestEdge(224), (224, 224)));
    let nulls = json!({"size": null, "crop_size": null, "resample": null, "do_resize": null, "rescale_factor": null,
        "image_mean": null, "image_std": null, "do_pad": null});
    assert_eq!(parse::<PreprocessorConfig>(&nulls).unwrap(), plain);
    let exact = Size::Exact { height: 30, width: 20 };
    for (size, expected) in [
        (json!(30), Size::ShortestEdge(30)),
        (json!({"shortest_edge": 30}), Size::ShortestEdge(30)),
        (json!({"shortest_edge": 30, "longest_edge": null}), Size::ShortestEdge(30)),
        (json!({"height": 30, "width": 20}), exact),
        (json!([30, 20]), exact),
    ] {
        assert_eq!(parse::<PreprocessorConfig>(&json!({"size": size})).unwrap().size, expected);
    }
    for (crop, expected) in [(json!(30), (30, 30)), (json!({"height": 30, "width": 20}), (30, 20))] {
        assert_eq!(parse::<PreprocessorConfig>(&json!({"crop_size": crop})).unwrap().crop_size, expected);
    }
    let grey: PreprocessorConfig = parse(&json!({"image_mean": 0.5, "image_std": [0.5, 0.5, 0.25]})).unwrap();
    assert_eq!((grey.image_mean, grey.image_std), ([0.5; 3], [0.5, 0.5, 0.25]));
    assert_refused::<PreprocessorConfig>(
        &json!({}),
        &[
            ("size", json!({"longest_edge": 30})),
            ("size", json!("224")),
            ("size", json!(0)),
            ("crop_size", json!({"shortest_edge": 30})),
            ("resample", json!(2)),
            ("do_center_crop", json!(false)),
            ("image_std", json!([0.5, 0.0, 0.5])),
            ("image_mean", json!([0.5])),
            ("rescale_factor", json!(0)),
        ],
    );
}

#[test]
fn a_tokenizer_reads_karlos_keys_and_names_bad_ones() {
    let karlo = json!({
        "bos_token": {"__type": "AddedToken", "content": "<|startoftext|>", "lstrip": false, "normalized": true},
        "pad_token": "!", "device_map": "auto", "special_tokens_map_file": "./special_tokens_map.json",
        "tokenizer_class": "CLIPTokenizer", "add_prefix_space": false, "model_max_length": 77
    });
    let config: TokenizerConfig = parse(&karlo).unwrap();
    assert_eq!((config.bos_token.as_str(), config.pad_token.as_str()), ("<|startoftext|>", "!"));
    // transformers writes this where there is no limit.
    let endless: Value =
        serde_json::from_str(r#"{"model_max_length": 1000000000000000019884624838656}"#).unwrap();
    assert_eq!(parse::<TokenizerConfig>(&endless).unwrap().model_max_length, 77);
    assert_eq!(parse::<TokenizerConfig>(&json!({"model_max_length": null})).unwrap().model_max_length, 77);
    assert_refused::<TokenizerConfig>(
        &karlo,
        &[
            ("pad_token", Value::Null),
            ("pad_token", json!(0)),
            ("eos_token", json!({"lstrip": true})),
            ("model_max_length", json!(1)),
            ("padding_side", json!("left")),
            ("tokenizer_class", json!("T5Tokenizer")),
            ("added_tokens_decoder", json!({"x": "y"})),
        ],
    );
}

#[test]
fn a_file_that_does_not_parse_is_named_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in
        [("{\"a\": }", "line 1 column 7"), ("[]", "map"), ("{} {}", "trailing"), ("\u{feff}{}", "line 1")]
    {
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let error = read::<PriorConfig>(folder.path()).unwrap_err().to_string();
        assert!(error.contains("config.json: ") && error.contains(expected), "{text}: {error}");
    }
    std::fs::write(folder.path().join("config.json"), b"{\"a\": \"\xff\"}").unwrap();
    let error = read::<PriorConfig>(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not UTF-8"), "{error}");
}
