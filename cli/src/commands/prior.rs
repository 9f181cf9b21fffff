//! `unclip prior`: the first half of `unclip generate`.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tonic::Code;
use unclip_proto::v1::prior_item::Text;
use unclip_proto::v1::prior_service_client::PriorServiceClient;
use unclip_proto::v1::sample_prior_response::Event;
use unclip_proto::v1::text_encoder_service_client::TextEncoderServiceClient;
use unclip_proto::v1::{
    EncodeTextRequest, NoisePosition, PriorItem, PriorResult, SamplePriorRequest, Stage, StageProgress,
    TextEncoding,
};
use unclip_service::{MAX_MESSAGE_BYTES, RequestContext, Transport};

use crate::bars::Bars;
use crate::connection::{ConnectionArgs, refused};
use crate::drawing::PriorArgs;
use crate::latents::{self, IMAGE_EMBEDDING, Noise};
use crate::output::{Kind, Plan, free_name, path_of, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The caption
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// What guidance steers away from
    #[arg(long, value_name = "TEXT", default_value = "")]
    negative_prompt: String,
    /// Embeddings
    #[arg(short = 'n', long = "count", default_value_t = 1, value_name = "K")]
    count: u32,
    /// Seed of the noise; embedding k has seed + k, and is that of `unclip generate` with this seed. Its low 32 bits count, so that
    /// a seed and the same plus 2^32 draw the same. Absent: chosen and printed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Samples per embedding, of which the one nearest to the caption is kept. Absent: 1
    #[arg(long, value_name = "N", help_heading = "Prior")]
    candidates: Option<u32>,
    /// File for the embedding, as `image_embedding`; - for standard output. Several get -0, -1, ... before the ending. Absent:
    /// prior.safetensors, or where that exists prior_2.safetensors and so on
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over files that exist
    #[arg(long, visible_alias = "force")]
    overwrite: bool,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The most embeddings of one call.
const MAX_ITEMS: u32 = 64;

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if !(1..=MAX_ITEMS).contains(&args.count) {
        bail!("--count: {} is out of range, it must be from 1 to {MAX_ITEMS}", args.count);
    }
    let name = PathBuf::from("prior.safetensors");
    let output = args.output.clone().unwrap_or_else(|| free_name(&name, args.count));
    let mut plan = Plan::new(args.overwrite);
    plan.numbered("--output", &output, args.count, Kind::Tensors);
    plan.check()?;
    let seed = args.seed.unwrap_or_else(random_seed);
    let results = sample(args.connection.transport().await?, &args, seed).await?;
    for (result, index) in results.iter().zip(0..) {
        let path = path_of(&output, index, args.count);
        let embedding = result.embedding.as_ref().context("the prior sent no embedding")?;
        latents::write(&path, IMAGE_EMBEDDING, embedding, &Noise::default())?;
        let scores: Vec<String> = result.scores.iter().map(|score| format!("{score:.3}")).collect();
        let seed = seed.wrapping_add(index.into());
        say(&format!(
            "{}  CLIP space {}  seed {seed}  score {}",
            path.display(),
            embedding.space,
            scores.join(", ")
        ));
    }
    Ok(())
}

/// 32 bits, since torch's generator takes no more. A hasher's keys are random.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() & 0xffff_ffff
}

async fn sample(transport: Transport, args: &Args, seed: u64) -> anyhow::Result<Vec<PriorResult>> {
    let context = RequestContext::fresh();
    let item = |index: u32| PriorItem {
        text: Some(Text::Caption(args.prompt.clone())),
        noise: Some(NoisePosition { seed: seed.wrapping_add(index.into()), ..Default::default() }),
    };
    let request = SamplePriorRequest {
        items: (0..args.count).map(item).collect(),
        negative: negative(transport.clone(), &context, &args.negative_prompt).await?,
        options: args.prior.options(),
        candidates: args.candidates,
    };
    let mut client = PriorServiceClient::new(transport).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut stream = client.sample_prior(context.request(request)).await.map_err(no_prior)?.into_inner();
    let (mut bars, mut found) = (Bars::new(1), None);
    while let Some(message) = stream.message().await.map_err(refused)? {
        match message.event {
            Some(Event::Progress(progress)) => {
                let stage = Stage::Prior as i32;
                bars.update(&StageProgress { image_index: 0, stage, progress: Some(progress) });
            }
            Some(Event::Results(results)) => found = Some(results.results),
            None => {}
        }
    }
    bars.finish();
    let found = found.context("the prior sent no result")?;
    if found.len() != args.count as usize {
        bail!("the prior sent {} of {} embeddings", found.len(), args.count);
    }
    Ok(found)
}

/// The empty text needs no call: the prior encodes it itself.
async fn negative(
    transport: Transport,
    context: &RequestContext,
    text: &str,
) -> anyhow::Result<Option<TextEncoding>> {
    if text.is_empty() {
        return Ok(None);
    }
    let request = EncodeTextRequest { texts: vec![text.to_owned()] };
    let mut client = TextEncoderServiceClient::new(transport).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let answer = client.encode_text(context.request(request)).await.map_err(no_prior)?.into_inner();
    Ok(answer.encodings.into_iter().next())
}

/// A gateway passes no calls on to its stages.
fn no_prior(status: tonic::Status) -> anyhow::Error {
    let missing = status.code() == Code::Unimplemented;
    let error = refused(status);
    if missing {
        return error.context(
            "no prior is served there; give the address of `unclip serve`, or that of an `unclip-prior` with a text encoder",
        );
    }
    error
}
