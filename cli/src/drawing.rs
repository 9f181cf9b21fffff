//! What the commands that draw pictures share: flags, files, contact sheet and animation.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbImage};
use tonic::Response;
use tonic::codec::Streaming;
use unclip_proto::v1::{
    self, DrawOptions, GeneratedImage, ImageFormat, InversionOptions, Sampler, SamplingOptions, StageProgress,
};
use unclip_training::data::contact_sheet;

use crate::bars::Bars;
use crate::connection::refused;
use crate::output::{format_of, path_of, report, say, write, write_receipts};

/// How pictures are drawn, and where they go.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Drawing")]
pub(crate) struct DrawArgs {
    /// File to write; its ending (.png, .jpg, .webp) names the format. Several pictures get -0, -1, ... before the ending
    #[arg(short, long, default_value = "unclip.png", value_name = "FILE")]
    output: PathBuf,
    /// Also write one picture of all, each with its label below
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Also write the pictures' receipts, as JSON for `unclip replay`; several get numbers as the pictures do
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Seed of the noise. Absent: chosen and printed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Denoising steps of the decoder
    #[arg(long, value_name = "N")]
    decoder_steps: Option<u32>,
    /// Guidance scale of the decoder; 1 is none
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true)]
    decoder_guidance: Option<f32>,
    /// Use DDIM with this share of fresh noise, 0 to 1
    #[arg(long, value_name = "ETA", allow_negative_numbers = true)]
    eta: Option<f32>,
    /// Denoising steps of the upsampler. Absent: 7
    #[arg(long, value_name = "N")]
    upsampler_steps: Option<u32>,
}

impl DrawArgs {
    /// The options that were given.
    pub(crate) fn options(&self) -> anyhow::Result<DrawOptions> {
        let sampler = if self.eta.is_some() { Sampler::Ddim } else { Sampler::Unspecified };
        let decoder = SamplingOptions {
            steps: self.decoder_steps,
            guidance_scale: self.decoder_guidance,
            sampler: sampler as i32,
            eta: self.eta,
        };
        let upsampler = SamplingOptions { steps: self.upsampler_steps, ..Default::default() };
        Ok(DrawOptions {
            seed: self.seed,
            // Left out where nothing is said of it: then the operation's own defaults hold.
            decoder: (decoder != SamplingOptions::default()).then_some(decoder),
            upsampler: Some(upsampler),
            format: format_of(&self.output)? as i32,
            jpeg_quality: None,
            preview_every: 0,
            return_tensors: false,
        })
    }

    /// Writes pictures, says how they were made, and lays the sheet if one was asked for.
    pub(crate) fn finish(&self, images: &[GeneratedImage], labels: &[String]) -> anyhow::Result<()> {
        let count = u32::try_from(images.len())?;
        for image in images {
            let path = path_of(&self.output, image.image_index, count);
            write(&path, &image.image)?;
            report(&path, image);
        }
        if let Some(path) = &self.receipt {
            write_receipts(path, images)?;
        }
        match &self.sheet {
            Some(path) => write_sheet(path, images, labels),
            None => Ok(()),
        }
    }
}

/// How a picture is inverted.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Inversion")]
pub(crate) struct InversionArgs {
    /// Steps of the inversion. Absent: 50
    #[arg(long, value_name = "N")]
    pub(crate) inversion_steps: Option<u32>,
    /// Fixed-point refinements of every step. Absent: 0
    #[arg(long, value_name = "N")]
    pub(crate) refinements: Option<u32>,
}

impl InversionArgs {
    /// The options that were given.
    pub(crate) fn options(&self) -> InversionOptions {
        InversionOptions { steps: self.inversion_steps, refinements: self.refinements }
    }
}

/// What a message of a drawing's stream brings.
pub(crate) enum News {
    Progress(StageProgress),
    Image(Box<GeneratedImage>),
}

/// A message of a drawing's stream.
pub(crate) trait Message {
    /// What it brings, but for previews.
    fn news(self) -> Option<News>;
}

macro_rules! messages {
    ($($response:ident in $module:ident),*) => {$(
        impl Message for v1::$response {
            fn news(self) -> Option<News> {
                match self.event? {
                    v1::$module::Event::Progress(progress) => Some(News::Progress(progress)),
                    v1::$module::Event::Image(image) => Some(News::Image(image.into())),
                    v1::$module::Event::Preview(_) => None,
                }
            }
        }
    )*};
}

messages!(
    GenerateImageResponse in generate_image_response,
    VaryImageResponse in vary_image_response,
    InterpolateImagesResponse in interpolate_images_response,
    DiffImageResponse in diff_image_response,
    ReconstructImageResponse in reconstruct_image_response,
    EditImageResponse in edit_image_response
);

/// The pictures of a stream, in their order; a terminal shows the progress meanwhile.
///
/// # Errors
/// What the gateway refused with, or that not all of `count` pictures came.
pub(crate) async fn collect<M: Message>(
    stream: Response<Streaming<M>>,
    count: usize,
) -> anyhow::Result<Vec<GeneratedImage>> {
    let (mut stream, mut bars) = (stream.into_inner(), Bars::new(count));
    let mut images = Vec::new();
    while let Some(message) = stream.message().await.map_err(refused)? {
        match message.news() {
            Some(News::Progress(progress)) => bars.update(&progress),
            Some(News::Image(image)) => images.push(*image),
            None => {}
        }
    }
    bars.finish();
    images.sort_by_key(|image| image.image_index);
    if images.len() != count {
        bail!("the gateway sent {} of {count} pictures", images.len());
    }
    Ok(images)
}

/// Writes the frames as an endless GIF, ten a second.
///
/// # Errors
/// A frame that can't be read, or a place that can't be written.
pub(crate) fn write_gif(path: &Path, images: &[GeneratedImage]) -> anyhow::Result<()> {
    let mut file = Cursor::new(Vec::new());
    let mut encoder = GifEncoder::new(&mut file);
    encoder.set_repeat(Repeat::Infinite)?;
    for pixels in decoded(images)? {
        let pixels = image::DynamicImage::from(pixels).into_rgba8();
        let delay = Delay::from_numer_denom_ms(100, 1);
        encoder.encode_frame(Frame::from_parts(pixels, 0, 0, delay))?;
    }
    drop(encoder);
    write(path, &file.into_inner())?;
    say(&format!("{}  {} frames", path.display(), images.len()));
    Ok(())
}

fn write_sheet(path: &Path, images: &[GeneratedImage], labels: &[String]) -> anyhow::Result<()> {
    let pictures = decoded(images)?;
    let side = pictures.first().map_or(0, RgbImage::width);
    if pictures.iter().any(|picture| picture.dimensions() != (side, side)) {
        bail!("--sheet: the pictures are not square and of one size");
    }
    let value = |byte: u8| f32::from(byte) / 127.5 - 1.0;
    let channels = |picture: &RgbImage| {
        (0..3)
            .flat_map(|c| picture.pixels().map(move |pixel| value(pixel.0[c])).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let values: Vec<f32> = pictures.iter().flat_map(channels).collect();
    let zoom = if side < 96 { 2 } else { 1 };
    let sheet = contact_sheet(&values, side as usize, labels, labels.len().min(8), zoom);
    let format = match format_of(path)? {
        ImageFormat::Jpeg => image::ImageFormat::Jpeg,
        ImageFormat::Webp => image::ImageFormat::WebP,
        ImageFormat::Png | ImageFormat::Unspecified => image::ImageFormat::Png,
    };
    let mut file = Cursor::new(Vec::new());
    sheet.write_to(&mut file, format)?;
    write(path, &file.into_inner())?;
    say(&format!("{}  {} pictures", path.display(), labels.len()));
    Ok(())
}

fn decoded(images: &[GeneratedImage]) -> anyhow::Result<Vec<RgbImage>> {
    let decode = |image: &GeneratedImage| {
        image::load_from_memory(&image.image)
            .map(image::DynamicImage::into_rgb8)
            .context("the gateway's picture")
    };
    images.iter().map(decode).collect()
}
