//! `unclip invert`.

use std::path::PathBuf;

use anyhow::Context as _;
use unclip_proto::v1::InvertImageRequest;
use unclip_proto::v1::invert_image_response::Event;
use unclip_service::RequestContext;

use crate::bars::Bars;
use crate::connection::{ConnectionArgs, refused};
use crate::drawing::InversionArgs;
use crate::latents;
use crate::output::{say, write};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// File for the latents: `image_embedding` and `x_t`
    #[arg(short, long, default_value = "latents.safetensors", value_name = "FILE")]
    output: PathBuf,
    /// Also write what the latents decode to, as a PNG at the decoder's resolution
    #[arg(long, value_name = "FILE")]
    reconstruction: Option<PathBuf>,
    #[command(flatten)]
    inversion: InversionArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let image = latents::read(&args.image)?.into();
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
    latents::write(&args.output, &embedding, found.x_t.as_ref())?;
    say(&format!("{}  round-trip error {:.4}", args.output.display(), found.round_trip_error));
    match &args.reconstruction {
        Some(path) => write(path, &found.reconstruction),
        None => Ok(()),
    }
}
