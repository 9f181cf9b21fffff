//! Which files hold a component's weights: one file or shards, with or without a variant in their names.
//!
//! diffusers and transformers write a variant such as `fp16` before the last ending: `model.fp16.safetensors`, and
//! `model.safetensors.index.fp16.json` for the list of its shards.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::BundleError;

/// The files of one variant of a component's weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightFiles {
    /// The variant in their names.
    pub variant: Option<String>,
    /// The file that errors name: the single file, or the list of shards.
    pub main: PathBuf,
    /// The safetensors files, sorted.
    pub paths: Vec<PathBuf>,
    /// Other variants that lie beside them, sorted.
    pub others: Vec<String>,
}

/// Names of one variant in a folder.
#[derive(Default)]
struct Names {
    single: Option<String>,
    index: Option<String>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl WeightFiles {
    /// Finds the weights that are called `stem` in `folder`: those of the variant that was `asked` for, else those without
    /// one, as diffusers does; and where nothing was asked and none is without, the only variant there is.
    ///
    /// # Errors
    /// No weights, pickled ones only, shards that are not there, or several variants to choose from.
    pub fn find(folder: &Path, stem: &str, asked: Option<&str>) -> Result<Self, BundleError> {
        let mut found = list(folder, stem)?;
        let variant = choose(&found, folder, asked)?.ok_or_else(|| missing(folder, stem))?;
        let names = found.remove(&variant).unwrap_or_default();
        let (main, paths) = match (names.single, names.index) {
            (Some(single), _) => (folder.join(&single), vec![folder.join(single)]),
            (None, Some(index)) => {
                let index = folder.join(index);
                let paths = shards(folder, &index)?;
                (index, paths)
            }
            (None, None) => return Err(missing(folder, stem)),
        };
        Ok(Self { variant, main, paths, others: found.into_keys().flatten().collect() })
    }
}

/// Whether a file's name is one that weights, or lists of their shards, have.
pub(crate) fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") || name.contains(".safetensors.index.")
}

fn list(folder: &Path, stem: &str) -> Result<BTreeMap<Option<String>, Names>, BundleError> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => {
            BundleError::missing(folder, "complete the download of the checkpoint")
        }
        _ => BundleError::Io { path: folder.to_path_buf(), source },
    };
    let mut found: BTreeMap<Option<String>, Names> = BTreeMap::new();
    for entry in folder.read_dir().map_err(io)? {
        let Ok(name) = entry.map_err(io)?.file_name().into_string() else { continue };
        let Some((variant, is_index)) = name.strip_prefix(stem).and_then(parse) else { continue };
        let names = found.entry(variant).or_default();
        *(if is_index { &mut names.index } else { &mut names.single }) = Some(name);
    }
    Ok(found)
}

/// Variant of a name without its stem, and whether it is a list of shards.
fn parse(rest: &str) -> Option<(Option<String>, bool)> {
    const FILE: &str = ".safetensors";
    const INDEX: &str = ".safetensors.index";
    let variant = |text: &str| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        let name = text.strip_prefix('.')?;
        let shard = name.contains("-of-");
        (!name.is_empty() && name.chars().all(plain) && !shard).then(|| name.to_owned())
    };
    if let Some(list) = rest.strip_suffix(".json") {
        return match (list.strip_suffix(INDEX), list.strip_prefix(INDEX)) {
            (_, Some("")) => Some((None, true)),
            (_, Some(own)) => Some((Some(variant(own)?), true)),
            (Some(own), None) => Some((Some(variant(own)?), true)),
            (None, None) => None,
        };
    }
    match rest.strip_suffix(FILE)? {
        "" => Some((None, false)),
        own => Some((Some(variant(own)?), false)),
    }
}

/// The variant to take, or none where there are no weights.
fn choose(
    found: &BTreeMap<Option<String>, Names>,
    folder: &Path,
    asked: Option<&str>,
) -> Result<Option<Option<String>>, BundleError> {
    let asked = asked.map(str::to_owned);
    let plain = None;
    let known = || found.keys().flatten().cloned().collect::<Vec<_>>().join(", ");
    if asked.is_some() && found.contains_key(&asked) {
        return Ok(Some(asked));
    }
    if found.contains_key(&plain) {
        return Ok(Some(plain));
    }
    let reason = match (&asked, found.len()) {
        (_, 0) => return Ok(None),
        (None, 1) => return Ok(found.keys().next().cloned()),
        (None, _) => format!("the variants {} fit; choose one of them with --variant", known()),
        (Some(asked), _) => format!("no variant {asked} here; --variant can be {}", known()),
    };
    Err(BundleError::Variant { path: folder.to_path_buf(), reason })
}

fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>, BundleError> {
    let parsed: Index = crate::config::read_json(index)?;
    let mut names: Vec<_> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        let reason = "weight_map: names no shard; download it again".to_owned();
        return Err(BundleError::Config { path: index.to_path_buf(), reason });
    }
    let shard = |name: String| {
        let path = folder.join(&name);
        if Path::new(&name).components().count() == 1 && path.exists() {
            return Ok(path);
        }
        let hint = format!("{} names it as a shard; complete the download", index.display());
        Err(BundleError::Missing { path, hint })
    };
    names.into_iter().map(shard).collect()
}

/// The error where there are no safetensors. transformers' own pickles are called `pytorch_model.bin` whatever the stem.
fn missing(folder: &Path, stem: &str) -> BundleError {
    let expected = format!("{stem}.safetensors");
    let is_pickle = |name: &str| {
        let own = name.strip_prefix(stem).or(name.strip_prefix("pytorch_model"));
        own.is_some_and(|rest| rest.starts_with('.') || rest.starts_with('-'))
            && (name.ends_with(".bin") || name.contains(".bin.index."))
    };
    let mut pickles: Vec<_> = folder
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_pickle(name))
        .collect();
    pickles.sort();
    match pickles.first() {
        Some(pickle) => BundleError::Pickle { path: folder.join(pickle), expected },
        None => BundleError::missing(&folder.join(expected), "complete the download of the checkpoint"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let content = match name.contains(".index.") {
                true => format!(r#"{{"weight_map": {{"a": "{}"}}}}"#, names[0]),
                false => String::new(),
            };
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn find(names: &[&str], asked: Option<&str>) -> Result<(Option<String>, String), String> {
        let folder = folder(names);
        let files = WeightFiles::find(folder.path(), "model", asked).map_err(|error| error.to_string())?;
        assert_eq!(files.paths.len(), 1);
        Ok((files.variant, files.main.file_name().unwrap().to_str().unwrap().to_owned()))
    }

    #[test]
    fn what_is_there_is_taken() {
        let plain = "model.safetensors";
        let half = "model.fp16.safetensors";
        let shard = "model.fp16-00001-of-00001.safetensors";
        let fp16 = Some("fp16".to_owned());
        let taken = |name: &str, variant: &Option<String>| Ok((variant.clone(), name.to_owned()));
        assert_eq!(find(&[plain], None), taken(plain, &None));
        assert_eq!(find(&[half], None), taken(half, &fp16));
        assert_eq!(find(&[plain, half], None), taken(plain, &None), "as diffusers does");
        assert_eq!(find(&[plain, half], Some("fp16")), taken(half, &fp16));
        assert_eq!(find(&[plain], Some("fp16")), taken(plain, &None), "a part that lacks the variant");
        for index in ["model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json"] {
            assert_eq!(find(&[shard, index], None), taken(index, &fp16));
        }
        let lists = ["model-00001-of-00001.safetensors", "model.safetensors.index.json"];
        assert_eq!(find(&lists, None), taken(lists[1], &None));
        let others = WeightFiles::find(folder(&[plain, half]).path(), "model", None).unwrap().others;
        assert_eq!(others, ["fp16"]);
    }

    #[test]
    fn what_can_not_be_chosen_says_what_there_is() {
        let two = ["model.fp16.safetensors", "model.bf16.safetensors"];
        let error = find(&two, None).unwrap_err();
        assert!(error.contains("bf16, fp16") && error.contains("--variant"), "{error}");
        let error = find(&two, Some("ema")).unwrap_err();
        assert!(error.contains("no variant ema") && error.contains("bf16, fp16"), "{error}");
        let error = find(&["other.safetensors", "model-extra.safetensors"], None).unwrap_err();
        assert!(error.contains("model.safetensors: not found"), "{error}");
        for pickle in ["model.bin", "model.fp16.bin", "pytorch_model.bin", "pytorch_model.bin.index.json"] {
            let error = find(&[pickle], None).unwrap_err();
            assert!(error.contains(pickle) && error.contains("pickle"), "{error}");
        }
    }
}
