//! `unclip basis`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use unclip_proto::v1::{ComputeBasisRequest, UnclipServiceEncodeImageRequest};
use unclip_service::RequestContext;

use crate::basis::write_basis;
use crate::connection::{ConnectionArgs, refused};
use crate::latents::{self, Many};
use crate::output::{Kind, Plan, free_name, say};

/// Pictures that are encoded with one call.
const AT_ONCE: usize = 16;

/// The endings of pictures in a folder.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pictures, folders of pictures, and latents (.safetensors), of which all count; - for standard input
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// The most components to keep. Absent: all that there are
    #[arg(long, value_name = "N")]
    components: Option<u32>,
    /// File for the basis, `mean`, `components` and `variances`; - for standard output. Absent: basis.safetensors, or where
    /// that exists basis_2.safetensors and so on
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over files that exist
    #[arg(long, visible_alias = "force")]
    overwrite: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let output = args.output.unwrap_or_else(|| free_name(Path::new("basis.safetensors"), 1));
    let mut plan = Plan::new(args.overwrite);
    plan.file("--output", &output, Kind::Tensors);
    plan.check()?;
    let paths = pictures(&args.images)?;
    let mut client = args.connection.client().await?;
    let context = RequestContext::fresh();
    let mut embeddings = Vec::new();
    for paths in paths.chunks(AT_ONCE) {
        let mut images = Vec::new();
        for path in paths {
            match latents::parse_many(path)? {
                Many::Picture(image) => images.push(image),
                Many::Embeddings(all) => embeddings.extend(all),
            }
        }
        if !images.is_empty() {
            let request = UnclipServiceEncodeImageRequest { images };
            let encoded = client.encode_image(context.request(request)).await.map_err(refused)?;
            embeddings.extend(encoded.into_inner().embeddings);
        }
    }
    let count = embeddings.len();
    let request = ComputeBasisRequest { embeddings, components: args.components };
    let answer = client.compute_basis(context.request(request)).await.map_err(refused)?.into_inner();
    let basis = answer.basis.context("the gateway sent no basis")?;
    write_basis(&output, &basis)?;
    let variances = basis.variances.context("the gateway sent no variances")?;
    let components: usize = variances.checked_shape("variances")?.iter().sum();
    say(&format!("{}  {components} components of {count} pictures", output.display()));
    Ok(())
}

/// The files themselves, and what is in the folders, in order of their names.
fn pictures(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in given {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let unreadable = || format!("{} can't be read", path.display());
        let entries = std::fs::read_dir(path).with_context(unreadable)?;
        let mut files = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .with_context(unreadable)?;
        files.retain(|file| is_picture(file));
        files.sort();
        if files.is_empty() {
            bail!("{} has no pictures (.png, .jpg or .webp)", path.display());
        }
        all.append(&mut files);
    }
    Ok(all)
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_their_pictures_in_order() {
        let folder = std::env::temp_dir().join(format!("unclip-pictures-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let empty = pictures(std::slice::from_ref(&folder)).unwrap_err().to_string();
        for name in ["b.PNG", "a.webp", "c.txt"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let found = pictures(&[PathBuf::from("x.png"), folder.clone()]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.unwrap(), [PathBuf::from("x.png"), folder.join("a.webp"), folder.join("b.PNG")]);
        assert!(empty.ends_with("has no pictures (.png, .jpg or .webp)"), "{empty}");
    }
}
