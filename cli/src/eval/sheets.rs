//! Pictures for people to look at.

use unclip_proto::v1::PriorMode;

use super::bench::Bench;
use super::pipeline::Shot;
use super::report::Section;

const COMMON: &str = include_str!("../../../training/eval/common.txt");
const NOVEL: &str = include_str!("../../../training/eval/novel.txt");

const MODES: [(PriorMode, &str); 3] = [
    (PriorMode::Full, "prior"),
    (PriorMode::TextEmbedding, "text embedding"),
    (PriorMode::CaptionOnly, "caption only"),
];
const SCALES: [f32; 5] = [1.0, 2.0, 3.0, 5.0, 8.0];

fn prompts(text: &str, limit: usize) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).take(limit)
}

/// Draws all sheets.
pub(super) async fn section(bench: &Bench) -> anyhow::Result<Section> {
    let note = "Prompts of training/eval, not chosen by their pictures; picture n has the seed n. Common: things in training. Novel: pairs and scenes that training never shows. Modes: with the prior, with the text embedding in its place, with the caption alone. Guidance: the decoder's scale, 1 to 8.";
    let mut section = Section::new("Sheets", note);
    for (name, text, count) in [("common", COMMON, 48), ("novel", NOVEL, 24)] {
        let shots: Vec<_> = prompts(text, bench.limit(count))
            .zip(0..)
            .map(|(prompt, seed)| Shot::new(prompt, seed))
            .collect();
        section.sheet(draw(bench, name, 6, shots, |shot| shot.prompt.clone()).await?);
    }
    let mixed = |each: usize| {
        let each = bench.limit(each);
        prompts(COMMON, each)
            .chain(prompts(NOVEL, each))
            .zip(0..)
            .map(|(prompt, seed)| Shot::new(prompt, seed))
    };
    let modes = mixed(4).flat_map(|shot| MODES.map(|(mode, _)| Shot { mode, ..shot.clone() })).collect();
    let name_of =
        |shot: &Shot| MODES.iter().find(|(mode, _)| *mode == shot.mode).map_or("", |(_, name)| name);
    let label = |shot: &Shot| format!("{}: {}", name_of(shot), shot.prompt);
    section.sheet(draw(bench, "modes", 6, modes, label).await?);
    let scales = mixed(3)
        .flat_map(|shot| SCALES.map(|scale| Shot { guidance: Some(scale), ..shot.clone() }))
        .collect();
    let label = |shot: &Shot| format!("{}: {}", shot.guidance.unwrap_or_default(), shot.prompt);
    section.sheet(draw(bench, "guidance", 5, scales, label).await?);
    Ok(section)
}

async fn draw(
    bench: &Bench,
    name: &str,
    columns: usize,
    shots: Vec<Shot>,
    label: impl Fn(&Shot) -> String,
) -> anyhow::Result<String> {
    let labels: Vec<String> = shots.iter().map(label).collect();
    let drawn = bench.pipeline.draw(name, shots).await?;
    bench.sheet(name, columns, 256, drawn.iter().map(|one| &one.picture).zip(labels))
}
