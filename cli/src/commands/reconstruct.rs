//! `unclip reconstruct`.

use std::path::PathBuf;

use unclip_proto::v1::ReconstructImageRequest;
use unclip_service::RequestContext;

use crate::basis::read_basis;
use crate::connection::{ConnectionArgs, refused};
use crate::drawing::{DrawArgs, InversionArgs};
use crate::latents;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture, or latents (.safetensors); - for standard input
    #[arg(value_name = "LATENT")]
    latent: String,
    /// The components, a file of `unclip basis`
    #[arg(long, value_name = "FILE")]
    basis: PathBuf,
    /// How many components to keep; a frame each. 0 is the mean of the basis' pictures
    #[arg(long, value_delimiter = ',', default_value = "0,1,2,4,8,16", value_name = "LIST")]
    components: Vec<u32>,
    /// Invert the picture, instead of drawing from noise of the seed
    #[arg(long)]
    invert: bool,
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
    let request = ReconstructImageRequest {
        latent: Some(latents::parse(&args.latent)?),
        basis: Some(read_basis(&args.basis)?),
        components: args.components.clone(),
        inversion: args.inversion.asked(args.invert),
        options: Some(args.drawing.options()?),
    };
    let labels: Vec<String> = args.components.iter().map(|count| format!("{count} components")).collect();
    let count = u32::try_from(labels.len())?;
    let label = move |index: u32| labels[index as usize].clone();
    let mut drawing = args.drawing.output.begin(count, label, args.gif.as_deref())?;
    let mut client = drawing.client(&args.connection).await?;
    let stream = client.reconstruct_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    drawing.take(stream, count).await?;
    drawing.finish()
}
