//! `unclip interpolate`.

use std::path::PathBuf;

use unclip_proto::v1::{InterpolateImagesRequest, NoiseBlend};
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::{DrawArgs, InversionArgs};
use crate::latents;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first end: a picture, latents (.safetensors) or text:CAPTION; - for standard input
    #[arg(value_name = "FROM")]
    from: String,
    /// The second end, as the first
    #[arg(value_name = "TO")]
    to: String,
    /// Frames, both ends included
    #[arg(long, default_value_t = 8, value_name = "N")]
    frames: u32,
    /// Invert pictures, so that the first and the last frame are their reconstructions
    #[arg(long)]
    invert: bool,
    /// Take x_T along too, instead of the first end's in all frames
    #[arg(long)]
    blend_noise: bool,
    /// Also write the frames as an animation
    #[arg(long, value_name = "FILE")]
    gif: Option<PathBuf>,
    #[command(flatten)]
    inversion: InversionArgs,
    #[command(flatten)]
    drawing: DrawArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let blend = if args.blend_noise { NoiseBlend::Slerp } else { NoiseBlend::Fixed };
    let request = InterpolateImagesRequest {
        from: Some(latents::parse(&args.from)?),
        to: Some(latents::parse(&args.to)?),
        frames: Some(args.frames),
        blend: blend as i32,
        inversion: args.inversion.asked(args.invert),
        options: Some(args.drawing.options()?),
    };
    let last = args.frames.saturating_sub(1).max(1);
    let label = move |index| format!("{index} of {last}");
    let mut drawing = args.drawing.output.begin(args.frames, label, args.gif.as_deref())?;
    let mut client = drawing.client(&args.connection).await?;
    let stream =
        client.interpolate_images(RequestContext::fresh().request(request)).await.map_err(refused)?;
    drawing.take(stream, args.frames).await?;
    drawing.finish()
}
