//! Other names of things from a file: "puppy" for "dog".

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::{Meaning, Source};
use crate::data::DataError;

/// Adds the names of a file to what the pictures show. Returns the things that no picture of `sources` shows.
///
/// A line is `thing: name, name`, the thing by its label; `#` begins a remark. A name stands for one thing: where another
/// thing's captions come with it too, they lose it.
///
/// # Errors
/// [`DataError::Io`], or [`DataError::Malformed`] naming the line.
pub fn add_names(sources: &mut [Source], path: &Path) -> Result<Vec<String>, DataError> {
    let text = std::fs::read_to_string(path).map_err(DataError::io(path))?;
    let names =
        Names::parse(&text).map_err(|reason| DataError::Malformed { path: path.to_path_buf(), reason })?;
    let mut seen = BTreeSet::new();
    let mut named = HashMap::<String, Arc<Meaning>>::new();
    for picture in sources.iter_mut().flat_map(|source| source.pictures.iter_mut()) {
        seen.insert(picture.meaning.label.clone());
        let meaning = &picture.meaning;
        let with_names = || Arc::new(names.give(meaning));
        picture.meaning = named.entry(meaning.key.clone()).or_insert_with(with_names).clone();
    }
    Ok(names.of.into_keys().filter(|thing| !seen.contains(thing)).collect())
}

/// The names of a file.
struct Names {
    /// By thing.
    of: BTreeMap<String, Vec<String>>,
    /// The thing of each name.
    thing: HashMap<String, String>,
}

impl Names {
    fn parse(text: &str) -> Result<Self, String> {
        let mut names = Self { of: BTreeMap::new(), thing: HashMap::new() };
        let lines = (1..).zip(text.lines().map(str::trim));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let wrong = || format!("line {number}: {line:?}; write `thing: name, name`");
            let (thing, list) = line.split_once(": ").ok_or_else(wrong)?;
            for name in list.split(',').map(str::trim) {
                if name.is_empty() {
                    return Err(wrong());
                }
                names.add(thing, name).map_err(|other| {
                    format!(
                        "line {number}: {name:?} stands for {other:?} already; a name stands for one thing"
                    )
                })?;
            }
        }
        Ok(names)
    }

    /// The other thing that has the name, if one has.
    fn add(&mut self, thing: &str, name: &str) -> Result<(), String> {
        match self.thing.insert(name.to_owned(), thing.to_owned()) {
            Some(other) => Err(other),
            None => {
                self.of.entry(thing.to_owned()).or_default().push(name.to_owned());
                Ok(())
            }
        }
    }

    fn give(&self, meaning: &Meaning) -> Meaning {
        let mut meaning = meaning.clone();
        let label = &meaning.label;
        meaning.names.retain(|name| self.thing.get(name).is_none_or(|thing| thing == label));
        for name in self.of.get(label).into_iter().flatten() {
            if !meaning.names.contains(name) {
                meaning.names.push(name.clone());
            }
        }
        meaning.tags.retain(|tag| !meaning.names.contains(tag));
        meaning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(label: &str, names: &[&str]) -> Meaning {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Meaning { label: label.into(), names, tags: vec!["pet".into(), "pup".into()], ..Meaning::default() }
    }

    #[test]
    fn a_name_stands_for_one_thing() {
        let names = Names::parse("# remark\n\ndog: hound, pup\ndog face: puppy\n").unwrap();
        let dog = names.give(&meaning("dog", &["doggy", "puppy"]));
        assert_eq!(
            (dog.names, dog.tags),
            (vec!["doggy".into(), "hound".into(), "pup".into()], vec!["pet".into()])
        );
        assert_eq!(names.give(&meaning("cat", &["kitty"])).names, ["kitty"]);
    }

    #[test]
    fn lines_that_say_nothing_are_refused_by_number() {
        let refused = |text: &str| Names::parse(text).err().unwrap();
        assert!(refused("dog: pup\ncat kitty").contains("line 2: \"cat kitty\""));
        assert!(refused("dog: pup, ,hound").contains("line 1"));
        assert!(refused("dog: pup\ncat: pup").contains("line 2: \"pup\" stands for \"dog\" already"));
    }
}
