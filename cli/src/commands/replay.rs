//! `unclip replay`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use unclip_proto::Redraw;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{EditReceipt, GeneratedImage, ImageFormat, Receipt};
use unclip_service::{RequestContext, Transport};

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::collect;
use crate::latents::read;
use crate::output::{format_of, report, say, stage_name, write};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A receipt, as `--receipt` writes it
    #[arg(value_name = "RECEIPT")]
    receipt: PathBuf,
    /// File to write; its ending (.png, .jpg, .webp) names the format
    #[arg(short, long, default_value = "unclip.png", value_name = "FILE")]
    output: PathBuf,
    /// The picture that was edited, for the receipt of an edit
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The edit's mask, if it had one
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let text = read(&args.receipt)?;
    let name = args.receipt.display();
    let text = String::from_utf8(text).with_context(|| format!("{name} is no text"))?;
    let receipt = Receipt::from_json(&text).with_context(|| format!("{name} is no receipt"))?;
    let request = with_files(receipt.redraw()?, &receipt, &args)?;
    let request = with_format(request, format_of(&args.output)?);
    let client = args.connection.client().await?;
    let image = draw(client, request).await?;
    write(&args.output, &image.image)?;
    report(&args.output, &image);
    for line in differences(&receipt, &image.receipt.unwrap_or_default()) {
        say(&line);
    }
    Ok(())
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

fn with_format(mut request: Redraw, format: ImageFormat) -> Redraw {
    let format = format as i32;
    match &mut request {
        Redraw::Generate(request) => request.format = format,
        Redraw::Vary(request) => request.options.get_or_insert_default().format = format,
        Redraw::Edit(request) => request.generation.get_or_insert_default().format = format,
    }
    request
}

async fn draw(mut client: UnclipServiceClient<Transport>, request: Redraw) -> anyhow::Result<GeneratedImage> {
    let context = RequestContext::fresh();
    let images = match request {
        Redraw::Generate(request) => {
            let stream = client.generate_image(context.request(request)).await.map_err(refused)?;
            collect(stream, 1).await?
        }
        Redraw::Vary(request) => {
            let stream = client.vary_image(context.request(request)).await.map_err(refused)?;
            collect(stream, 1).await?
        }
        Redraw::Edit(request) => {
            let stream = client.edit_image(context.request(request)).await.map_err(refused)?;
            collect(stream, 1).await?
        }
    };
    images.into_iter().next().context("the gateway sent no picture")
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
