//! Building a store: sources are drawn on all threads and written in order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::DataError;
use super::raster::draw;
use super::source::{Meaning, Picture, Source};
use super::split;
use super::store::{Concept, Index, IndexItem, Split, StoreWriter};

/// Pictures drawn at a time; each side-64 chunk is 4 MiB.
const CHUNK: usize = 256;
/// A picture of which at least this part is transparent shows its background.
const CUTOUT: f64 = 0.005;

/// What a store came to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildReport {
    /// Pictures per style, in the order of the sources.
    pub styles: Vec<StyleReport>,
    /// Concepts, all skin tones of one being one.
    pub concepts: usize,
    /// Pictures that are held out.
    pub held_out: usize,
}

/// What became of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StyleReport {
    /// Its name.
    pub name: String,
    /// Pictures in the store.
    pub pictures: usize,
    /// Of these, with a skin tone.
    pub skin_tones: usize,
    /// Pictures that no caption was found for.
    pub unmatched: usize,
    /// Pictures that could not be drawn, with the reason.
    pub failed: Vec<String>,
}

/// Draws all pictures of `sources` at `side` pixels into a store at `path`, and calls `progress` with the number of
/// pictures done.
///
/// # Errors
/// [`DataError::Io`] if the store cannot be written; [`DataError::Options`] if nothing could be drawn or the side is out
/// of range. A single picture that cannot be drawn is left out and reported.
pub fn build(
    sources: &[Source],
    side: u32,
    threads: usize,
    path: &Path,
    progress: impl Fn(usize),
) -> Result<BuildReport, DataError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| DataError::Options(format!("{threads} threads: {error}")))?;
    let mut writer = StoreWriter::create(path, side)?;
    let mut builder = Builder::new(sources);
    for (style, source) in sources.iter().enumerate() {
        for pictures in source.pictures.chunks(CHUNK) {
            let drawn: Vec<_> =
                pool.install(|| pictures.par_iter().map(|picture| draw(picture, side)).collect());
            for (picture, drawn) in pictures.iter().zip(drawn) {
                match drawn {
                    Ok(rgba) => {
                        writer.push(&rgba)?;
                        builder.add(style, picture, &rgba);
                    }
                    Err(error) => builder.fail(style, &error),
                }
            }
            progress(pictures.len());
        }
    }
    let (index, report) = builder.finish()?;
    writer.finish(&index)?;
    Ok(report)
}

/// The index as it grows.
struct Builder {
    index: Index,
    meanings: Vec<Arc<Meaning>>,
    concepts: HashMap<String, usize>,
    report: BuildReport,
}

impl Builder {
    fn new(sources: &[Source]) -> Self {
        let styles = sources.iter().map(|source| StyleReport {
            name: source.style.name.clone(),
            unmatched: source.unmatched.len(),
            ..StyleReport::default()
        });
        let report = BuildReport { styles: styles.collect(), ..BuildReport::default() };
        let index =
            Index { styles: sources.iter().map(|source| source.style.clone()).collect(), ..Index::default() };
        Self { index, meanings: vec![], concepts: HashMap::new(), report }
    }

    fn add(&mut self, style: usize, picture: &Picture, rgba: &[u8]) {
        let concept = self.concept(&picture.meaning);
        self.index.items.push(IndexItem {
            style,
            concept,
            key: picture.key.clone(),
            label: picture.label.clone(),
            skin_tone: picture.skin_tone,
            flag: picture.meaning.flag,
            cutout: is_cutout(rgba),
            split: Split::Train,
        });
        if let Some(report) = self.report.styles.get_mut(style) {
            report.pictures += 1;
            report.skin_tones += usize::from(picture.skin_tone);
        }
    }

    fn fail(&mut self, style: usize, error: &DataError) {
        if let Some(report) = self.report.styles.get_mut(style) {
            report.failed.push(error.to_string());
        }
    }

    /// The id of a meaning, a new one the first time.
    fn concept(&mut self, meaning: &Arc<Meaning>) -> usize {
        let next = self.meanings.len();
        let concept = *self.concepts.entry(meaning.key.clone()).or_insert(next);
        if concept == next {
            self.meanings.push(meaning.clone());
        }
        concept
    }

    fn finish(mut self) -> Result<(Index, BuildReport), DataError> {
        if self.index.items.is_empty() {
            return Err(DataError::Options("none of the pictures could be drawn".into()));
        }
        let ranks = ranks(&self.meanings, &self.index.items);
        self.index.concepts =
            self.meanings.iter().zip(ranks).map(|(meaning, rank)| concept(meaning, rank)).collect();
        split::assign(&mut self.index);
        self.report.concepts = self.index.concepts.len();
        self.report.held_out = self.index.items.iter().filter(|item| item.split == Split::HeldOut).count();
        Ok((self.index, self.report))
    }
}

fn concept(meaning: &Meaning, rank: u32) -> Concept {
    Concept {
        key: meaning.key.clone(),
        label: meaning.label.clone(),
        names: meaning.names.clone(),
        tags: meaning.tags.clone(),
        group: meaning.group.clone(),
        subgroup: meaning.subgroup.clone(),
        rank,
    }
}

/// Concepts of more styles first, then older ones, then by hash, so that the first few hundred are of all groups.
fn ranks(meanings: &[Arc<Meaning>], items: &[IndexItem]) -> Vec<u32> {
    let mut styles = BTreeMap::<usize, BTreeSet<usize>>::new();
    for item in items {
        styles.entry(item.concept).or_default().insert(item.style);
    }
    let count = |concept: usize| styles.get(&concept).map_or(0, BTreeSet::len);
    let mut order: Vec<usize> = (0..meanings.len()).collect();
    order.sort_by_key(|concept| {
        let meaning = &meanings[*concept];
        (std::cmp::Reverse(count(*concept)), meaning.version, split::hash("rank", &[&meaning.key]))
    });
    let mut ranks = vec![0; meanings.len()];
    for (rank, concept) in (0..).zip(order) {
        ranks[concept] = rank;
    }
    ranks
}

fn is_cutout(rgba: &[u8]) -> bool {
    let clear = rgba.chunks_exact(4).filter(|pixel| pixel[3] < 128).count();
    clear as f64 >= CUTOUT * (rgba.len() / 4) as f64
}
