//! What every section needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use unclip_bundle::Manifest;
use unclip_models::Placement;
use unclip_proto::v1::{ImageFormat, Stage};
use unclip_training::data::{Augment, Sampler, Selection, Split, Store};
use unclip_training::eval::PictureSet;
use unclip_training::judge::Judge;
use unclip_training::run::Sheet;

use super::Args;
use super::picture::Picture;
use super::pipeline::{Drawn, Pipeline, Shot};
use crate::drawing::picture_file;
use crate::output::{stage_name, write};

/// Seed of everything that is drawn at random here.
pub(super) const SEED: u64 = 20_240_607;

/// The bundle at work, the judge, and real pictures.
pub(super) struct Bench {
    pub(super) pipeline: Pipeline,
    pub(super) judge: Judge,
    /// Over what the bundle was trained on, without variation.
    pub(super) sampler: Sampler,
    /// Pictures that no training saw, of the bundle's concepts and styles.
    pub(super) held_out: PictureSet,
    /// Pictures that the bundle was trained on.
    pub(super) train: PictureSet,
    /// Some of them: many more captions than are held out.
    pub(super) seen: PictureSet,
    /// Pictures that no training saw, of any concept.
    pub(super) unseen: PictureSet,
    quick: bool,
    out: PathBuf,
}

impl Bench {
    pub(super) async fn open(args: &Args) -> anyhow::Result<Self> {
        let judge =
            Judge::open(&args.judge, Placement::parse(&args.device.device, "f32")?).with_context(|| {
                format!("--judge: {} is no run of `unclip train judge`", args.judge.display())
            })?;
        std::fs::create_dir_all(&args.out).with_context(|| format!("--out: {}", args.out.display()))?;
        let sampler = sampler(args, &args.store, Split::Train, args.things.as_deref())?;
        let held_out = sampler_of_held_out(args, &args.store)?;
        let unseen = self::sampler(args, &args.store, Split::HeldOut, None)?;
        let most = if args.quick { QUICK } else { usize::MAX };
        Ok(Self {
            pipeline: Pipeline::start(args).await?,
            judge,
            train: PictureSet::new(&sampler, if args.quick { 8 * QUICK } else { usize::MAX })?,
            held_out: PictureSet::new(&held_out, most)?,
            seen: PictureSet::new(&sampler, most.min(SEEN))?,
            unseen: PictureSet::new(&unseen, most.min(UNSEEN))?,
            sampler,
            quick: args.quick,
            out: args.out.clone(),
        })
    }

    /// So many, or a few where `--quick` asks for it.
    pub(super) fn limit(&self, full: usize) -> usize {
        if self.quick { full.min(QUICK) } else { full }
    }

    /// Writes a sheet of labelled pictures, about `cell` pixels wide each, and says its name.
    pub(super) fn sheet<'a>(
        &self,
        name: &str,
        columns: usize,
        cell: u32,
        cells: impl IntoIterator<Item = (&'a Picture, String)>,
    ) -> anyhow::Result<String> {
        let mut sheet = Sheet::new(columns, cell);
        for (picture, text) in cells {
            sheet.push(&picture.values, picture.side, &text);
        }
        let file = format!("{name}.png");
        let path = self.out.join(&file);
        write(&path, &picture_file(sheet.draw().into(), ImageFormat::Png)?)?;
        Ok(file)
    }

    /// What was measured, as lines for the report's head.
    pub(super) fn facts(&self, args: &Args, drawn: &[Drawn]) -> anyhow::Result<Vec<(String, String)>> {
        let mut facts = vec![("command".to_owned(), std::env::args().collect::<Vec<_>>().join(" "))];
        for (stage, record) in Manifest::read(&args.bundle)?.stages {
            facts.push((format!("{stage} fingerprint"), record.fingerprint));
        }
        facts.push(("store fingerprint".to_owned(), self.sampler.store().fingerprint()));
        for receipt in drawn.first().map(|drawn| drawn.receipt.stages.clone()).unwrap_or_default() {
            let mut text = receipt.dtype.clone();
            if receipt.stage() != Stage::TextEncoder {
                text += &format!(", {} steps, guidance {}", receipt.steps, receipt.guidance_scale);
            }
            facts.push((stage_name(receipt.stage()).to_owned(), text));
        }
        let pictures = format!("{} held-out, {} training", self.held_out.len(), self.train.len());
        facts.push(("real pictures".to_owned(), pictures));
        Ok(facts)
    }
}

/// Pictures of one kind with `--quick`.
const QUICK: usize = 2;

/// Captions that were trained on.
const SEEN: usize = 200;

/// Pictures of any concept.
const UNSEEN: usize = 50;

/// A shot per caption.
pub(super) fn shots(set: &PictureSet) -> Vec<Shot> {
    set.captions.iter().zip(SEED..).map(|(caption, seed)| Shot::new(caption, seed)).collect()
}

fn sampler(args: &Args, store: &Path, split: Split, things: Option<&Path>) -> anyhow::Result<Sampler> {
    let store = Arc::new(Store::open(store)?);
    let selection = Selection {
        split,
        styles: args.styles.clone(),
        things: things.map(Path::to_path_buf),
        skin_tones: false,
        ..Selection::default()
    };
    let side = store.side();
    Ok(Sampler::new(store, &selection, Augment::none(side))?)
}

/// A sampler over the held-out pictures of a store.
pub(super) fn sampler_of_held_out(args: &Args, store: &Path) -> anyhow::Result<Sampler> {
    sampler(args, store, Split::HeldOut, args.things.as_deref())
}
