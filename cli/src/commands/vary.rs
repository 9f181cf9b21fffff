//! `unclip vary`.

use unclip_proto::v1::VaryImageRequest;
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::DrawArgs;
use crate::latents;
use crate::output::say;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture, or latents (.safetensors) of `unclip invert`, `unclip encode`, `unclip prior` or --tensors; - for standard
    /// input. Those of `invert` become their picture again, and with --eta above 0 variations of its composition
    #[arg(value_name = "LATENT")]
    latent: String,
    /// Variations. Absent: 4, or 1 where latents become their picture again
    #[arg(short = 'n', long = "count", value_name = "K")]
    count: Option<u32>,
    #[command(flatten)]
    drawing: DrawArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let latent = latents::parse(&args.latent)?;
    let same = latent.x_t.is_some() && args.drawing.decoder.is_determined();
    let count = args.count.unwrap_or(if same { 1 } else { 4 });
    let request =
        VaryImageRequest { latent: Some(latent), n: Some(count), options: Some(args.drawing.options()?) };
    let mut drawing = args.drawing.output.begin(count, |index| format!("variation {index}"), None)?;
    let mut client = drawing.client(&args.connection).await?;
    let stream = client.vary_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    drawing.take(stream, count).await?;
    drawing.finish()?;
    if same && count > 1 {
        say("  all the same: these latents are a picture's own; --eta above 0 varies it");
    }
    Ok(())
}
