//! Whether a picture is told by its caption.

use unclip_training::eval::{Interval, ranks, within};

use super::bench::{Bench, SEED, shots};
use super::picture::{stack, unstack};
use super::pipeline::Drawn;
use super::report::Section;

/// Draws a picture of every held-out caption and looks up captions by them, and by the real pictures.
pub(super) async fn section(bench: &Bench) -> anyhow::Result<(Vec<Drawn>, Section)> {
    let drawn = bench.pipeline.draw("held-out captions", shots(&bench.held_out)).await?;
    let set = &bench.held_out;
    let texts = bench.judge.texts(&set.captions)?;
    let pictures = bench.judge.pictures(&stack(drawn.iter().map(|one| &one.picture))?)?;
    let generated = ranks(&pictures, &texts, &set.concepts)?;
    let real = ranks(&bench.judge.pictures(&set.pictures)?, &texts, &set.concepts)?;
    let answers = set.concepts.iter().collect::<std::collections::BTreeSet<_>>().len();
    let mut section = Section::new(
        "Captions",
        format!(
            "A picture per held-out (concept, style); the judge ranks {answers} concepts by the cosine of picture and caption. R@k: the own concept is among the first k."
        ),
    );
    for k in [1, 5, 10] {
        let (own, reference) = (within(&generated, k), within(&real, k));
        section.interval(format!("R@{k}, generated"), Interval::of_mean(SEED, &own), own.len());
        section.interval(format!("R@{k}, real"), Interval::of_mean(SEED, &reference), own.len());
        section.interval(
            format!("R@{k}, generated / real"),
            Interval::of_ratio(SEED, &own, &reference),
            own.len(),
        );
        #[expect(clippy::cast_precision_loss, reason = "concepts are few")]
        section.number(format!("R@{k}, by chance"), (k as f64 / answers as f64).min(1.0), own.len());
    }
    let reals = unstack(&set.pictures)?;
    let pairs = reals.iter().zip(&drawn).zip(&set.captions).take(bench.limit(48));
    let cells =
        pairs.flat_map(|((real, own), caption)| [(&own.picture, caption.clone()), (real, String::new())]);
    section.sheet(bench.sheet("held-out", 8, 128, cells)?);
    Ok((drawn, section))
}
