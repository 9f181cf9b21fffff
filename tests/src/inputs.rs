//! A good request for every RPC, to be spoilt one field at a time.

use std::io::Cursor;

use image::RgbImage;
use unclip_proto::v1::{
    DecodeRequest, EncodeImageRequest, EncodeTextRequest, GenerateImageRequest, InvertRequest, NoisePosition,
    PriorItem, SamplePriorRequest, SamplingOptions, StreamOptions, Tensor, TextEncoding, UpsampleRequest,
    prior_item,
};

use crate::{Server, encode_text};

/// So many steps that no machine is done with them before the test is.
pub const MANY: Option<SamplingOptions> = Some(SamplingOptions {
    steps: Some(1000),
    guidance_scale: None,
    sampler: 0,
    eta: None,
    clamped_epsilon: None,
});

/// One good request per RPC, of few steps.
#[derive(Clone)]
pub struct Inputs {
    /// For the text encoder.
    pub text: EncodeTextRequest,
    /// For the image encoder.
    pub image: EncodeImageRequest,
    /// For the prior.
    pub prior: SamplePriorRequest,
    /// For the decoder.
    pub decode: DecodeRequest,
    /// For the inversion of a picture by the decoder of the fixture `tiny`.
    pub invert: InvertRequest,
    /// For the upsampler of the fixture `tiny`.
    pub upsample: UpsampleRequest,
    /// For the gateway.
    pub generate: GenerateImageRequest,
    /// The empty text, encoded.
    pub empty: TextEncoding,
}

impl Inputs {
    /// Requests about one caption, which this text encoder encodes.
    pub async fn new(text_encoder: &Server) -> Self {
        let text = EncodeTextRequest { texts: vec!["a red fox".to_owned(), String::new()] };
        let [caption, empty]: [TextEncoding; 2] =
            encode_text(text_encoder, text.clone()).await.unwrap().try_into().unwrap();
        let noise = Some(NoisePosition { seed: 3, ..Default::default() });
        let options = Some(SamplingOptions { steps: Some(2), ..Default::default() });
        let stream = Some(StreamOptions::default());
        let item = PriorItem { text: Some(prior_item::Text::Encoding(caption.clone())), noise };
        Self {
            text,
            image: EncodeImageRequest { images: vec![png(40, 30).into()] },
            prior: SamplePriorRequest {
                items: vec![item],
                negative: Some(empty.clone()),
                options,
                ..Default::default()
            },
            invert: InvertRequest {
                image: Some(picture(16)),
                image_embedding: caption.embedding.clone(),
                text: Some(empty.clone()),
                steps: Some(2),
                refinements: None,
            },
            decode: DecodeRequest {
                image_embedding: caption.embedding.clone(),
                text: Some(caption),
                negative: Some(empty.clone()),
                noise,
                options,
                stream,
                ..Default::default()
            },
            upsample: UpsampleRequest {
                image: Some(picture(16)),
                noise,
                options,
                stream,
                ..Default::default()
            },
            generate: GenerateImageRequest {
                prompt: "a red fox".to_owned(),
                seed: Some(3),
                prior: options,
                decoder: options,
                upsampler: options,
                ..Default::default()
            },
            empty,
        }
    }
}

/// A square picture of one grey.
fn picture(side: usize) -> Tensor {
    Tensor::from_f32(&[3, side, side], &vec![0.25; 3 * side * side])
}

/// A PNG file with a gradient.
fn png(width: u32, height: u32) -> Vec<u8> {
    let shade = |value: u32| u8::try_from(value % 256).unwrap();
    let image =
        RgbImage::from_fn(width, height, |x, y| image::Rgb([shade(x * 6), shade(y * 8), shade(x + y)]));
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}
