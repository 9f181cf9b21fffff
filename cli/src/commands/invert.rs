//! `unclip invert`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use unclip_proto::v1::invert_image_response::Event;
use unclip_proto::v1::{ImageFormat, InvertImageRequest};
use unclip_service::RequestContext;

use crate::bars::Bars;
use crate::connection::{ConnectionArgs, refused};
use crate::drawing::{InversionArgs, format_of, picture_file};
use crate::inputs;
use crate::latents::{self, IMAGE_EMBEDDING, Noise};
use crate::output::{Kind, Plan, free_name, say, write};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture; - for standard input
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// File for the latents, `image_embedding`, `x_t` and how they become the picture again; - for standard output. Absent:
    /// latents.safetensors, or where that exists latents_2.safetensors and so on
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over files that exist
    #[arg(long, visible_alias = "force")]
    overwrite: bool,
    /// Also write what the latents decode to, at the decoder's resolution; its ending (.png, .jpg, .webp) names the
    /// format
    #[arg(long, value_name = "FILE")]
    reconstruction: Option<PathBuf>,
    #[command(flatten)]
    inversion: InversionArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let output = args.output.unwrap_or_else(|| free_name(Path::new("latents.safetensors"), 1));
    let mut plan = Plan::new(args.overwrite);
    plan.file("--output", &output, Kind::Tensors);
    args.reconstruction.iter().for_each(|path| plan.file("--reconstruction", path, Kind::Picture));
    plan.check()?;
    let image = inputs::picture(&args.image)?.into();
    let request = InvertImageRequest { image, inversion: Some(args.inversion.options()) };
    let mut client = args.connection.client().await?;
    let call = client.invert_image(RequestContext::fresh().request(request));
    let mut stream = call.await.map_err(refused)?.into_inner();
    let (mut bars, mut found) = (Bars::new(1), None);
    while let Some(message) = stream.message().await.map_err(refused)? {
        match message.event {
            Some(Event::Progress(progress)) => bars.update(&progress),
            Some(Event::Result(result)) => found = Some(result),
            Some(Event::Preview(_)) | None => {}
        }
    }
    bars.finish();
    let found = found.context("the gateway sent no result")?;
    let embedding = found.image_embedding.context("the gateway sent no embedding")?;
    let noise = Noise { x_t: found.x_t.as_ref(), decoder: found.decoder.as_ref() };
    latents::write(&output, IMAGE_EMBEDDING, &embedding, &noise)?;
    say(&format!("{}  round-trip error {:.4}", output.display(), found.round_trip_error));
    match &args.reconstruction {
        Some(path) => write_reconstruction(path, &found.reconstruction),
        None => Ok(()),
    }
}

/// It comes as a PNG.
fn write_reconstruction(path: &Path, png: &[u8]) -> anyhow::Result<()> {
    match format_of(path) {
        None | Some(ImageFormat::Png) => write(path, png),
        Some(format) => write(path, &picture_file(image::load_from_memory(png)?, format)?),
    }
}
