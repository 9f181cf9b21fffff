//! `unclip mix`.

use anyhow::{Context as _, bail};
use unclip_proto::v1::latent::Source;
use unclip_proto::v1::{Latent, Mix, MixPart, VaryImageRequest, mix_part};
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::DrawArgs;
use crate::latents;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to mix: pictures, latents (.safetensors) or text:CAPTION; - for standard input
    #[arg(value_name = "LATENT", required = true)]
    parts: Vec<String>,
    /// A weight for each; below 0 it is steered away from. Absent: all alike
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    weights: Vec<f32>,
    /// Pictures
    #[arg(short = 'n', long = "count", default_value_t = 1, value_name = "K")]
    count: u32,
    #[command(flatten)]
    drawing: DrawArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let request = VaryImageRequest {
        latent: Some(Latent {
            source: Some(Source::Mix(mix(&args.parts, &args.weights)?)),
            ..Default::default()
        }),
        n: Some(args.count),
        options: Some(args.drawing.options()?),
    };
    let mut drawing = args.drawing.output.begin(args.count, |index| format!("mix {index}"), None)?;
    let mut client = drawing.client(&args.connection).await?;
    let stream = client.vary_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    drawing.take(stream, args.count).await?;
    drawing.finish()
}

fn mix(parts: &[String], weights: &[f32]) -> anyhow::Result<Mix> {
    if !weights.is_empty() && weights.len() != parts.len() {
        bail!("--weights: {} weights for {} parts; give one for each", weights.len(), parts.len());
    }
    let weights = weights.iter().copied().chain(std::iter::repeat(1.0));
    let part = |(part, weight): (&String, f32)| {
        let source = match latents::parse(part)?.source.with_context(|| format!("{part} has no latent"))? {
            Source::Image(file) => mix_part::Source::Image(file),
            Source::ImageEmbedding(embedding) => mix_part::Source::ImageEmbedding(embedding),
            Source::Text(text) => mix_part::Source::Text(text),
            Source::Mix(_) => bail!("{part} is a mix itself"),
        };
        Ok(MixPart { source: Some(source), weight })
    };
    Ok(Mix { parts: parts.iter().zip(weights).map(part).collect::<anyhow::Result<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_weight() {
        let parts = ["text:a fox".to_owned(), "text:a hat".to_owned()];
        let weights = |mix: Mix| mix.parts.iter().map(|part| part.weight).collect::<Vec<_>>();
        assert_eq!(weights(mix(&parts, &[]).unwrap()), [1.0, 1.0]);
        assert_eq!(weights(mix(&parts, &[2.0, -1.0]).unwrap()), [2.0, -1.0]);
        let text = mix(&parts, &[1.0]).unwrap_err().to_string();
        assert!(text.starts_with("--weights: 1 weights for 2 parts"), "{text}");
    }
}
