//! `unclip encode`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ArgGroup;
use unclip_proto::v1::{UnclipServiceEncodeImageRequest, UnclipServiceEncodeTextRequest};
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::inputs;
use crate::latents::{self, IMAGE_EMBEDDING, Noise, TEXT_EMBEDDING};
use crate::output::{Kind, Plan, free_name, say};

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["image", "text"]))]
pub(crate) struct Args {
    /// A picture to encode; - for standard input
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// A text to encode
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// File for the embedding, as `image_embedding` or `text_embedding`; - for standard output. Absent: embedding.safetensors,
    /// or where that exists embedding_2.safetensors and so on
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over files that exist
    #[arg(long, visible_alias = "force")]
    overwrite: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let output = args.output.unwrap_or_else(|| free_name(Path::new("embedding.safetensors"), 1));
    let mut plan = Plan::new(args.overwrite);
    plan.file("--output", &output, Kind::Tensors);
    plan.check()?;
    let image = args.image.as_deref().map(inputs::picture).transpose()?;
    let name = if image.is_some() { IMAGE_EMBEDDING } else { TEXT_EMBEDDING };
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
    latents::write(&output, name, embedding, &Noise::default())?;
    say(&format!("{}  CLIP space {}", output.display(), embedding.space));
    Ok(())
}
