//! The official API's parameters that every endpoint has.

use unclip_proto::v1::ImageFormat;

use super::error::ApiError;
use super::fields::Fields;

/// Which endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Pictures of a caption.
    Generations,
    /// A picture, repainted in a part.
    Edits,
    /// Variations of a picture.
    Variations,
}

/// How pictures are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In the answer.
    Base64,
    /// By an address.
    Url,
}

/// What to draw and how to send it, apart from what it shows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameters {
    pub(super) model: Option<String>,
    pub(super) n: Option<u32>,
    /// Width and height, where the client named them.
    pub(super) size: Option<(u32, u32)>,
    pub(super) delivery: Delivery,
    pub(super) format: ImageFormat,
    pub(super) jpeg_quality: Option<u32>,
    pub(super) stream: bool,
    pub(super) partial_images: u32,
}

/// Official parameters that no model here can honour, and what to do instead.
const REFUSED: [(&str, &str); 6] = [
    ("style", "there is no such choice; describe the style in the prompt"),
    ("complexity", "there is no such choice; `steps` says how much is computed"),
    ("frame_count", "animations are not drawn here; leave it out"),
    ("frame_duration_ms", "animations are not drawn here; leave it out"),
    ("svg", "SVG is not drawn here; leave it out"),
    ("markup", "a layer of marks is not understood here; send a mask"),
];

impl Parameters {
    /// Takes them out of a body.
    pub(super) fn take(fields: &mut Fields, endpoint: Endpoint) -> Result<Self, ApiError> {
        // Whom the client draws for is neither used nor written anywhere.
        fields.ignore("user");
        fields.ignore("safety_identifier");
        for (name, problem) in REFUSED {
            fields.refuse(name, problem)?;
        }
        check_fixed(fields, endpoint)?;
        let model = fields.word("model")?;
        let stream = fields.flag("stream")?;
        let partial_images = fields.count("partial_images")?.unwrap_or(0);
        check_stream(endpoint, stream, partial_images)?;
        let (format, jpeg_quality) = file_format(fields)?;
        Ok(Self {
            n: fields.count("n")?,
            size: size(fields)?,
            delivery: delivery(fields, model.as_deref(), stream)?,
            format,
            jpeg_quality,
            stream,
            partial_images,
            model,
        })
    }
}

/// Parameters of which one value is what is done anyway.
fn check_fixed(fields: &mut Fields, endpoint: Endpoint) -> Result<(), ApiError> {
    let only = |name: &str, value: Option<String>, allowed: &[&str], instead: &str| match value {
        Some(value) if !allowed.contains(&value.as_str()) => {
            let problem = format!("`{}` can't be had here; {instead}", super::names::shortened(&value));
            Err(ApiError::unsupported(name, problem))
        }
        _ => Ok(()),
    };
    let background = fields.word("background")?;
    only("background", background, &["auto", "opaque"], "pictures are opaque, use auto or opaque")?;
    let quality = fields.word("quality")?;
    only(
        "quality",
        quality,
        &["auto", "standard"],
        "use auto or standard, and `steps` for how much is computed",
    )?;
    // Nothing is filtered, which is what `low` asks for; `auto` leaves it to the server.
    let moderation = fields.word("moderation")?;
    only("moderation", moderation, &["auto", "low"], "use auto or low; nothing is filtered")?;
    if endpoint == Endpoint::Edits {
        let fidelity = fields.word("input_fidelity")?;
        only("input_fidelity", fidelity, &["low"], "use low; kept pixels come back exactly")?;
    }
    Ok(())
}

fn check_stream(endpoint: Endpoint, stream: bool, partial_images: u32) -> Result<(), ApiError> {
    if endpoint == Endpoint::Variations && stream {
        return Err(ApiError::unsupported("stream", "the API has no events for variations; leave it out"));
    }
    if partial_images > 3 {
        return Err(ApiError::value(
            "partial_images",
            format!("{partial_images} is out of range, it must be from 0 to 3"),
        ));
    }
    if partial_images > 0 && !stream {
        return Err(ApiError::value(
            "partial_images",
            "only streams have partial images; set stream to true",
        ));
    }
    Ok(())
}

/// The file format and, for JPEG, its quality.
fn file_format(fields: &mut Fields) -> Result<(ImageFormat, Option<u32>), ApiError> {
    let choices = [("png", ImageFormat::Png), ("jpeg", ImageFormat::Jpeg), ("webp", ImageFormat::Webp)];
    let format = fields.choice("output_format", &choices)?.unwrap_or(ImageFormat::Png);
    let compression = fields.count("output_compression")?.unwrap_or(100);
    if compression > 100 {
        let problem = format!("{compression} is out of range, it must be from 0 to 100");
        return Err(ApiError::value("output_compression", problem));
    }
    match format {
        // The encoder's lowest quality is 1.
        ImageFormat::Jpeg => Ok((format, Some(compression.max(1)))),
        _ if compression == 100 => Ok((format, None)),
        _ => {
            let problem =
                format!("{compression}, but PNG and WebP are written without loss here; use 100, or jpeg");
            Err(ApiError::unsupported("output_compression", problem))
        }
    }
}

/// Width and height. `auto` is the model's own.
fn size(fields: &mut Fields) -> Result<Option<(u32, u32)>, ApiError> {
    let Some(text) = fields.word("size")?.filter(|text| text != "auto") else { return Ok(None) };
    let sides =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.map(Some).ok_or_else(|| {
        let problem = format!("`{}` is no size; use auto, or WIDTHxHEIGHT", super::names::shortened(&text));
        ApiError::value("size", problem)
    })
}

/// As the official API does it: models of DALL-E's name send addresses, all others files. Events hold files alone.
fn delivery(fields: &mut Fields, model: Option<&str>, stream: bool) -> Result<Delivery, ApiError> {
    let choices = [("b64_json", Delivery::Base64), ("url", Delivery::Url)];
    match (fields.choice("response_format", &choices)?, stream) {
        (Some(Delivery::Url), true) => {
            Err(ApiError::value("response_format", "a stream holds the pictures themselves; use b64_json"))
        }
        (Some(delivery), _) => Ok(delivery),
        (None, false) if model.is_some_and(|name| name.starts_with("dall-e")) => Ok(Delivery::Url),
        (None, _) => Ok(Delivery::Base64),
    }
}
