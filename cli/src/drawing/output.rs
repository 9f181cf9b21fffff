//! Where pictures go, and the writing of each as soon as it is there.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{ValueEnum, value_parser};
use tonic::Response;
use tonic::codec::Streaming;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{DrawOptions, GeneratedImage, ImageFormat, ImagePreview, PictureSize};
use unclip_service::Transport;

use super::sheet::{gif, sheet};
use super::stream::{Message, News};
use crate::bars::Bars;
use crate::connection::{ConnectionArgs, refused, space};
use crate::output::{
    Kind, Plan, free_name, is_dash, path_of, report, say, stage_name, with_suffix, write, write_receipt,
};
use crate::tensors;

/// The largest side of a picture that the gateway makes, in pixels.
const MAX_SIDE: u32 = 4096;

/// The name of pictures that were not named.
const NAME: &str = "unclip.png";

/// A format of picture files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// Lossless
    Png,
    /// With --jpeg-quality
    #[value(alias = "jpg")]
    Jpeg,
    /// Lossless
    Webp,
}

/// Where pictures go.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// File to write, or - for standard output; its ending (.png, .jpg, .webp) names the format. Several pictures get -0, -1,
    /// ... before the ending. Absent: unclip.png, or where that exists unclip_2.png and so on
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over files that exist. Without it they are refused before anything is drawn
    #[arg(long, visible_alias = "force")]
    overwrite: bool,
    /// Format of the pictures, whatever the ending. Absent: what the ending says; PNG for standard output
    #[arg(long, value_enum, value_name = "png|jpeg|webp", hide_possible_values = true)]
    format: Option<FormatName>,
    /// Quality of JPEG files, 1 to 100. Absent: 90
    #[arg(long, value_parser = value_parser!(u32).range(1..=100), value_name = "N")]
    jpeg_quality: Option<u32>,
    /// Quality of lossy WebP files, 0 to 100. Absent: without loss
    #[arg(long, value_parser = value_parser!(u32).range(0..=100), value_name = "N")]
    webp_quality: Option<u32>,
    /// Size of the files in pixels, each way 1 to 4096; pictures are drawn at the model's size and resized. Absent: the model's
    #[arg(long, value_parser = size, value_name = "WxH")]
    size: Option<PictureSize>,
    /// Also write one picture of all, each with its label below
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Also write the pictures' receipts, as JSON for `unclip replay`; several get numbers as the pictures do
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Also write what passed between the stages, as safetensors: `text_embedding`, `text_hidden_states`, `image_embedding`
    /// (unless there is none), `decoded` ([-1, 1]) and `image` ([0, 1]), f32, batch first. FILE#K is picture K's latent
    #[arg(long, value_name = "FILE")]
    tensors: Option<PathBuf>,
    /// Also write previews into this folder, PNG files that are named after picture, stage and step
    #[arg(long, value_name = "DIR")]
    previews: Option<PathBuf>,
    /// Steps of decoder and upsampler from one preview to the next
    #[arg(long, value_parser = value_parser!(u32).range(1..=1000), value_name = "N", default_value_t = 5, requires = "previews")]
    preview_every: u32,
}

impl OutputArgs {
    /// The pictures' format.
    ///
    /// # Errors
    /// An ending that names none, or another one than `--format`.
    fn format(&self) -> anyhow::Result<ImageFormat> {
        let given = self.format.map(|format| match format {
            FormatName::Png => ImageFormat::Png,
            FormatName::Jpeg => ImageFormat::Jpeg,
            FormatName::Webp => ImageFormat::Webp,
        });
        let path = self.output.as_deref().filter(|path| !is_dash(path));
        match (given, path.map(|path| (path, format_of(path)))) {
            (Some(given), Some((path, Some(named)))) if given != named => {
                bail!("--format: {} ends as another format; change one of them", path.display())
            }
            (Some(given), _) => Ok(given),
            (None, Some((path, None))) => {
                bail!(
                    "--output: {} has no ending that names a format; use .png, .jpg or .webp, or --format",
                    path.display()
                )
            }
            (None, Some((_, Some(named)))) => Ok(named),
            (None, None) => Ok(ImageFormat::Png),
        }
    }

    /// What a request has to ask for so that these files can be written.
    ///
    /// # Errors
    /// Those of [`Self::format`], or a quality for another format than JPEG.
    pub(crate) fn options(&self) -> anyhow::Result<DrawOptions> {
        let format = self.format()?;
        if self.jpeg_quality.is_some() && format != ImageFormat::Jpeg {
            bail!("--jpeg-quality: only JPEG files have a quality; write a .jpg, or leave it out");
        }
        if self.webp_quality.is_some() && format != ImageFormat::Webp {
            bail!("--webp-quality: only WebP files have it; write a .webp, or leave it out");
        }
        Ok(DrawOptions {
            format: format as i32,
            jpeg_quality: self.jpeg_quality,
            webp_quality: self.webp_quality,
            output_size: self.size,
            preview_every: if self.previews.is_some() { self.preview_every } else { 0 },
            return_tensors: self.tensors.is_some(),
            ..Default::default()
        })
    }

    /// Begins a drawing of `count` pictures, which `label` names on a sheet, after a look at every place that will be
    /// written.
    ///
    /// # Errors
    /// All that can't be written or would be overwritten.
    pub(crate) fn begin(
        &self,
        count: u32,
        label: impl Fn(u32) -> String + Send + 'static,
        gif: Option<&Path>,
    ) -> anyhow::Result<Drawing> {
        let name = match self.format()? {
            ImageFormat::Jpeg => Path::new(NAME).with_extension("jpg"),
            ImageFormat::Webp => Path::new(NAME).with_extension("webp"),
            ImageFormat::Png | ImageFormat::Unspecified => PathBuf::from(NAME),
        };
        let free = || if self.overwrite { name.clone() } else { free_name(&name, count) };
        let output = self.output.clone().unwrap_or_else(free);
        let mut plan = Plan::new(self.overwrite);
        plan.numbered("--output", &output, count, Kind::Any);
        self.receipt.iter().for_each(|path| plan.numbered("--receipt", path, count, Kind::Json));
        self.sheet.iter().for_each(|path| plan.file("--sheet", path, Kind::Picture));
        self.tensors.iter().for_each(|path| plan.file("--tensors", path, Kind::Tensors));
        self.previews.iter().for_each(|path| plan.folder("--previews", path));
        gif.iter().for_each(|path| plan.file("--gif", path, Kind::Gif));
        plan.check()?;
        Ok(Drawing {
            output,
            receipt: self.receipt.clone(),
            sheet: self.sheet.clone(),
            gif: gif.map(Path::to_path_buf),
            tensors: self.tensors.clone(),
            previews: self.previews.clone(),
            columns: None,
            space: String::new(),
            bars: Bars::new(count as usize),
            count,
            label: Box::new(label),
            images: Vec::new(),
        })
    }
}

/// Reads a size, as 256x256.
fn size(text: &str) -> Result<PictureSize, String> {
    let pixels = |side: &str| side.parse::<u32>().ok().filter(|side| (1..=MAX_SIDE).contains(side));
    let sides =
        text.split_once(['x', 'X']).and_then(|(width, height)| Some((pixels(width)?, pixels(height)?)));
    let (width, height) =
        sides.ok_or_else(|| format!("give WIDTHxHEIGHT, each from 1 to {MAX_SIDE}, as 256x256"))?;
    Ok(PictureSize { width, height })
}

/// The format that a file's name asks for.
pub(crate) fn format_of(path: &Path) -> Option<ImageFormat> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "png" => Some(ImageFormat::Png),
        "jpg" | "jpeg" => Some(ImageFormat::Jpeg),
        "webp" => Some(ImageFormat::Webp),
        _ => None,
    }
}

/// Pictures on their way: each is written, with its receipt, when it comes.
pub(crate) struct Drawing {
    output: PathBuf,
    receipt: Option<PathBuf>,
    sheet: Option<PathBuf>,
    gif: Option<PathBuf>,
    tensors: Option<PathBuf>,
    previews: Option<PathBuf>,
    /// Pictures in a row of the sheet, where rows mean something.
    columns: Option<usize>,
    /// The CLIP space of the embeddings among the tensors.
    space: String,
    bars: Bars,
    count: u32,
    label: Box<dyn Fn(u32) -> String + Send>,
    images: Vec<GeneratedImage>,
}

impl Drawing {
    /// The sheet has so many pictures in a row.
    pub(crate) fn in_rows_of(mut self, columns: u32) -> Self {
        self.columns = Some(columns as usize);
        self
    }

    /// A client of the gateway, which is asked for the CLIP space of the tensors if they are wanted.
    ///
    /// # Errors
    /// A bundle that can't be loaded, or what the gateway refused with.
    pub(crate) async fn client(
        &mut self,
        connection: &ConnectionArgs,
    ) -> anyhow::Result<UnclipServiceClient<Transport>> {
        let mut client = connection.client().await?;
        if self.tensors.is_some() {
            self.space = space(&mut client).await?;
        }
        Ok(client)
    }

    /// The pictures so far, in their order.
    pub(crate) fn images(&self) -> &[GeneratedImage] {
        &self.images
    }

    /// Takes the pictures of a stream, which are numbered from where the last one ended. A terminal shows the progress
    /// meanwhile.
    ///
    /// # Errors
    /// What the gateway refused with, that not all of `count` pictures came, or a place that can't be written.
    pub(crate) async fn take<M: Message>(
        &mut self,
        stream: Response<Streaming<M>>,
        count: u32,
    ) -> anyhow::Result<()> {
        let taken = self.follow(stream.into_inner(), count).await;
        self.bars.finish();
        self.images.sort_by_key(|image| image.image_index);
        taken.with_context(|| match self.images.len() {
            0 => "nothing was drawn".to_owned(),
            done => format!("{done} of {} pictures are written, then", self.count),
        })
    }

    async fn follow<M: Message>(&mut self, mut stream: Streaming<M>, count: u32) -> anyhow::Result<()> {
        let first = u32::try_from(self.images.len())?;
        while let Some(message) = stream.message().await.map_err(refused)? {
            match message.news() {
                Some(News::Progress(mut progress)) => {
                    progress.image_index += first;
                    self.bars.update(&progress);
                }
                Some(News::Preview(preview)) => self.write_preview(&preview, first)?,
                Some(News::Image(mut image)) => {
                    image.image_index += first;
                    self.write_image(*image)?;
                }
                None => {}
            }
        }
        let came = self.images.len() - first as usize;
        if came != count as usize {
            bail!("the gateway sent {came} of {count} pictures");
        }
        Ok(())
    }

    fn write_image(&mut self, image: GeneratedImage) -> anyhow::Result<()> {
        let path = path_of(&self.output, image.image_index, self.count);
        write(&path, &image.image)?;
        if let Some(receipt) = &self.receipt {
            write_receipt(&path_of(receipt, image.image_index, self.count), &image)?;
        }
        self.bars.beside(|| report(&path, &image));
        self.images.push(image);
        Ok(())
    }

    fn write_preview(&self, preview: &ImagePreview, first: u32) -> anyhow::Result<()> {
        let Some(folder) = &self.previews else { return Ok(()) };
        let name = Path::new("unclip.png");
        let name =
            if is_dash(&self.output) { name } else { Path::new(self.output.file_name().unwrap_or_default()) };
        let name = path_of(&name.with_extension("png"), preview.image_index + first, self.count);
        let name = with_suffix(&name, &format!("-{}-{:03}", stage_name(preview.stage()), preview.step));
        write(&folder.join(name), &preview.image)
    }

    /// Writes what is made of all pictures.
    ///
    /// # Errors
    /// A place that can't be written.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let (images, count) = (&self.images, self.images.len());
        if let Some(path) = &self.gif {
            write(path, &gif(images)?)?;
            say(&format!("{}  {count} frames", path.display()));
        }
        if let Some(path) = &self.sheet {
            let format = format_of(path).unwrap_or(ImageFormat::Png);
            let labels: Vec<String> = (0..self.count).map(&self.label).collect();
            write(path, &sheet(images, &labels, self.columns, format)?)?;
            say(&format!("{}  {count} pictures", path.display()));
        }
        match &self.tensors {
            Some(path) => tensors::write(path, images, &self.space),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(output: Option<&str>, format: Option<FormatName>) -> OutputArgs {
        OutputArgs {
            output: output.map(PathBuf::from),
            overwrite: false,
            format,
            jpeg_quality: None,
            webp_quality: None,
            size: None,
            sheet: None,
            receipt: None,
            tensors: None,
            previews: None,
            preview_every: 5,
        }
    }

    #[test]
    fn sizes_have_two_sides() {
        assert_eq!(size("64x32").unwrap(), PictureSize { width: 64, height: 32 });
        for text in ["64", "x", "0x1", "1x4097", "1x2x3", "-1x1", ""] {
            assert!(size(text).unwrap_err().contains("WIDTHxHEIGHT"), "{text}");
        }
    }

    #[test]
    fn the_ending_or_the_flag_names_the_format() {
        for (output, format, found) in [
            (Some("x.JPEG"), None, Ok(ImageFormat::Jpeg)),
            (None, None, Ok(ImageFormat::Png)),
            (Some("-"), None, Ok(ImageFormat::Png)),
            (Some("-"), Some(FormatName::Webp), Ok(ImageFormat::Webp)),
            (Some("x"), Some(FormatName::Webp), Ok(ImageFormat::Webp)),
            (Some("x.gif"), None, Err("--output: x.gif has no ending")),
            (Some("x"), None, Err("--output")),
            (Some("x.png"), Some(FormatName::Jpeg), Err("--format: x.png ends as another format")),
        ] {
            match (args(output, format).format(), found) {
                (Ok(format), Ok(expected)) => assert_eq!(format, expected),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
                (result, _) => panic!("{output:?}: {result:?}"),
            }
        }
    }
}
