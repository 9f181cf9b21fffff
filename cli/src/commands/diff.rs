//! `unclip diff`.

use std::path::PathBuf;

use unclip_proto::v1::DiffImageRequest;
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::{DrawArgs, InversionArgs};
use crate::latents;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture, or latents (.safetensors); - for standard input
    #[arg(value_name = "LATENT")]
    latent: String,
    /// What the picture shows
    #[arg(long, default_value = "", value_name = "TEXT")]
    from: String,
    /// What it is to show
    #[arg(long, value_name = "TEXT")]
    to: String,
    /// How far to go, from 0 to 1; a frame each
    #[arg(long, value_delimiter = ',', default_value = "0,0.125,0.25,0.375,0.5", value_name = "LIST")]
    thetas: Vec<f32>,
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
    let request = DiffImageRequest {
        latent: Some(latents::parse(&args.latent)?),
        from_caption: args.from.clone(),
        to_caption: args.to.clone(),
        thetas: args.thetas.clone(),
        inversion: Some(args.inversion.options()),
        options: Some(args.drawing.options()?),
    };
    let labels: Vec<String> = args.thetas.iter().map(|theta| format!("theta {theta}")).collect();
    let count = u32::try_from(labels.len())?;
    let label = move |index: u32| labels[index as usize].clone();
    let mut drawing = args.drawing.output.begin(count, label, args.gif.as_deref())?;
    let mut client = drawing.client(&args.connection).await?;
    let stream = client.diff_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    drawing.take(stream, count).await?;
    drawing.finish()
}
