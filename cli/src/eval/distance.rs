//! How far generated pictures are from real ones: as a distribution, and each from its nearest.

use tch::Tensor;
use unclip_training::eval::{
    Neighbour, centred, frechet_distance, nearest_by_cosine, nearest_by_pixels, resize,
};

use super::bench::Bench;
use super::picture::{stack, unstack};
use super::pipeline::Drawn;
use super::report::Section;

/// Side at which pixels are compared.
const SIDE: usize = 32;

/// Root mean squared difference, in parts of a pixel's range, below which a picture counts as a copy.
const COPY: f64 = 0.06;

/// Fréchet distances between features of the judge.
pub(super) fn frechet(bench: &Bench, drawn: &[Drawn]) -> anyhow::Result<Section> {
    let generated = bench.judge.features(&stack(drawn.iter().map(|one| &one.picture))?)?;
    let held_out = bench.judge.features(&bench.held_out.pictures)?;
    let train = bench.judge.features(&bench.train.pictures)?;
    let (own, other) = halves(&train, held_out.size()[0])?;
    let (few, many) = (bench.held_out.len(), bench.train.len());
    let mut section = Section::new(
        "Fréchet distance",
        format!(
            "In the judge's features ({} of them): {few} generated, {few} held-out and {many} training pictures. So few pictures make every distance large: compare rows, not with other work.",
            train.size()[1]
        ),
    );
    section.number("generated, real held-out", frechet_distance(&generated, &held_out)?, few);
    section.number("generated, training", frechet_distance(&generated, &train)?, few);
    section.number("real held-out, training", frechet_distance(&held_out, &train)?, few);
    section.number(
        "as many training pictures, the other training pictures",
        frechet_distance(&own, &other)?,
        few,
    );
    Ok(section)
}

/// Up to `count` rows spread over all, and the others.
fn halves(rows: &Tensor, count: i64) -> anyhow::Result<(Tensor, Tensor)> {
    let step = (rows.size()[0] / count.max(1)).max(2);
    let (own, other): (Vec<i64>, Vec<i64>) =
        (0..rows.size()[0]).partition(|row| row % step == 0 && row / step < count);
    let pick =
        |rows_of: &[i64]| Ok::<_, anyhow::Error>(rows.f_index_select(0, &Tensor::f_from_slice(rows_of)?)?);
    Ok((pick(&own)?, pick(&other)?))
}

/// The nearest training picture of each generated one, and for comparison of each real held-out one.
pub(super) fn nearest(bench: &Bench, drawn: &[Drawn]) -> anyhow::Result<Section> {
    let generated = stack(drawn.iter().map(|one| &one.picture))?;
    let train_features = bench.judge.features(&bench.train.pictures)?;
    let train_pixels = resize(&bench.train.pictures, SIDE)?;
    let mut section = Section::new(
        "Nearest training pictures",
        format!(
            "Of {} training pictures. Pixels at {SIDE} px: root mean squared difference, 1 is the whole range; below {COPY} it is called a copy. Features of the judge, less their mean: cosine. The held-out pictures show how near a picture is that nobody copied.",
            bench.train.len()
        ),
    );
    let train_centred = centred(&train_features, &train_features)?;
    let mut found = Vec::new();
    for (name, pictures) in [("generated", &generated), ("real held-out", &bench.held_out.pictures)] {
        let by_pixels = nearest_by_pixels(&resize(pictures, SIDE)?, &train_pixels)?;
        let features = centred(&bench.judge.features(pictures)?, &train_features)?;
        let by_features = nearest_by_cosine(&features, &train_centred)?;
        let count = by_pixels.len();
        section.number(format!("{name}: pixel difference, mean"), mean(&by_pixels, |value| value), count);
        let copies = mean(&by_pixels, |value| f64::from(u8::from(value < COPY)));
        section.number(format!("{name}: share of copies by pixels"), copies, count);
        section.number(format!("{name}: feature cosine, mean"), mean(&by_features, |value| value), count);
        found.push((by_pixels, by_features));
    }
    let Some((by_pixels, by_features)) = found.first() else { return Ok(section) };
    let trained = unstack(&bench.train.pictures)?;
    let mut cells = Vec::new();
    let rows = drawn.iter().zip(&bench.held_out.captions).zip(by_pixels.iter().zip(by_features));
    for ((own, caption), (pixel, feature)) in rows.take(bench.limit(32)) {
        cells.push((&own.picture, caption.clone()));
        for (what, Neighbour { index, value }) in [("pixels", pixel), ("features", feature)] {
            if let Some(picture) = trained.get(*index) {
                cells.push((picture, format!("{what} {value:.2}")));
            }
        }
    }
    section.sheet(bench.sheet("nearest", 6, 256, cells)?);
    Ok(section)
}

#[expect(clippy::cast_precision_loss, reason = "samples are few")]
fn mean(neighbours: &[Neighbour], of: impl Fn(f64) -> f64) -> f64 {
    neighbours.iter().map(|neighbour| of(neighbour.value)).sum::<f64>() / neighbours.len() as f64
}
