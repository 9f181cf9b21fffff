//! `unclip edit`.

use std::path::PathBuf;

use unclip_gateway::check;
use unclip_proto::v1::{EditImageRequest, MaskMode};
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::{CaptionArgs, DrawArgs};
use crate::inputs;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture; what is transparent is repainted, unless there is a mask. - for standard input
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// A picture of the same size whose transparent pixels are repainted
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// What of the mask is repainted: its transparent pixels (alpha), or its white ones
    #[arg(long, value_enum, default_value_t = MaskModeName::Alpha, requires = "mask", value_name = "alpha|white")]
    mask_mode: MaskModeName,
    /// Take a picture without transparency and without a mask for one to vary as a whole, after the caption. Without it such a
    /// picture is refused, since nothing of it is to be repainted
    #[arg(long)]
    vary_opaque: bool,
    /// The caption
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Repetitions of a step, so that the seam fits. Absent: 3
    #[arg(long, value_name = "N")]
    resample: Option<u32>,
    #[command(flatten)]
    caption: CaptionArgs,
    #[command(flatten)]
    drawing: DrawArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// How a mask is read.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum MaskModeName {
    /// Transparent pixels are repainted.
    Alpha,
    /// White pixels are repainted.
    White,
}

impl From<MaskModeName> for MaskMode {
    fn from(name: MaskModeName) -> Self {
        match name {
            MaskModeName::Alpha => Self::Alpha,
            MaskModeName::White => Self::White,
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let generation = args.caption.request(args.prompt.clone(), args.drawing.options()?);
    // Before a bundle is loaded for nothing.
    check(&generation)?;
    let mask = args.mask.as_deref().map(inputs::picture).transpose()?.unwrap_or_default();
    let request = EditImageRequest {
        generation: Some(generation),
        image: inputs::picture(&args.image)?.into(),
        mask: mask.into(),
        resample: args.resample,
        mask_mode: MaskMode::from(args.mask_mode) as i32,
        vary_opaque: args.vary_opaque,
    };
    let (count, prompt) = (args.caption.count, args.prompt);
    let mut drawing = args.drawing.output.begin(count, move |_| prompt.clone(), None)?;
    let mut client = drawing.client(&args.connection).await?;
    let stream = client.edit_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    drawing.take(stream, count).await?;
    drawing.finish()
}
