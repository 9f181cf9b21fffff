//! `unclip reconstruct`.

use std::path::PathBuf;

use unclip_proto::v1::ReconstructImageRequest;
use unclip_service::RequestContext;

use crate::basis::read_basis;
use crate::connection::{ConnectionArgs, refused};
use crate::drawing::{DrawArgs, InversionArgs, collect, write_gif};
use crate::latents;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture, or latents (.safetensors)
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
        inversion: args.invert.then(|| args.inversion.options()),
        options: Some(args.drawing.options()?),
    };
    let mut client = args.connection.client().await?;
    let stream = client.reconstruct_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    let labels: Vec<String> = args.components.iter().map(|count| format!("{count} components")).collect();
    let images = collect(stream, labels.len()).await?;
    if let Some(path) = &args.gif {
        write_gif(path, &images)?;
    }
    args.drawing.finish(&images, &labels)
}
