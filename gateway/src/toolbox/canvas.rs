//! The picture and the mask of an edit, brought to the stages' sizes as they are decoded.

use image::RgbImage;
use unclip_pictures::{Mask, Picture, decode_in, fit, fit_mask};
use unclip_proto::FieldError;
use unclip_proto::v1::{EditImageRequest, Keep, MaskMode, ModelInfo, Tensor};
use unclip_service::Error;

use super::invert::tensor;
use crate::pipeline::{Keeps, Pipeline};

/// What every such refusal says.
const UNCHANGED: &str = "nothing would be repainted";

/// Width and height of the decoder's and of the upsampler's pictures.
#[derive(Clone, Copy)]
struct Sizes([(u32, u32); 2]);

impl Sizes {
    fn of(decoder: &ModelInfo, upsampler: &ModelInfo) -> Self {
        Self([decoder, upsampler].map(|info| (info.width, info.height)))
    }
}

/// What is repainted.
pub(super) enum Canvas {
    /// A part of the picture. None where nothing is kept.
    Part(Option<Box<Keeps>>),
    /// All of it: it is varied.
    Whole,
}

/// A picture at both sizes.
struct Fitted {
    /// Width and height of the file.
    size: (u32, u32),
    pixels: [RgbImage; 2],
    freed: Freed,
}

/// What a mask frees, at both sizes.
#[derive(Debug, PartialEq)]
enum Freed {
    Nothing,
    /// Only what is cut off.
    Outside,
    Part([Mask; 2]),
}

impl Canvas {
    /// Decodes the files.
    ///
    /// # Errors
    /// A damaged file, sizes that differ, or a mask that frees nothing.
    pub(super) async fn read(
        pipeline: &Pipeline,
        request: &EditImageRequest,
        resample: u32,
    ) -> Result<Self, Error> {
        let mode = mode(request)?;
        let decoder = pipeline.stages.decoder_info().await?;
        let sizes = Sizes::of(&decoder, &pipeline.stages.upsampler_info().await?);
        let reduce = move |picture| Ok::<_, Error>(Fitted::of(&picture, sizes));
        let Fitted { size, pixels, freed } =
            decode_in(&pipeline.pictures, "image", request.image.clone(), reduce).await?;
        let freed = match request.mask.is_empty() {
            true => freed,
            false => {
                let reduce = move |picture| freed_by(&picture, size, mode, sizes).map_err(Error::from);
                decode_in(&pipeline.pictures, "mask", request.mask.clone(), reduce).await?
            }
        };
        match freed {
            Freed::Part(masks) => Ok(Self::Part(keeps(&pixels, masks, resample))),
            Freed::Nothing if request.mask.is_empty() && request.vary_opaque => whole(request),
            freed => Err(frees_nothing(&freed, request.mask.is_empty(), mode).into()),
        }
    }
}

impl Fitted {
    fn of(picture: &Picture, sizes: Sizes) -> Self {
        Self {
            size: picture.pixels.dimensions(),
            pixels: sizes.0.map(|(width, height)| fit(&picture.pixels, width, height)),
            freed: Freed::of(picture.mask.as_ref(), sizes),
        }
    }
}

impl Freed {
    fn of(mask: Option<&Mask>, sizes: Sizes) -> Self {
        let Some(mask) = mask.filter(|mask| !mask.keeps_all()) else { return Self::Nothing };
        let masks = sizes.0.map(|(width, height)| fit_mask(mask, width, height));
        match masks.iter().all(Mask::keeps_all) {
            true => Self::Outside,
            false => Self::Part(masks),
        }
    }
}

fn freed_by(picture: &Picture, size: (u32, u32), mode: MaskMode, sizes: Sizes) -> Result<Freed, FieldError> {
    let given = picture.pixels.dimensions();
    if given != size {
        let ((w, h), (width, height)) = (given, size);
        let problem = format!("{w} x {h} pixels, the picture has {width} x {height}; both must be the same");
        return Err(FieldError::new("mask", problem));
    }
    Ok(match mode {
        MaskMode::White => Freed::of(Some(&Mask::of_white(&picture.pixels)), sizes),
        MaskMode::Alpha | MaskMode::Unspecified => Freed::of(picture.mask.as_ref(), sizes),
    })
}

/// What the stages keep. Where nothing is kept there is nothing to fit to: the picture is drawn as any other.
fn keeps(pixels: &[RgbImage; 2], masks: [Mask; 2], resample: u32) -> Option<Box<Keeps>> {
    if masks.iter().all(Mask::keeps_none) {
        return None;
    }
    let [decoder, upsampler] = masks;
    let keep = |image: &RgbImage, mask: Mask| Keep {
        image: Some(tensor(image)),
        mask: Some(Tensor::from_u8(&[mask.height as usize, mask.width as usize], mask.kept)),
        resample,
    };
    Some(Box::new(Keeps { decoder: keep(&pixels[0], decoder), upsampler: keep(&pixels[1], upsampler) }))
}

fn whole(request: &EditImageRequest) -> Result<Canvas, Error> {
    match request.resample {
        None => Ok(Canvas::Whole),
        Some(_) => {
            let problem =
                "the picture is varied as a whole, so there is no seam; leave it out or send a mask";
            Err(FieldError::new("resample", problem).into())
        }
    }
}

fn mode(request: &EditImageRequest) -> Result<MaskMode, FieldError> {
    let number = request.mask_mode;
    match MaskMode::try_from(number) {
        Ok(MaskMode::White) if request.mask.is_empty() => {
            Err(FieldError::new("mask_mode", "it says how a mask is read, and there is none; send one"))
        }
        Ok(MaskMode::Unspecified) => Ok(MaskMode::Alpha),
        Ok(mode) => Ok(mode),
        Err(_) => {
            let problem = format!("{number} is no mask mode; use MASK_MODE_ALPHA or _WHITE");
            Err(FieldError::new("mask_mode", problem))
        }
    }
}

fn frees_nothing(freed: &Freed, own_alpha: bool, mode: MaskMode) -> FieldError {
    let field = if own_alpha { "image" } else { "mask" };
    let problem = match (freed, own_alpha, mode) {
        (Freed::Outside, ..) => format!(
            "only what lies outside of the model's proportions is free, and that is cut off, so that {UNCHANGED}; free a part \
             of the middle"
        ),
        (_, false, MaskMode::White) => {
            format!("no pixel is white, so that {UNCHANGED}; paint white what is to change")
        }
        (_, false, _) => format!(
            "no pixel is fully transparent (alpha 0), so that {UNCHANGED}; erase what is to change, or ask with mask_mode for \
             its white part to be repainted"
        ),
        (_, true, _) => format!(
            "no pixel is fully transparent (alpha 0) and there is no mask, so that {UNCHANGED}; erase what is to change, or \
             send a mask"
        ),
    };
    FieldError::new(field, problem)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    const SIZES: Sizes = Sizes([(2, 2), (4, 4)]);

    /// A picture of which `free` says what is transparent and white; all else is black.
    fn picture(width: u32, free: impl Fn(u32) -> bool) -> Picture {
        let pixels = RgbImage::from_fn(width, 4, |x, _| Rgb([if free(x) { 255 } else { 0 }; 3]));
        let kept = (0..4 * width).map(|at| u8::from(!free(at % width))).collect();
        Picture { pixels, mask: Some(Mask { kept, width, height: 4 }) }
    }

    fn opaque(picture: Picture) -> Picture {
        Picture { mask: None, ..picture }
    }

    #[test]
    fn a_mask_has_the_pictures_size() {
        let error = freed_by(&picture(5, |_| true), (4, 4), MaskMode::Alpha, SIZES).unwrap_err();
        assert_eq!(error.to_string(), "mask: 5 x 4 pixels, the picture has 4 x 4; both must be the same");
    }

    #[test]
    fn what_frees_nothing_is_told_apart() {
        let freed =
            |picture: &Picture, mode| freed_by(picture, picture.pixels.dimensions(), mode, SIZES).unwrap();
        let half = |x| x < 2;
        assert!(matches!(freed(&picture(4, half), MaskMode::Alpha), Freed::Part(_)));
        assert!(matches!(freed(&opaque(picture(4, half)), MaskMode::White), Freed::Part(_)));
        assert_eq!(freed(&opaque(picture(4, half)), MaskMode::Alpha), Freed::Nothing);
        assert_eq!(freed(&picture(4, |_| false), MaskMode::Alpha), Freed::Nothing);
        assert_eq!(freed(&opaque(picture(4, |_| false)), MaskMode::White), Freed::Nothing);
        // Of 12 x 4 pixels the middle 4 x 4 are drawn.
        assert_eq!(freed(&picture(12, half), MaskMode::Alpha), Freed::Outside);
        let texts = [
            (Freed::Outside, false, MaskMode::Alpha, "mask: only what lies outside"),
            (Freed::Nothing, false, MaskMode::White, "mask: no pixel is white"),
            (Freed::Nothing, false, MaskMode::Alpha, "mask: no pixel is fully transparent (alpha 0), so"),
            (
                Freed::Nothing,
                true,
                MaskMode::Alpha,
                "image: no pixel is fully transparent (alpha 0) and there is no",
            ),
        ];
        for (freed, own_alpha, mode, expected) in texts {
            let text = frees_nothing(&freed, own_alpha, mode).to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn where_nothing_is_kept_there_is_nothing_to_fit_to() {
        let Fitted { pixels, freed: Freed::Part(masks), .. } = Fitted::of(&picture(4, |_| true), SIZES)
        else {
            panic!("it is transparent")
        };
        assert!(keeps(&pixels, masks, 3).is_none());
    }

    #[test]
    fn bad_modes_are_named() {
        let of = |mask_mode| EditImageRequest { mask_mode, ..Default::default() };
        for (number, expected) in
            [(9, "mask_mode: 9 is no mask mode"), (2, "mask_mode: it says how a mask is read")]
        {
            let text = mode(&of(number)).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
        assert_eq!(mode(&of(0)), Ok(MaskMode::Alpha));
    }
}
