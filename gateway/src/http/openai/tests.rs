//! Parsing and mapping, without a gateway.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use bytes::Bytes;
use serde_json::{Value, json};
use tonic::{Code as GrpcCode, Status};
use unclip_proto::v1::{ImageFormat, MaskMode, PriorMode, Sampler};
use unclip_service::{Code, Error};

use super::error::ApiError;
use super::extras::Extras;
use super::fields::Fields;
use super::parameters::{Delivery, Endpoint, Parameters};

fn fields(value: Value) -> Fields {
    let Value::Object(values) = value else { panic!("an object") };
    Fields::of_json(values)
}

fn parameters(value: Value) -> Result<Parameters, ApiError> {
    let mut fields = fields(value);
    let parameters = Parameters::take(&mut fields, Endpoint::Generations, false)?;
    fields.finish().map(|()| parameters)
}

/// What a server refuses that takes only what it can honour.
fn strictly(value: Value) -> Result<Parameters, ApiError> {
    Parameters::take(&mut fields(value), Endpoint::Edits, true)
}

#[test]
fn nothing_said_is_the_official_default() {
    let expected = Parameters {
        model: None,
        n: None,
        size: None,
        delivery: Delivery::Base64,
        format: ImageFormat::Png,
        file_quality: None,
        stream: false,
        partial_images: 0,
        ignored: vec![],
    };
    assert_eq!(parameters(json!({})).unwrap(), expected);
    let auto =
        json!({"size": "auto", "quality": "", "background": null, "output_compression": 100, "user": 7});
    assert_eq!(parameters(auto).unwrap(), expected);
}

#[test]
fn parameters_mean_what_they_say() {
    let jpeg = |value| {
        parameters(json!({"output_format": "jpeg", "output_compression": value})).unwrap().file_quality
    };
    assert_eq!((jpeg(Value::Null), jpeg(json!(40)), jpeg(json!(0))), (Some(100), Some(40), Some(1)));
    let webp = |value| {
        let parameters = parameters(json!({"output_format": "webp", "output_compression": value})).unwrap();
        (parameters.quality_of(ImageFormat::Webp), parameters.quality_of(ImageFormat::Jpeg))
    };
    assert_eq!((webp(json!(100)), webp(json!(80))), ((None, None), (Some(80), None)));
    assert_eq!(parameters(json!({"size": "1536x864"})).unwrap().size, Some((1536, 864)));
    let delivery = |value: Value| parameters(value).unwrap().delivery;
    assert_eq!(delivery(json!({"model": "dall-e-3"})), Delivery::Url);
    assert_eq!(delivery(json!({"model": "gpt-image-2"})), Delivery::Base64);
    assert_eq!(delivery(json!({"model": "dall-e-3", "stream": true})), Delivery::Base64);
    assert_eq!(delivery(json!({"model": "dall-e-3", "response_format": "b64_json"})), Delivery::Base64);
}

#[test]
fn what_is_about_looks_is_taken_and_named() {
    let looks = json!({"style": "vivid", "quality": "hd", "moderation": "low", "background": "auto",
        "complexity": "high", "output_compression": 50});
    let mut ignored = parameters(looks).unwrap().ignored;
    ignored.sort();
    assert_eq!(ignored, ["background", "complexity", "moderation", "output_compression", "quality", "style"]);
    let mut several = parameters(json!({})).unwrap();
    several.ignore_others("image", 3, false).unwrap();
    assert_eq!(several.ignored, ["image[1]", "image[2]"]);
}

#[test]
fn a_strict_server_refuses_what_it_cant_honour() {
    for (value, expected) in [
        (json!({"quality": "hd"}), "quality: `hd` can't be had here"),
        (json!({"style": "natural"}), "style: `natural` can't be had here; there is no such choice"),
        (json!({"complexity": "low"}), "complexity: `low` can't be had here"),
        (json!({"input_fidelity": "high"}), "input_fidelity: `high` can't be had here"),
        (json!({"output_compression": 99}), "output_compression: 99, but PNG"),
    ] {
        let error = strictly(value).unwrap_err();
        assert!(error.message.starts_with(expected), "{}", error.message);
        assert_eq!(error.code, Some("unsupported_parameter"));
    }
    assert!(strictly(json!({"quality": "standard", "moderation": "low", "input_fidelity": "low"})).is_ok());
    let mut several = strictly(json!({})).unwrap();
    assert_eq!(several.ignore_others("image", 2, true).unwrap_err().param.as_deref(), Some("image"));
}

#[test]
fn parameters_are_refused_by_name() {
    let cases = [
        (json!({"size": "big"}), "size: `big` is no size"),
        (json!({"size": "-1x5"}), "size: `-1x5` is no size"),
        (json!({"output_compression": 101}), "output_compression: 101 is out of range"),
        (json!({"output_format": "jpg"}), "output_format: `jpg` is none of png, jpeg, webp"),
        (json!({"partial_images": 4, "stream": true}), "partial_images: 4 is out of range"),
        (json!({"partial_images": 1}), "partial_images: only streams have"),
        (json!({"stream": true, "response_format": "url"}), "response_format: a stream holds"),
        (json!({"stream": "yes"}), "stream: \"yes\" is not true or false"),
        (json!({"model": 3}), "model: a number where a text must be"),
        (json!({"quality": 1}), "quality: a number where a text must be"),
        (json!({"background": "transparent"}), "background: `transparent` can't be had here"),
        (json!({"moderation": "high"}), "moderation: `high` can't be had here"),
        (json!({"frame_count": 2}), "frame_count: animations are not drawn here"),
        (json!({"input_fidelity": "low"}), "input_fidelity: unknown here"),
        (json!({"sizes": "auto"}), "sizes: unknown here; did you mean size?"),
    ];
    for (value, expected) in cases {
        let error = parameters(value).unwrap_err();
        assert!(error.message.starts_with(expected), "{}", error.message);
        assert_eq!(error.param.as_deref(), expected.split(": ").next());
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
    }
}

#[test]
fn a_forms_texts_are_read_and_its_empty_ones_are_absent() {
    let mut form = Fields::form();
    for (name, text) in
        [("n", "2"), ("seed", "18446744073709551615"), ("eta", ".5"), ("stream", "true"), ("steps", "")]
    {
        form.add_text(name.to_owned(), text.to_owned()).unwrap();
    }
    form.add_text("svg[model]".to_owned(), "a".to_owned()).unwrap();
    form.add_file("image[]", Bytes::from_static(b"a"));
    assert_eq!(form.count("n").unwrap(), Some(2));
    assert_eq!(form.seed("seed", true).unwrap(), Some(u64::MAX));
    assert!(form.flag("stream").unwrap());
    assert_eq!(form.count("steps").unwrap(), None);
    assert_eq!(form.number("eta").unwrap_err().message, "eta: \".5\" is not a number");
    assert!(form.refuse("svg", "no").unwrap_err().message.starts_with("svg: no"));
    assert_eq!(form.file("image").unwrap(), Some(Bytes::from_static(b"a")));
    form.finish().unwrap();
}

#[test]
fn extras_become_options() {
    let value = json!({"seed": 7, "steps": 9, "guidance": 2, "eta": 0, "prior_steps": 5, "prior_mode": "caption_only"});
    let extras = Extras::take(&mut fields(value), Endpoint::Generations, false).unwrap();
    assert_eq!(
        (extras.seed, extras.prior.steps, extras.prior_mode),
        (Some(7), Some(5), PriorMode::CaptionOnly)
    );
    assert_eq!((extras.decoder.steps, extras.decoder.guidance_scale), (Some(9), Some(2.0)));
    assert_eq!((extras.decoder.sampler(), extras.decoder.eta), (Sampler::Ddim, Some(0.0)));
    let none = Extras::take(&mut fields(json!({"seed": -1})), Endpoint::Variations, false).unwrap();
    assert_eq!(none, Extras::default());
    let mut left = fields(json!({"resample": 1, "candidates": 2}));
    Extras::take(&mut left, Endpoint::Variations, false).unwrap();
    assert_eq!(left.finish().unwrap_err().param.as_deref(), Some("candidates"));
    for (seed, strict) in [(json!(-1), true), (json!(-2), false), (json!(1.5), false), (json!("7"), false)] {
        let error = Extras::take(&mut fields(json!({"seed": seed})), Endpoint::Edits, strict).unwrap_err();
        assert!(error.message.contains("is not a whole number, 0 or more"), "{}", error.message);
    }
    let edit = Extras::take(&mut fields(json!({"mask_mode": "white"})), Endpoint::Edits, false).unwrap();
    assert_eq!(edit.mask_mode, MaskMode::White);
}

#[test]
fn every_failure_of_the_gateway_has_a_status_and_the_retry_that_fits() {
    for (code, status, kind, retry_after, should_retry) in [
        (Code::InvalidArgument, 400, "invalid_request_error", None, None),
        (Code::Unauthenticated, 401, "invalid_request_error", None, None),
        (Code::NotFound, 404, "invalid_request_error", None, None),
        (Code::FailedPrecondition, 409, "invalid_request_error", None, Some("false")),
        (Code::ResourceExhausted, 429, "rate_limit_error", Some("1"), None),
        (Code::Cancelled, 499, "invalid_request_error", None, None),
        (Code::Internal, 500, "server_error", None, None),
        (Code::Unavailable, 503, "server_error", Some("1"), None),
        (Code::DeadlineExceeded, 504, "server_error", None, Some("false")),
    ] {
        let error = ApiError::from(Status::new(code.grpc(), "why"));
        assert_eq!(error.object()["error"]["type"], kind);
        assert_eq!(error.object()["error"]["message"], "why");
        let response = error.into_response();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!((response.status().as_u16(), header("retry-after")), (status, retry_after));
        assert_eq!(header("x-should-retry"), should_retry);
    }
    let unknown = ApiError::from(Status::new(GrpcCode::DataLoss, "why"));
    assert_eq!(unknown.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn the_stages_retry_delay_becomes_headers() {
    let full = Error {
        retry_after: Some(Duration::from_millis(2300)),
        ..Error::new(Code::ResourceExhausted, "full")
    };
    let response = ApiError::from(Status::from(full)).into_response();
    assert_eq!(response.headers()["retry-after"], "3");
    assert_eq!(response.headers()["retry-after-ms"], "2300");
}

#[test]
fn a_field_of_the_gateway_is_named_as_the_client_sent_it() {
    let error = ApiError::from(Status::invalid_argument("options.decoder.steps: 0 is out of range"));
    assert_eq!((error.message.as_str(), error.param.as_deref()), ("steps: 0 is out of range", Some("steps")));
    let error = ApiError::from(Status::invalid_argument("the schedule is damaged"));
    assert_eq!((error.message.as_str(), error.param), ("the schedule is damaged", None));
}
