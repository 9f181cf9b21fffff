//! Inversion of a picture to z_i and x_T (arXiv 2204.06125, section 3).

use futures::FutureExt;
use image::RgbImage;
use unclip_pictures::{decode_in, fit};
use unclip_proto::v1::invert_image_response::Event;
use unclip_proto::v1::invert_response::Event as InvertEvent;
use unclip_proto::v1::{
    DecodeRequest, Embedding, InvertImageRequest, InvertImageResponse, InvertRequest, InvertedImage,
    NoisePosition, Stage, Tensor,
};
use unclip_service::{Error, RequestContext};

use super::latent::{Picture, values};
use super::options::{InversionPlan, STEPS, plan, way_back};
use super::stream::{EventStream, run};
use crate::events::ImageEvents;
use crate::picture;
use crate::pipeline::{Pipeline, Texts, cut_off};
use crate::plan::StageFacts;
use crate::stages::names;

/// Inverts a picture and decodes it back.
pub(crate) async fn invert(
    pipeline: Pipeline,
    context: RequestContext,
    request: InvertImageRequest,
) -> Result<EventStream<InvertImageResponse>, Error> {
    let inversion = InversionPlan::new(request.inversion.as_ref(), STEPS)?;
    let picture = Picture::read(&pipeline, "image", request.image).await?;
    run(
        &context.clone(),
        |events| async move {
            let events = events.of_image(0);
            let inverted = there_and_back(&pipeline, &context, &picture, inversion, &events).boxed();
            inverted.await
        },
        |result| Some(InvertImageResponse { event: Some(Event::Result(result)) }),
    )
    .await
}

async fn there_and_back(
    pipeline: &Pipeline,
    context: &RequestContext,
    picture: &Picture,
    inversion: InversionPlan,
    events: &ImageEvents,
) -> Result<InvertedImage, Error> {
    let embedding = picture.embedding(pipeline, context).await?;
    let plan = plan(None, None, way_back(inversion.steps), &StageFacts::UNKNOWN)?;
    let texts = pipeline.encode(context, &plan).await?;
    let inverted = run_inversion(pipeline, context, &texts, picture, &embedding, inversion, events).await?;
    let request = DecodeRequest {
        image_embedding: Some(embedding.clone()),
        text: Some(texts.prompt),
        noise: Some(NoisePosition::default()),
        options: Some(way_back(inversion.steps)),
        x_t: Some(inverted.x_t.clone()),
        ..Default::default()
    };
    let back = pipeline.run_decoder(context, request, events).await?;
    let reconstructed = values("image", back.image.as_ref())
        .map_err(|error| Error::internal("the decoder's picture is damaged", error))?;
    let round_trip_error = distance(&inverted.image, &reconstructed);
    let missing = || Error::internal("the decoder answered without a picture", "no image");
    let reconstruction = picture::write_signed(&pipeline.pictures, back.image.ok_or_else(missing)?).await?;
    Ok(InvertedImage {
        image_embedding: Some(embedding),
        x_t: Some(inverted.x_t),
        reconstruction: reconstruction.into(),
        round_trip_error,
        decoder: Some(way_back(inversion.steps)),
        model_fingerprint: inverted.model_fingerprint,
    })
}

/// A picture on its way back to noise.
pub(super) struct Inverted {
    /// The picture at the decoder's resolution, in [-1, 1].
    image: Vec<f32>,
    pub(super) x_t: Tensor,
    model_fingerprint: String,
}

/// Asks the decoder for x_T of a picture with the empty caption.
pub(super) async fn run_inversion(
    pipeline: &Pipeline,
    context: &RequestContext,
    texts: &Texts,
    picture: &Picture,
    embedding: &Embedding,
    inversion: InversionPlan,
    events: &ImageEvents,
) -> Result<Inverted, Error> {
    let info = pipeline.stages.decoder_info().await?;
    let fitted = move |picture: unclip_pictures::Picture| {
        Ok::<_, Error>(tensor(&fit(&picture.pixels, info.width, info.height)))
    };
    let image = decode_in(&pipeline.pictures, "image", picture.file.clone(), fitted).await?;
    let request = InvertRequest {
        image: Some(image.clone()),
        image_embedding: Some(embedding.clone()),
        text: Some(texts.prompt.clone()),
        steps: Some(inversion.steps),
        refinements: Some(inversion.refinements),
    };
    let ways = events.ways();
    let call = || pipeline.stages.invert(context, request.clone());
    let mut stream = ways.decoder.enter(&pipeline.waiting, call).await?;
    ways.begin();
    loop {
        match stream.message().await?.map(|message| message.event) {
            Some(Some(InvertEvent::Progress(progress))) => events.progress(Stage::Inversion, progress),
            Some(Some(InvertEvent::Result(result))) => {
                stream.end().await;
                ways.decoder.left();
                let missing = || Error::internal("the decoder answered without x_T", "no x_t");
                return Ok(Inverted {
                    image: values("image", Some(&image))?,
                    x_t: result.x_t.ok_or_else(missing)?,
                    model_fingerprint: result.model_fingerprint,
                });
            }
            Some(None) => {}
            None => return Err(cut_off(names::DECODER)),
        }
    }
}

/// A picture as f32 in [-1, 1], `[3, height, width]`: byte b is 2 b / 255 - 1, so that encoding it gives b again.
pub(super) fn tensor(image: &RgbImage) -> Tensor {
    let value = |byte: u8| f32::from(byte) / 255.0 * 2.0 - 1.0;
    let channel = |channel: usize| image.pixels().map(move |pixel| value(pixel.0[channel]));
    let values: Vec<f32> = (0..3).flat_map(channel).collect();
    Tensor::from_f32(&[3, image.height() as usize, image.width() as usize], &values)
}

/// Mean absolute difference of pictures in [-1, 1], as a share of that range.
#[expect(clippy::cast_possible_truncation, reason = "the answer is f32")]
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum();
    (sum / a.len().max(1) as f64 / 2.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_survive_the_way_to_floats_and_back() {
        let image = RgbImage::from_fn(16, 16, |x, y| image::Rgb([u8::try_from(y * 16 + x).unwrap(); 3]));
        let file = picture::write_signed(&unclip_pictures::Pool::new(0), tensor(&image)).await.unwrap();
        assert_eq!(image::load_from_memory(&file).unwrap().into_rgb8(), image);
    }

    #[test]
    fn the_distance_of_black_and_white_is_the_range() {
        assert_eq!(distance(&[-1.0, -1.0], &[1.0, 1.0]).to_bits(), 1.0_f32.to_bits());
        assert_eq!(distance(&[0.5], &[0.5]).to_bits(), 0.0_f32.to_bits());
    }
}
