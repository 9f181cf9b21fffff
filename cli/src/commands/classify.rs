//! `unclip classify`.

use unclip_proto::v1::ClassifyRequest;
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::latents;
use crate::output::say;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture, or latents (.safetensors); - for standard input
    #[arg(value_name = "LATENT")]
    latent: String,
    /// What it may show, best as captions: "a photo of a dog". May be given several times
    #[arg(long = "label", required = true, value_name = "TEXT")]
    labels: Vec<String>,
    /// What cosines are multiplied by before the softmax. Absent: the CLIP's own, and 100 where its checkpoint doesn't say
    #[arg(long, value_name = "SCALE")]
    logit_scale: Option<f32>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let request = ClassifyRequest {
        latent: Some(latents::parse(&args.latent)?),
        labels: args.labels.clone(),
        logit_scale: args.logit_scale,
    };
    let mut client = args.connection.client().await?;
    let answer =
        client.classify(RequestContext::fresh().request(request)).await.map_err(refused)?.into_inner();
    let mut lines: Vec<_> = args.labels.iter().zip(&answer.probabilities).zip(&answer.cosines).collect();
    lines.sort_by(|((_, a), _), ((_, b), _)| b.total_cmp(a));
    for ((label, probability), cosine) in lines {
        say(&format!("{:>7.3} %  cosine {cosine:>6.3}  {label}", probability * 100.0));
    }
    Ok(())
}
