//! `unclip replay`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use unclip_proto::Redraw;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{DrawOptions, EditReceipt, GenerateImageRequest, Receipt};
use unclip_service::{RequestContext, Transport};

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::{Drawing, OutputArgs};
use crate::inputs::read;
use crate::output::{say, stage_name};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A receipt, as `--receipt` writes it; - for standard input
    #[arg(value_name = "RECEIPT")]
    file: PathBuf,
    /// The picture that was edited, for the receipt of an edit
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The edit's mask, if it had one
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let text = read(&args.file)?;
    let name = args.file.display();
    let text = String::from_utf8(text).with_context(|| format!("{name} is no text"))?;
    let receipt = Receipt::from_json(&text).with_context(|| format!("{name} is no receipt"))?;
    let request = with_files(receipt.redraw()?, &receipt, &args)?;
    let request = with_output(request, &args.output)?;
    let prompt = receipt.prompt.clone();
    let mut drawing = args.output.begin(1, move |_| prompt.clone(), None)?;
    let client = drawing.client(&args.connection).await?;
    draw(client, request, &mut drawing).await?;
    for image in drawing.images() {
        for line in differences(&receipt, &image.receipt.clone().unwrap_or_default()) {
            say(&line);
        }
    }
    drawing.finish()
}

/// An edit's files, which must be those that the receipt names.
fn with_files(mut request: Redraw, receipt: &Receipt, args: &Args) -> anyhow::Result<Redraw> {
    if let (Redraw::Edit(edit), Some(EditReceipt { image_blake3, mask_blake3, .. })) =
        (&mut request, &receipt.edit)
    {
        edit.image = file("--image", args.image.as_deref(), image_blake3)?.into();
        edit.mask = file("--mask", args.mask.as_deref(), mask_blake3)?.into();
    }
    Ok(request)
}

fn file(flag: &str, path: Option<&Path>, hash: &str) -> anyhow::Result<Vec<u8>> {
    match path {
        None if hash.is_empty() => Ok(vec![]),
        None => bail!("{flag}: the receipt is of an edit; give the file with the BLAKE3 hash {hash}"),
        Some(path) => {
            let bytes = read(path)?;
            let found = blake3::hash(&bytes).to_string();
            match found == hash {
                true => Ok(bytes),
                false => {
                    bail!("{flag}: {} has the BLAKE3 hash {found}, the receipt's file {hash}", path.display())
                }
            }
        }
    }
}

/// The request with the format and the extras that the flags ask for.
fn with_output(mut request: Redraw, output: &OutputArgs) -> anyhow::Result<Redraw> {
    let options = output.options()?;
    match &mut request {
        Redraw::Generate(request) => with_options(request, &options),
        Redraw::Edit(request) => with_options(request.generation.get_or_insert_default(), &options),
        Redraw::Vary(request) => {
            let drawing = request.options.take().unwrap_or_default();
            let DrawOptions { seed, decoder, upsampler, output_size, .. } = drawing;
            let output_size = options.output_size.or(output_size);
            request.options = Some(DrawOptions { seed, decoder, upsampler, output_size, ..options });
        }
    }
    Ok(request)
}

fn with_options(request: &mut GenerateImageRequest, options: &DrawOptions) {
    request.format = options.format;
    request.jpeg_quality = options.jpeg_quality;
    request.webp_quality = options.webp_quality;
    request.output_size = options.output_size.or(request.output_size);
    request.preview_every = options.preview_every;
    request.return_tensors = options.return_tensors;
}

async fn draw(
    mut client: UnclipServiceClient<Transport>,
    request: Redraw,
    drawing: &mut Drawing,
) -> anyhow::Result<()> {
    let context = RequestContext::fresh();
    match request {
        Redraw::Generate(request) => {
            drawing.take(client.generate_image(context.request(request)).await.map_err(refused)?, 1).await
        }
        Redraw::Vary(request) => {
            drawing.take(client.vary_image(context.request(request)).await.map_err(refused)?, 1).await
        }
        Redraw::Edit(request) => {
            drawing.take(client.edit_image(context.request(request)).await.map_err(refused)?, 1).await
        }
    }
}

/// Stages that are not as they were: then the picture may be another.
fn differences(old: &Receipt, new: &Receipt) -> Vec<String> {
    let mut lines = Vec::new();
    for line in &new.stages {
        let Some(was) = old.line(line.stage()) else { continue };
        let pairs =
            [("model", &was.model_fingerprint, &line.model_fingerprint), ("dtype", &was.dtype, &line.dtype)];
        for (what, was, is) in pairs.iter().filter(|(_, was, is)| was != is) {
            let name = stage_name(line.stage());
            lines.push(format!("  not the same picture: the {name}'s {what} is {is}, the receipt has {was}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use unclip_proto::v1::{Stage, StageReceipt};

    use super::*;

    #[test]
    fn another_model_or_dtype_is_told() {
        let receipt = |model: &str, dtype: &str| {
            let line = StageReceipt {
                stage: Stage::Decoder as i32,
                model_fingerprint: model.into(),
                dtype: dtype.into(),
                ..Default::default()
            };
            Receipt { stages: vec![line], ..Default::default() }
        };
        let old = receipt("a", "f32");
        assert_eq!(differences(&old, &old), Vec::<String>::new());
        let told = differences(&old, &receipt("b", "bf16"));
        assert_eq!(told[0], "  not the same picture: the decoder's model is b, the receipt has a");
        assert!(told[1].contains("dtype is bf16, the receipt has f32"), "{told:?}");
    }

    #[test]
    fn an_edit_wants_its_own_files() {
        assert_eq!(file("--mask", None, "").unwrap(), Vec::<u8>::new());
        let text = file("--image", None, "abc").unwrap_err().to_string();
        assert!(text.contains("BLAKE3 hash abc"), "{text}");
        let path = std::env::temp_dir().join(format!("unclip-replay-{}", std::process::id()));
        std::fs::write(&path, "x").unwrap();
        let right = file("--image", Some(&path), &blake3::hash(b"x").to_string());
        let wrong = file("--image", Some(&path), "abc");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(right.unwrap(), b"x");
        assert!(wrong.unwrap_err().to_string().contains("the receipt's file abc"));
    }
}
