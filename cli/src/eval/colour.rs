//! Whether things have the colour that was asked for.

use unclip_training::eval::{ColourCounts, ColourTask, Interval, colour_tasks, resize};

use super::bench::{Bench, SEED};
use super::picture::{Picture, stack, unstack};
use super::pipeline::Shot;
use super::report::Section;

/// Pairs of colour and thing that training may see, and that it never does.
const SEEN: usize = 60;
const HELD_OUT: usize = 40;

/// Asks for "a colour thing" and counts pixels.
pub(super) async fn section(bench: &Bench) -> anyhow::Result<Section> {
    let tasks = colour_tasks(&bench.sampler, SEED, bench.limit(SEEN), bench.limit(HELD_OUT));
    let note = "\"a <colour> <thing>\". Right: of the pixels that are not the white background (and, unless black is asked for, not black), most or a third look like the colour. The same rule on real pictures tells how far to trust it: those tinted so should pass, those as they are should not.";
    let mut section = Section::new("Colours", note);
    if tasks.is_empty() {
        return Ok(section);
    }
    let shots = tasks.iter().zip(SEED..).map(|(task, seed)| Shot::new(&task.prompt(), seed)).collect();
    let drawn = bench.pipeline.draw("colours", shots).await?;
    let side = bench.sampler.side();
    let drawn = unstack(&resize(&stack(drawn.iter().map(|one| &one.picture))?, side)?)?;
    let real =
        |tinted| tasks.iter().map(move |task| Picture { side, values: task.real(&bench.sampler, tinted) });
    let (tinted, plain): (Vec<_>, Vec<_>) = (real(true).collect(), real(false).collect());
    for (held_out, name) in [(false, "seen pairs"), (true, "held-out pairs")] {
        for (kind, pictures) in
            [("generated", &drawn), ("real, tinted", &tinted), ("real, as they are", &plain)]
        {
            let right = right(&tasks, pictures, held_out);
            if !right.is_empty() {
                section.interval(format!("{name}, {kind}"), Interval::of_mean(SEED, &right), right.len());
            }
        }
    }
    let pairs = tasks.iter().zip(drawn.iter().zip(&tinted));
    let cells = pairs.flat_map(|(task, (own, real))| {
        let mark = if ColourCounts::on_white(&own.values).is(task.colour) { "+" } else { "-" };
        [(own, format!("{mark} {}", task.prompt())), (real, String::new())]
    });
    section.sheet(bench.sheet("colours", 12, 128, cells)?);
    Ok(section)
}

fn right(tasks: &[ColourTask], pictures: &[Picture], held_out: bool) -> Vec<f64> {
    let own = tasks.iter().zip(pictures).filter(|(task, _)| task.held_out == held_out);
    own.map(|(task, picture)| f64::from(u8::from(ColourCounts::on_white(&picture.values).is(task.colour))))
        .collect()
}
