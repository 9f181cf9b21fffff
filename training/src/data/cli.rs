//! The command `unclip train data`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::attribution::attribution_text;
use super::build::{BuildReport, build};
use super::sheet::contact_sheet;
use super::source::{EMOJI_SETS, Source, add_names, attributions, read_emoji_sets, read_folder};
use super::{Augment, Sampler, Selection, Store};

/// Build a training store from emoji sets, or from folders of images with captions.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// Emoji sets to take, by package name without scope. Without this and without --folder: all seven.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub sets: Vec<String>,

    /// Folder that the emoji packages are installed in (`npm ci` in training/data).
    #[arg(long, value_name = "DIR", default_value = "training/data/node_modules")]
    pub packages: PathBuf,

    /// Folder of images: photo.png beside photo.txt, or captions.jsonl with file_name and text. May be given often.
    #[arg(long, value_name = "DIR")]
    pub folder: Vec<PathBuf>,

    /// File of other names for things, as training/configs/names.txt: captions use them too.
    #[arg(long, value_name = "FILE")]
    pub names: Option<PathBuf>,

    /// Side of the pictures in pixels, 8 to 1024.
    #[arg(long, value_name = "PIXELS", default_value_t = 64)]
    pub side: u32,

    /// Where to write the store. Its attribution is written beside it, as NAME.attribution.md.
    #[arg(long, value_name = "FILE", default_value = "out/data/emoji-64.unclipds")]
    pub out: PathBuf,

    /// Threads that draw; by default one per core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// Also draw a contact sheet of augmented pictures with their captions, as PNG.
    #[arg(long, value_name = "FILE")]
    pub sheet: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Whatever keeps the sources from being read or the store from being written, naming the file.
pub fn run(args: &DataArgs) -> anyhow::Result<()> {
    let start = Instant::now();
    let sources = read(args)?;
    let bar = progress_bar(sources.iter().map(|source| source.pictures.len()).sum());
    let report = build(&sources, args.side, args.threads, &args.out, |done| bar.inc(done as u64))?;
    bar.finish_and_clear();
    write_attribution(&sources, &args.out)?;
    if let Some(path) = &args.sheet {
        write_sheet(&args.out, path)?;
    }
    print(&report, args, start.elapsed().as_secs_f64()).context("standard output")
}

fn read(args: &DataArgs) -> anyhow::Result<Vec<Source>> {
    let all = || EMOJI_SETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let sets = if args.sets.is_empty() && args.folder.is_empty() { all() } else { args.sets.clone() };
    let mut sources = if sets.is_empty() { vec![] } else { read_emoji_sets(&args.packages, &sets)? };
    for folder in &args.folder {
        sources.push(read_folder(folder)?);
    }
    if let Some(path) = &args.names {
        let unseen = add_names(&mut sources, path)?;
        if !unseen.is_empty() {
            tracing::warn!("{}: no picture shows {}", path.display(), unseen.join("; "));
        }
    }
    Ok(sources)
}

fn write_attribution(sources: &[Source], store: &Path) -> anyhow::Result<()> {
    let path = store.with_extension("attribution.md");
    fs::write(&path, attribution_text(&attributions(sources))).with_context(|| path.display().to_string())
}

/// 96 draws of training, as the trainers will see them.
fn write_sheet(store: &Path, path: &Path) -> anyhow::Result<()> {
    let sampler = Sampler::new(Arc::new(Store::open(store)?), &Selection::default(), Augment::default())?;
    let batch = sampler.batch(0, 0, 96);
    let zoom = (128 / batch.side).max(1);
    let sheet = contact_sheet(&batch.images, batch.side, &batch.captions, 12, zoom);
    sheet.save(path).with_context(|| path.display().to_string())
}

fn progress_bar(total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} pictures, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn print(report: &BuildReport, args: &DataArgs, seconds: f64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for style in &report.styles {
        let (pictures, tones, unmatched) = (style.pictures, style.skin_tones, style.unmatched);
        write!(out, "{:20} {pictures:5} pictures, {tones} of them skin tones", style.name)?;
        writeln!(out, "; {unmatched} without a caption, {} not drawn", style.failed.len())?;
        for reason in &style.failed {
            writeln!(out, "  {reason}")?;
        }
    }
    let pictures: usize = report.styles.iter().map(|style| style.pictures).sum();
    let (concepts, held_out) = (report.concepts, report.held_out);
    writeln!(out, "{pictures} pictures of {concepts} concepts, {held_out} held out, {seconds:.0} s")?;
    writeln!(out, "{} and its attribution beside it", args.out.display())
}
