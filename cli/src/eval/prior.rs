//! What the prior is good for (arXiv 2204.06125, sections 2.2 and 5.1).

use unclip_proto::v1::PriorMode;
use unclip_training::eval::{Interval, PictureSet, paired_cosines, ranks, within};

use super::bench::{Bench, SEED, shots};
use super::picture::{matrix, stack, unstack};
use super::pipeline::{Drawn, Shot};
use super::report::Section;

/// Captions, their real pictures, and what was drawn of them with the prior.
pub(super) struct Subject<'a> {
    /// "held-out captions" or "captions of the training".
    pub(super) name: &'a str,
    pub(super) set: &'a PictureSet,
    pub(super) drawn: &'a [Drawn],
}

/// What the judge says of pictures of a subject's captions.
struct Verdict {
    /// 1 where the caption's concept is among the first five.
    hits: Vec<f64>,
    /// Of picture and caption.
    cosines: Vec<f64>,
}

fn verdict(bench: &Bench, set: &PictureSet, drawn: &[Drawn]) -> anyhow::Result<Verdict> {
    let texts = bench.judge.texts(&set.captions)?;
    let pictures = bench.judge.pictures(&stack(drawn.iter().map(|one| &one.picture))?)?;
    let hits = within(&ranks(&pictures, &texts, &set.concepts)?, 5);
    Ok(Verdict { hits, cosines: paired_cosines(&pictures, &texts)? })
}

/// The prior against the text embedding in its place, and against the caption alone.
pub(super) async fn modes(bench: &Bench, subject: &Subject<'_>) -> anyhow::Result<Section> {
    let Subject { name: captions, set, drawn: full } = *subject;
    let note = "The same captions and seeds. Text embedding: it takes the image embedding's place. Caption only: the decoder sees no embedding.";
    let mut section = Section::new(&format!("Prior against no prior, {captions}"), note);
    let own = verdict(bench, set, full)?;
    let count = full.len();
    section.interval("prior: R@5", Interval::of_mean(SEED, &own.hits), count);
    section.interval("prior: judge cosine", Interval::of_mean(SEED, &own.cosines), count);
    for (mode, name) in
        [(PriorMode::TextEmbedding, "text embedding"), (PriorMode::CaptionOnly, "caption only")]
    {
        let shots = shots(set).into_iter().map(|shot| Shot { mode, ..shot }).collect();
        let other = verdict(bench, set, &bench.pipeline.draw(name, shots).await?)?;
        section.interval(format!("{name}: R@5"), Interval::of_mean(SEED, &other.hits), count);
        section.interval(format!("{name}: judge cosine"), Interval::of_mean(SEED, &other.cosines), count);
        let difference = Interval::of_difference(SEED, &own.hits, &other.hits);
        section.interval(format!("prior less {name}: R@5"), difference, count);
        let difference = Interval::of_difference(SEED, &own.cosines, &other.cosines);
        section.interval(format!("prior less {name}: judge cosine"), difference, count);
    }
    Ok(section)
}

/// How near prior samples come to the embeddings of the real pictures, against text embeddings.
pub(super) async fn embeddings(bench: &Bench, subject: &Subject<'_>) -> anyhow::Result<Section> {
    let Subject { name, set, drawn } = *subject;
    let title = format!("Prior samples, {name}");
    let Some(real) = bench.pipeline.embed(&unstack(&set.pictures)?).await? else {
        return Ok(Section::new(&title, "The bundle has no image encoder."));
    };
    let note = "Cosine with the real picture's embedding, in the bundle's own CLIP.";
    let mut section = Section::new(&title, note);
    let real = matrix(&real)?;
    let sampled = paired_cosines(&matrix(drawn.iter().map(|one| &one.image))?, &real)?;
    let texts = paired_cosines(&matrix(drawn.iter().map(|one| &one.text))?, &real)?;
    section.interval("prior sample", Interval::of_mean(SEED, &sampled), drawn.len());
    section.interval("text embedding", Interval::of_mean(SEED, &texts), drawn.len());
    section.interval(
        "prior sample less text embedding",
        Interval::of_difference(SEED, &sampled, &texts),
        drawn.len(),
    );
    Ok(section)
}

/// The better of two prior samples against the first one.
pub(super) async fn candidates(bench: &Bench, subject: &Subject<'_>) -> anyhow::Result<Section> {
    let Subject { name, set, drawn: one } = *subject;
    let note = "Two prior samples, of which the one with the larger dot product with the text embedding is decoded, less one sample; the same captions and seeds.";
    let mut section = Section::new(&format!("Two candidates against one, {name}"), note);
    let shots = shots(set).into_iter().map(|shot| Shot { candidates: Some(2), ..shot }).collect();
    let two = bench.pipeline.draw("two candidates", shots).await?;
    let count = two.len();
    let dots = |drawn: &[Drawn]| -> Vec<f64> { drawn.iter().map(dot).collect() };
    let row = Interval::of_difference(SEED, &dots(&two), &dots(one));
    section.interval("dot product with the text embedding", row, count);
    if let Some(real) = bench.pipeline.embed(&unstack(&set.pictures)?).await? {
        let real = matrix(&real)?;
        let near = |drawn: &[Drawn]| -> anyhow::Result<_> {
            Ok(paired_cosines(&matrix(drawn.iter().map(|one| &one.image))?, &real)?)
        };
        let row = Interval::of_difference(SEED, &near(&two)?, &near(one)?);
        section.interval("cosine with the real picture's embedding", row, count);
    }
    let (two, one) = (verdict(bench, set, &two)?, verdict(bench, set, one)?);
    section.interval("judge cosine", Interval::of_difference(SEED, &two.cosines, &one.cosines), count);
    section.interval("R@5", Interval::of_difference(SEED, &two.hits, &one.hits), count);
    Ok(section)
}

/// Of the image and the text embedding.
fn dot(drawn: &Drawn) -> f64 {
    drawn.image.iter().zip(&drawn.text).map(|(image, text)| f64::from(*image) * f64::from(*text)).sum()
}
