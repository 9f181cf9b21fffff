//! The upsampler alone, on real pictures.

use std::path::Path;

use anyhow::Context as _;
use tch::{Kind, Tensor};
use unclip_training::eval::{Interval, PictureSet, bicubic, psnr, resize, seam_ratio, sharpness};

use super::Args;
use super::bench::{Bench, SEED, sampler_of_held_out};
use super::picture::{stack, unstack};
use super::pipeline::Drawn;
use super::report::Section;

/// Side of the crops that the upsampler is trained on (training/configs/*/upsampler.toml).
const CROP: usize = 32;

/// Held-out pictures of a store made small, upsampled and compared with themselves. `drawn` says how small and how large.
pub(super) async fn section(
    bench: &Bench,
    args: &Args,
    store: &Path,
    drawn: &[Drawn],
) -> anyhow::Result<Section> {
    let drawn = drawn.first().context("no picture was drawn")?;
    let set = PictureSet::new(&sampler_of_held_out(args, store)?, bench.limit(usize::MAX))?;
    let truth = resize(&set.pictures, drawn.picture.side)?;
    let small = resize(&truth, drawn.small.side)?;
    let upsampled = stack(&bench.pipeline.upsample("upsampler", &unstack(&small)?).await?)?;
    let plain = bicubic(&small, drawn.picture.side)?.clamp(-1.0, 1.0);
    let note = format!(
        "Real held-out pictures, {} to {} px. Feature distance: Euclidean, in the judge's features, to the true picture. Sharpness: mean gradient over the true picture's. Seams: gradient across multiples of {CROP} px, the side of training crops, over the gradient elsewhere, over the same of the true pictures.",
        drawn.small.side, drawn.picture.side
    );
    let mut section = Section::new("Upsampler against bicubic", note);
    let measures = |pictures: &Tensor| -> anyhow::Result<[Vec<f64>; 3]> {
        Ok([psnr(pictures, &truth)?, feature_distances(bench, pictures, &truth)?, sharper(pictures, &truth)?])
    };
    let (own, other) = (measures(&upsampled)?, measures(&plain)?);
    for (name, (own, other)) in
        ["PSNR, dB", "feature distance", "sharpness"].iter().zip(own.iter().zip(&other))
    {
        section.interval(format!("{name}, upsampler"), Interval::of_mean(SEED, own), set.len());
        section.interval(format!("{name}, bicubic"), Interval::of_mean(SEED, other), set.len());
        section.interval(format!("{name}, difference"), Interval::of_difference(SEED, own, other), set.len());
    }
    let seams =
        |pictures: &Tensor| -> anyhow::Result<f64> { Ok(seam_ratio(pictures, CROP)?.unwrap_or(f64::NAN)) };
    section.number("seams, upsampler", seams(&upsampled)? / seams(&truth)?, set.len());
    section.number("seams, bicubic", seams(&plain)? / seams(&truth)?, set.len());
    let (plain, upsampled, truth) = (unstack(&plain)?, unstack(&upsampled)?, unstack(&truth)?);
    let rows = set.captions.iter().zip(plain.iter().zip(upsampled.iter().zip(&truth))).take(bench.limit(24));
    let cells = rows.flat_map(|(caption, (plain, (upsampled, truth)))| {
        [
            (plain, format!("bicubic: {caption}")),
            (upsampled, "upsampled".to_owned()),
            (truth, "true".to_owned()),
        ]
    });
    section.sheet(bench.sheet("upsampler", 6, 256, cells)?);
    Ok(section)
}

fn feature_distances(bench: &Bench, pictures: &Tensor, truth: &Tensor) -> anyhow::Result<Vec<f64>> {
    let difference = bench.judge.features(pictures)? - bench.judge.features(truth)?;
    let squares = difference.square().sum_dim_intlist(1, false, Kind::Double);
    Ok(Vec::<f64>::try_from(&squares.sqrt())?)
}

fn sharper(pictures: &Tensor, truth: &Tensor) -> anyhow::Result<Vec<f64>> {
    Ok(sharpness(pictures)?
        .into_iter()
        .zip(sharpness(truth)?)
        .map(|(own, truth)| own / truth.max(1e-6))
        .collect())
}
