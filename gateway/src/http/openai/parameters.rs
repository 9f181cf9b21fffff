//! The official API's parameters that every endpoint has.

use unclip_proto::v1::{ImageFormat, PictureSize};

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
    /// Of a JPEG file, or of a WebP file with loss.
    pub(super) file_quality: Option<u32>,
    pub(super) stream: bool,
    pub(super) partial_images: u32,
    /// Parameters that were given and have no effect.
    pub(super) ignored: Vec<String>,
}

/// Official parameters about looks: the values that are what is done anyway, and what to do for others. They have no effect, so
/// that any value is taken and the answer says that it was ignored; strictly, other values are refused.
const LOOKS: [(&str, &[&str], &str); 4] = [
    ("style", &[], "there is no such choice; describe the style in the prompt"),
    ("complexity", &[], "there is no such choice; `steps` says how much is computed"),
    ("quality", &["auto", "standard"], "use auto or standard, and `steps` for how much is computed"),
    ("input_fidelity", &["low"], "use low; kept pixels come back exactly"),
];

/// The same of parameters whose other values promise what can't be kept: these are refused always.
const PROMISES: [(&str, &[&str], &str); 2] = [
    ("background", &["auto", "opaque"], "pictures are opaque, use auto or opaque"),
    // Nothing is filtered, which is what `low` asks for; `auto` leaves it to the server.
    ("moderation", &["auto", "low"], "use auto or low; nothing is filtered"),
];

/// Official parameters that no model here can honour, and what to do instead.
const REFUSED: [(&str, &str); 4] = [
    ("frame_count", "animations are not drawn here; leave it out"),
    ("frame_duration_ms", "animations are not drawn here; leave it out"),
    ("svg", "SVG is not drawn here; leave it out"),
    ("markup", "a layer of marks is not understood here; send a mask"),
];

impl Parameters {
    /// Notes that of several pictures the first is worked on.
    pub(super) fn ignore_others(&mut self, field: &str, count: usize, strict: bool) -> Result<(), ApiError> {
        if strict && count > 1 {
            return Err(ApiError::several(field, count));
        }
        self.ignored.extend((1..count).map(|index| format!("{field}[{index}]")));
        Ok(())
    }

    /// The quality of a file in this format.
    pub(super) fn quality_of(&self, format: ImageFormat) -> Option<u32> {
        self.file_quality.filter(|_| self.format == format)
    }

    /// The size of the files, as the gateway takes it.
    pub(super) fn output_size(&self) -> Option<PictureSize> {
        self.size.map(|(width, height)| PictureSize { width, height })
    }

    /// Takes them out of a body.
    pub(super) fn take(fields: &mut Fields, endpoint: Endpoint, strict: bool) -> Result<Self, ApiError> {
        // Whom the client draws for is neither used nor written anywhere.
        fields.ignore("user");
        fields.ignore("safety_identifier");
        for (name, problem) in REFUSED {
            fields.refuse(name, problem)?;
        }
        let mut ignored = looks(fields, endpoint, strict)?;
        let model = fields.word("model")?;
        let stream = fields.flag("stream")?;
        let partial_images = fields.count("partial_images")?.unwrap_or(0);
        check_stream(endpoint, stream, partial_images)?;
        let (format, file_quality) = file_format(fields, strict, &mut ignored)?;
        Ok(Self {
            n: fields.count("n")?,
            size: size(fields)?,
            delivery: delivery(fields, model.as_deref(), stream)?,
            format,
            file_quality,
            stream,
            partial_images,
            model,
            ignored,
        })
    }
}

/// Takes the parameters that have no effect, and gives the names of those that are there.
fn looks(fields: &mut Fields, endpoint: Endpoint, strict: bool) -> Result<Vec<String>, ApiError> {
    let mut ignored = Vec::new();
    let looks = LOOKS.into_iter().map(|look| (look, strict));
    for ((name, done_anyway, instead), exact) in looks.chain(PROMISES.into_iter().map(|it| (it, true))) {
        if name == "input_fidelity" && endpoint != Endpoint::Edits {
            continue;
        }
        let Some(value) = fields.word(name)? else { continue };
        if exact && !done_anyway.contains(&value.as_str()) {
            let problem = format!("`{}` can't be had here; {instead}", super::names::shortened(&value));
            return Err(ApiError::unsupported(name, problem));
        }
        ignored.push(name.to_owned());
    }
    Ok(ignored)
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

/// The file format and, where there is loss, its quality. PNG has no loss, so that its compression is ignored.
fn file_format(
    fields: &mut Fields,
    strict: bool,
    ignored: &mut Vec<String>,
) -> Result<(ImageFormat, Option<u32>), ApiError> {
    const NAME: &str = "output_compression";
    let choices = [("png", ImageFormat::Png), ("jpeg", ImageFormat::Jpeg), ("webp", ImageFormat::Webp)];
    let format = fields.choice("output_format", &choices)?.unwrap_or(ImageFormat::Png);
    let compression = fields.count(NAME)?.unwrap_or(100);
    if compression > 100 {
        let problem = format!("{compression} is out of range, it must be from 0 to 100");
        return Err(ApiError::value(NAME, problem));
    }
    match format {
        // The encoder's lowest quality is 1.
        ImageFormat::Jpeg => Ok((format, Some(compression.max(1)))),
        _ if compression == 100 => Ok((format, None)),
        ImageFormat::Webp => Ok((format, Some(compression))),
        _ if strict => {
            let problem = format!("{compression}, but PNG is written without loss; use 100, jpeg or webp");
            Err(ApiError::unsupported(NAME, problem))
        }
        _ => {
            ignored.push(NAME.to_owned());
            Ok((format, None))
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
