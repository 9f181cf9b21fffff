//! Which of a checkpoint's weights were taken.

use std::collections::BTreeMap;

use anyhow::bail;
use unclip_bundle::{Bundle, Component, Stage};

/// A line for every variant that was taken or left, with the parts that have it.
///
/// # Errors
/// A variant that was asked for and that no part has.
pub(super) fn weights(bundle: &Bundle) -> anyhow::Result<Vec<String>> {
    let (mut taken, mut left) = (BTreeMap::new(), BTreeMap::new());
    for component in parts(bundle) {
        let files = bundle.weight_files(component)?;
        taken.entry(files.variant).or_insert_with(Vec::new).push(component.folder());
        for other in files.others {
            left.entry(other).or_insert_with(Vec::new).push(component.folder());
        }
    }
    if let Some(asked) = bundle.variant()
        && !taken.contains_key(&Some(asked.to_owned()))
    {
        bail!("--variant: {asked} is the variant of no weights in {}", bundle.root().display());
    }
    let only_plain = taken.len() == 1 && taken.contains_key(&None);
    let taken = taken.into_iter().filter(|_| !only_plain).map(|(variant, parts)| {
        let variant =
            variant.map_or("without a variant".to_owned(), |variant| format!("of the variant {variant}"));
        format!("weights {variant}: {}", parts.join(", "))
    });
    let left = left.into_iter().map(|(variant, parts)| {
        format!(
            "weights of the variant {variant} were left aside: {}; --variant {variant} takes them",
            parts.join(", ")
        )
    });
    Ok(taken.chain(left).collect())
}

fn parts(bundle: &Bundle) -> impl Iterator<Item = Component> {
    let stages = Stage::ALL.into_iter().filter(|stage| bundle.has_stage(*stage));
    stages.flat_map(Stage::components).copied().filter(|component| component.has_weights())
}
