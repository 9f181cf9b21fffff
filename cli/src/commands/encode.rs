//! `unclip encode`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ArgGroup;
use unclip_proto::v1::{UnclipServiceEncodeImageRequest, UnclipServiceEncodeTextRequest};
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::latents;
use crate::output::say;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["image", "text"]))]
pub(crate) struct Args {
    /// A picture to encode
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// A text to encode
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// File for the embedding, as `image_embedding`
    #[arg(short, long, default_value = "embedding.safetensors", value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let image = args.image.as_deref().map(latents::read).transpose()?;
    let mut client = args.connection.client().await?;
    let context = RequestContext::fresh();
    let embeddings = match image {
        Some(image) => {
            let request = UnclipServiceEncodeImageRequest { images: vec![image.into()] };
            client.encode_image(context.request(request)).await.map_err(refused)?.into_inner().embeddings
        }
        None => {
            let texts = vec![args.text.unwrap_or_default()];
            let request = UnclipServiceEncodeTextRequest { texts };
            client.encode_text(context.request(request)).await.map_err(refused)?.into_inner().embeddings
        }
    };
    let embedding = embeddings.first().context("the gateway sent no embedding")?;
    latents::write(&args.output, embedding, None)?;
    say(&format!("{}  CLIP space {}", args.output.display(), embedding.space));
    Ok(())
}
