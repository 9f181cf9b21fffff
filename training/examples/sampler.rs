//! How fast one core makes batches, whether tints look like their word, and what the pictures look like:
//! `cargo run --release -p unclip-training --example sampler -- STORE [--kind tinted] [--sheet FILE]`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use unclip_training::data::{
    Augment, Batch, Colour, Sampler, Selection, Split, Store, Tints, contact_sheet, dominant_colour,
};

#[derive(Parser)]
struct Options {
    /// A store that `unclip train data` built.
    store: PathBuf,
    /// Side of the pictures; 0: the store's.
    #[arg(long, default_value_t = 0)]
    side: usize,
    /// Draw a contact sheet here instead of measuring.
    #[arg(long)]
    sheet: Option<PathBuf>,
    /// What to draw.
    #[arg(long, value_enum, default_value = "train")]
    kind: Kind,
    /// The sequence.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Pictures on the sheet.
    #[arg(long, default_value_t = 96)]
    count: usize,
    /// Only so many of the most common concepts.
    #[arg(long, default_value_t = 0)]
    concepts: usize,
    /// Only this style.
    #[arg(long)]
    style: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Train,
    HeldOut,
    Tinted,
    HeldOutTints,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let store = Arc::new(Store::open(&options.store)?);
    let (split, augment) = match options.kind {
        Kind::Train => (Split::Train, Augment::default()),
        Kind::HeldOut => (Split::HeldOut, Augment::none(0)),
        Kind::Tinted => (Split::Train, tinted(Tints::Train)),
        Kind::HeldOutTints => (Split::Train, tinted(Tints::HeldOut)),
    };
    let augment = Augment { side: options.side, ..augment };
    let selection =
        Selection { split, concepts: options.concepts, styles: options.style, ..Selection::default() };
    let sampler = Sampler::new(store, &selection, augment)?;
    match options.sheet {
        None => measure(&sampler),
        Some(path) => {
            let batch = sampler.batch(options.seed, 0, options.count);
            let zoom = (128 / batch.side).max(1);
            contact_sheet(&batch.images, batch.side, &batch.captions, 12, zoom).save(path)?;
            Ok(())
        }
    }
}

fn tinted(tints: Tints) -> Augment {
    Augment { tint: 1.0, tints, ..Augment::none(0) }
}

/// Batches of 64 for five seconds.
fn measure(sampler: &Sampler) -> anyhow::Result<()> {
    let mut batch = Batch::default();
    let start = Instant::now();
    let mut steps = 0;
    while start.elapsed() < Duration::from_secs(5) {
        sampler.batch_into(0, steps, 64, &mut batch);
        steps += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let batch = sampler.batch(0, 0, 4096);
    write_tints(&batch, 3 * sampler.side().pow(2))?;
    let rate = (steps * 64) as f64 / seconds;
    writeln!(std::io::stdout(), "{rate:.0} images a second of {} pixels on one core", sampler.side())?;
    Ok(())
}

/// Of the tinted pictures of each colour, how many have it as their dominant colour.
fn write_tints(batch: &Batch, pixels: usize) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for colour in Colour::ALL {
        let tinted =
            batch.images.chunks(pixels).zip(&batch.scenes).filter(|(_, scene)| scene.tint == Some(colour));
        let right = |(image, scene): &(&[f32], &unclip_training::data::Scene)| {
            dominant_colour(image, scene.background) == Some(colour)
        };
        let (total, right) = (tinted.clone().count(), tinted.filter(right).count());
        writeln!(out, "{:7} {right} of {total} tints look like it", colour.word())?;
    }
    Ok(())
}
