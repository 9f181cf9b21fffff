//! Edits with a mask: the model repaints what is transparent, after a caption.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::try_join_all;
use image::{RgbImage, RgbaImage};
use unclip_pictures::{Mask, decode, fit, fit_mask, over_white};
use unclip_proto::v1::{EditImageRequest, EditImageResponse, EditReceipt, Keep, ModelInfo, Tensor};
use unclip_proto::{FieldError, required};
use unclip_service::{Error, RequestContext};

use super::invert::tensor;
use super::options::settled;
use super::stream::{EventStream, run};
use crate::pipeline::{Edit, Keeps, Pipeline};
use crate::plan::{Plan, StageFacts};

/// Repetitions of a step: its bounds and, unless given, its number.
const RESAMPLE: std::ops::RangeInclusive<u32> = 0..=50;
const DEFAULT_RESAMPLE: u32 = 3;

/// Repaints the part of a picture that its mask gives free.
pub(crate) async fn edit(
    pipeline: Pipeline,
    context: RequestContext,
    request: EditImageRequest,
) -> Result<EventStream<EditImageResponse>, Error> {
    let generation = required(request.generation.as_ref(), "generation")?.clone();
    let asks_prior = Plan::new(&generation, &StageFacts::UNKNOWN)
        .map_err(|error| error.within("generation"))?
        .asks_prior();
    let make = |facts: &StageFacts| Plan::new(&generation, facts).map_err(|error| error.within("generation"));
    let plan = settled(&pipeline, &context, asks_prior, make).await?;
    let resample = request.resample.unwrap_or(DEFAULT_RESAMPLE);
    if !RESAMPLE.contains(&resample) {
        let (low, high) = (RESAMPLE.start(), RESAMPLE.end());
        return Err(FieldError::out_of_range("resample", resample, low, high).into());
    }
    let receipt = receipt(&request, resample);
    let (image, mask) = tokio::task::spawn_blocking(move || read(&request.image, &request.mask))
        .await
        .map_err(|error| Error::internal("image: the picture could not be decoded", error))??;
    Ok(run(
        |events| async move {
            let decoder = pipeline.stages.decoder_info(&context).await?;
            let upsampler = pipeline.stages.upsampler_info(&context).await?;
            let keep = |info: &ModelInfo| keep(&image, &mask, info, resample);
            // Where nothing is kept there is nothing to fit to: the picture is drawn as any other.
            let keeps =
                (!mask.keeps_none()).then(|| Keeps { decoder: keep(&decoder), upsampler: keep(&upsampler) });
            let edit = Edit { keeps, receipt };
            let texts = pipeline.encode(&context, &plan).await?;
            let draws = (0..plan.images).map(|index| {
                let (pipeline, context, plan, texts) = (&pipeline, &context, &plan, &texts);
                let (edit, events) = (&edit, &events);
                async move {
                    let drawn = pipeline.draw(context, plan, texts, index, events, Some(edit)).boxed();
                    events.image(context.run("pipeline", drawn).await?).await;
                    Ok::<_, Error>(())
                }
            });
            try_join_all(draws).await.map(drop)
        },
        |()| None,
    ))
}

fn receipt(request: &EditImageRequest, resample: u32) -> EditReceipt {
    let hash = |file: &Bytes| match file.is_empty() {
        true => String::new(),
        false => blake3::hash(file).to_string(),
    };
    EditReceipt { image_blake3: hash(&request.image), mask_blake3: hash(&request.mask), resample }
}

/// The picture over white, and what of it is kept.
fn read(image: &Bytes, mask: &Bytes) -> Result<(RgbImage, Mask), FieldError> {
    let image: RgbaImage = decode("image", image)?;
    if mask.is_empty() {
        return Ok((over_white(&image), Mask::of(&image)));
    }
    let given = decode("mask", mask)?;
    if given.dimensions() != image.dimensions() {
        let ((w, h), (width, height)) = (given.dimensions(), image.dimensions());
        let problem = format!("{w} x {h} pixels, the picture has {width} x {height}; both must be the same");
        return Err(FieldError::new("mask", problem));
    }
    Ok((over_white(&image), Mask::of(&given)))
}

/// What a stage with pictures of this size keeps.
fn keep(image: &RgbImage, mask: &Mask, info: &ModelInfo, resample: u32) -> Keep {
    let mask = fit_mask(mask, info.width, info.height);
    let shape = [info.height as usize, info.width as usize];
    Keep {
        image: Some(tensor(&fit(image, info.width, info.height))),
        mask: Some(Tensor::from_u8(&shape, mask.kept)),
        resample,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::Rgba;

    use super::*;

    fn png(width: u32, alpha: u8) -> Bytes {
        let mut file = Cursor::new(Vec::new());
        let image = RgbaImage::from_pixel(width, 4, Rgba([10, 20, 30, alpha]));
        image.write_to(&mut file, image::ImageFormat::Png).unwrap();
        file.into_inner().into()
    }

    #[test]
    fn a_mask_has_the_pictures_size() {
        let text = read(&png(4, 255), &png(5, 0)).unwrap_err().to_string();
        assert_eq!(text, "mask: 5 x 4 pixels, the picture has 4 x 4; both must be the same");
    }

    #[test]
    fn without_a_mask_the_pictures_own_alpha_counts() {
        assert!(read(&png(4, 0), &Bytes::new()).unwrap().1.keeps_none());
        assert!(read(&png(4, 1), &Bytes::new()).unwrap().1.keeps_all());
        assert!(read(&png(4, 255), &png(4, 0)).unwrap().1.keeps_none());
    }
}
