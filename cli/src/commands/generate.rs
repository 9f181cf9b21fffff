//! `unclip generate`.

use anyhow::bail;
use unclip_gateway::check;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{Embedding, GenerateImageRequest};
use unclip_service::{RequestContext, Transport};

use crate::connection::{ConnectionArgs, refused, space};
use crate::drawing::{CaptionArgs, DrawArgs};
use crate::latents;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The caption
    #[arg(long, value_name = "TEXT", required_unless_present = "embedding")]
    prompt: Option<String>,
    /// Decode this image embedding, a file of `unclip prior`, `unclip encode` or --tensors, instead of asking the prior. The
    /// caption may then be left out; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prior_mode", "candidates"])]
    embedding: Option<String>,
    /// Draw every picture with each of these guidance scales of the decoder, a row of the sheet for each (arXiv 2204.06125,
    /// figure 9)
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "decoder_guidance")]
    guidance_sweep: Vec<f32>,
    #[command(flatten)]
    caption: CaptionArgs,
    #[command(flatten)]
    drawing: DrawArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let embedding = args.embedding.as_deref().map(latents::parse_embedding).transpose()?;
    let mut requests = requests(&args, embedding.as_ref())?;
    // Before a bundle is loaded for nothing.
    requests.iter().try_for_each(check)?;
    let (n, sweep, prompt) =
        (args.caption.count, args.guidance_sweep.clone(), args.prompt.clone().unwrap_or_default());
    let label = move |index: u32| match sweep.get((index / n) as usize) {
        Some(scale) => format!("guidance {scale}"),
        None => prompt.clone(),
    };
    let count = n.saturating_mul(u32::try_from(requests.len())?);
    let mut drawing = args.drawing.output.begin(count, label, None)?;
    if !args.guidance_sweep.is_empty() {
        drawing = drawing.in_rows_of(n);
    }
    let mut client = drawing.client(&args.connection).await?;
    check_space(&mut client, embedding.as_ref()).await?;
    for request in &mut requests {
        // A seed that was chosen for the first row is that of all.
        let first = drawing.images().first().and_then(|image| image.receipt.as_ref());
        request.seed = request.seed.or(first.map(|receipt| receipt.seed));
        let request = RequestContext::fresh().request(request.clone());
        drawing.take(client.generate_image(request).await.map_err(refused)?, n).await?;
    }
    drawing.finish()
}

/// One request, or one for each scale of a sweep.
fn requests(args: &Args, embedding: Option<&Embedding>) -> anyhow::Result<Vec<GenerateImageRequest>> {
    let request = GenerateImageRequest {
        image_embedding: embedding.and_then(|embedding| embedding.tensor.clone()),
        ..args.caption.request(args.prompt.clone().unwrap_or_default(), args.drawing.options()?)
    };
    if args.guidance_sweep.is_empty() {
        return Ok(vec![request]);
    }
    let with_scale = |scale: &f32| {
        let mut request = request.clone();
        request.decoder.get_or_insert_default().guidance_scale = Some(*scale);
        request
    };
    Ok(args.guidance_sweep.iter().map(with_scale).collect())
}

/// The call itself brings no space that the gateway could check.
async fn check_space(
    client: &mut UnclipServiceClient<Transport>,
    embedding: Option<&Embedding>,
) -> anyhow::Result<()> {
    let Some(embedding) = embedding else { return Ok(()) };
    let needed = space(client).await?;
    if embedding.space != needed {
        bail!(
            "--embedding: the file is of the CLIP model {}, the decoder of {needed}; embeddings of one mean nothing to another",
            embedding.space
        );
    }
    Ok(())
}
