//! From a selection to items and the weights they are drawn with.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::DataError;
use super::options::{Augment, Selection};
use super::store::{ItemRef, Store};

/// Items of a store, and the running sum of their weights.
#[derive(Debug, Clone)]
pub(super) struct Selected {
    pub(super) items: Vec<usize>,
    sums: Vec<f64>,
}

impl Selected {
    /// # Errors
    /// [`DataError::Options`] if a name is unknown, [`DataError::Nothing`] if nothing is left.
    pub(super) fn new(store: &Store, selection: &Selection, augment: &Augment) -> Result<Self, DataError> {
        check_names(store, selection)?;
        let things = selection.things.as_deref().map(|path| read_things(store, path)).transpose()?;
        let admitted = |item: &ItemRef<'_>| {
            admits(selection, item)
                && things.as_ref().is_none_or(|things| things.contains(&item.concept.label))
        };
        let concepts = common_concepts(store, selection, admitted);
        let chosen = |item: &ItemRef<'_>| {
            item.entry.split == selection.split
                && admitted(item)
                && concepts.as_ref().is_none_or(|concepts| concepts.contains(&item.concept_id))
        };
        let items: Vec<usize> = store.items().filter(chosen).map(|item| item.index).collect();
        let sums = sums(store, &items, augment);
        if sums.last().is_none_or(|sum| *sum <= 0.0) {
            let selection = format!("{selection:?}");
            return Err(DataError::Nothing { path: store.path().to_path_buf(), selection });
        }
        Ok(Self { items, sums })
    }

    /// The item at `unit`, 0..1, of the sum of weights.
    pub(super) fn at(&self, unit: f64) -> usize {
        let sum = unit * self.sums.last().copied().unwrap_or_default();
        let place = self.sums.partition_point(|own| *own <= sum);
        self.items.get(place).or(self.items.last()).copied().unwrap_or_default()
    }
}

fn admits(selection: &Selection, item: &ItemRef<'_>) -> bool {
    let among = |names: &[String], name: &str| names.is_empty() || names.iter().any(|own| own == name);
    among(&selection.styles, &item.style.name)
        && among(&selection.groups, &item.concept.group)
        && (selection.skin_tones || !item.entry.skin_tone)
        && (selection.flags || !item.entry.flag)
}

/// The most common concepts of both splits, so that evaluation asks for what training has seen.
fn common_concepts(
    store: &Store,
    selection: &Selection,
    admitted: impl Fn(&ItemRef<'_>) -> bool,
) -> Option<BTreeSet<usize>> {
    if selection.concepts == 0 {
        return None;
    }
    let admitted = store.items().filter(admitted);
    let ranked: BTreeSet<(u32, usize)> = admitted.map(|item| (item.concept.rank, item.concept_id)).collect();
    Some(ranked.into_iter().take(selection.concepts).map(|(_, concept)| concept).collect())
}

/// The labels of a file; one that no concept of the store has is an error, since it is a slip of the pen.
fn read_things(store: &Store, path: &Path) -> Result<BTreeSet<String>, DataError> {
    let text = std::fs::read_to_string(path).map_err(DataError::io(path))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let known: BTreeSet<&str> = store.concepts().iter().map(|concept| concept.label.as_str()).collect();
    let unknown = |thing: &str| {
        let reason = format!("{}: no concept of the store is labelled {thing:?}", path.display());
        DataError::Options(reason)
    };
    lines.map(|thing| known.get(thing).map(|_| thing.to_owned()).ok_or_else(|| unknown(thing))).collect()
}

fn check_names(store: &Store, selection: &Selection) -> Result<(), DataError> {
    let styles: BTreeSet<&str> = store.styles().iter().map(|style| style.name.as_str()).collect();
    let groups: BTreeSet<&str> = store.concepts().iter().map(|concept| concept.group.as_str()).collect();
    for (field, names, known) in
        [("styles", &selection.styles, styles), ("groups", &selection.groups, groups)]
    {
        if let Some(name) = names.iter().find(|name| !known.contains(name.as_str())) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(DataError::Options(format!(
                "{field}: {name:?} is not in the store, which has {known}"
            )));
        }
    }
    Ok(())
}

/// All skin tones of one person in one style share one weight.
fn sums(store: &Store, items: &[usize], augment: &Augment) -> Vec<f64> {
    let mut tones = HashMap::<(usize, usize), f64>::new();
    let refs = || items.iter().filter_map(|index| store.item(*index));
    for item in refs().filter(|item| item.entry.skin_tone) {
        *tones.entry((item.concept_id, item.style_id)).or_default() += 1.0;
    }
    let weight = |item: ItemRef<'_>| match tones.get(&(item.concept_id, item.style_id)) {
        Some(count) if item.entry.skin_tone => f64::from(augment.skin_tone_weight) / count,
        _ if item.entry.flag => f64::from(augment.flag_weight),
        _ => 1.0,
    };
    let running = |sum: &mut f64, weight: f64| {
        *sum += weight;
        Some(*sum)
    };
    refs().map(weight).scan(0.0, running).collect()
}
