//! Captions from the npm package `emojibase-data`: labels, tags, groups and skin tones by hexcode, and names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::{Meaning, json};
use crate::data::attribution::Attribution;
use crate::data::{Colour, DataError};

/// Groups that are parts of emoji and no things: skin tone swatches and hair.
const COMPONENT: &str = "component";
/// Subgroups of flags that stand for a country or region. Others, such as the chequered flag, are things.
const REGIONAL_FLAGS: [&str; 2] = ["country-flag", "subdivision-flag"];
/// The shortcode lists whose names icons may bear, best first.
const SHORTCODES: [&str; 5] = ["emojibase", "cldr", "github", "iamcal", "joypixels"];
/// The shortcode list whose names captions use ("automobile" is also a "car").
const NAMES: &str = SHORTCODES[0];
/// Short words that names may have; others are abbreviations, such as "ww".
const SHORT_WORDS: [&str; 11] = ["do", "go", "in", "no", "of", "ok", "on", "ox", "to", "tv", "up"];

/// One emoji: what it is, and its skin tone.
#[derive(Debug, Clone)]
pub struct Emoji {
    /// Normalised hexcode, skin tone included.
    pub key: String,
    /// Its label, skin tone included.
    pub label: String,
    /// Whether a skin tone was chosen.
    pub skin_tone: bool,
    /// What it shows.
    pub meaning: Arc<Meaning>,
}

/// All emoji, by hexcode and by name.
#[derive(Debug)]
pub struct Emojibase {
    /// Who wrote the captions, under which licence.
    pub attribution: Attribution,
    emoji: BTreeMap<String, Emoji>,
    names: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    label: String,
    hexcode: String,
    #[serde(default)]
    tags: Vec<String>,
    group: Option<u32>,
    subgroup: Option<u32>,
    #[serde(default)]
    version: f64,
    #[serde(default)]
    skins: Vec<Entry>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: String,
    author: String,
    homepage: Option<String>,
}

#[derive(Deserialize)]
struct Groups {
    groups: HashMap<String, String>,
    subgroups: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Shortcodes {
    One(String),
    Many(Vec<String>),
}

type ShortcodeList = BTreeMap<String, Shortcodes>;

impl Emojibase {
    /// Reads the package in `folder`.
    ///
    /// # Errors
    /// [`DataError::Missing`] or [`DataError::Malformed`] naming the file.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let entries: Vec<Entry> = json::read(&folder.join("en/data.json"))?;
        let groups: Groups = json::read(&folder.join("meta/groups.json"))?;
        let lists = SHORTCODES
            .iter()
            .map(|list| Ok((*list, json::read(&folder.join(format!("en/shortcodes/{list}.json")))?)))
            .collect::<Result<Vec<(&str, ShortcodeList)>, DataError>>()?;
        let names = lists.iter().find(|(list, _)| *list == NAMES).map(|(_, list)| list);
        let attribution = attribution(json::read(&folder.join("package.json"))?);
        attribution.check()?;
        let mut emojibase = Self { attribution, emoji: BTreeMap::new(), names: HashMap::new() };
        for entry in entries {
            emojibase.add(entry, &groups, names);
        }
        for (_, list) in &lists {
            emojibase.add_shortcodes(list);
        }
        Ok(emojibase)
    }

    /// The emoji with this hexcode, in any spelling.
    #[must_use]
    pub fn by_hexcode(&self, hexcode: &str) -> Option<&Emoji> {
        self.emoji.get(&normalise_hexcode(hexcode))
    }

    /// The emoji with this name, whatever stands between its words, or with a usual other spelling of it.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Emoji> {
        spellings(name).find_map(|name| self.emoji.get(self.names.get(&name)?))
    }

    /// Lets `name` stand for `hexcode`, unless it already has a meaning.
    pub fn add_name(&mut self, name: &str, hexcode: &str) {
        let hexcode = normalise_hexcode(hexcode);
        if self.emoji.contains_key(&hexcode) {
            self.names.entry(slug(name)).or_insert(hexcode);
        }
    }

    /// Adds an emoji and its skin tones. Regional indicators have no group and are left out, like components.
    fn add(&mut self, entry: Entry, groups: &Groups, names: Option<&ShortcodeList>) {
        let Some(meaning) = meaning(&entry, groups, names) else { return };
        let meaning = Arc::new(meaning);
        self.insert(&entry.hexcode, &entry.label, &meaning, false);
        for skin in &entry.skins {
            self.insert(&skin.hexcode, &skin.label, &meaning, true);
        }
    }

    fn insert(&mut self, hexcode: &str, label: &str, meaning: &Arc<Meaning>, skin_tone: bool) {
        let key = normalise_hexcode(hexcode);
        self.names.entry(slug(label)).or_insert_with(|| key.clone());
        let label = clean(label);
        let emoji = Emoji { key: key.clone(), label, skin_tone, meaning: meaning.clone() };
        self.emoji.insert(key, emoji);
    }

    fn add_shortcodes(&mut self, list: &ShortcodeList) {
        for (hexcode, codes) in list {
            for code in codes.as_slice() {
                self.add_name(code, hexcode);
            }
        }
    }
}

impl Shortcodes {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(code) => std::slice::from_ref(code),
            Self::Many(codes) => codes,
        }
    }
}

fn attribution(package: Package) -> Attribution {
    // npm writes an author as "name <address>".
    let author = package.author.split('<').next().unwrap_or_default().trim().to_owned();
    Attribution {
        set: package.name.clone(),
        title: "Captions".to_owned(),
        package: format!("{} {}", package.name, package.version),
        author,
        author_url: package.homepage.unwrap_or_default(),
        licence: package.license,
        licence_url: String::new(),
    }
}

fn meaning(entry: &Entry, groups: &Groups, names: Option<&ShortcodeList>) -> Option<Meaning> {
    let group = groups.groups.get(&entry.group?.to_string())?.clone();
    if group == COMPONENT {
        return None;
    }
    let subgroup = groups.subgroups.get(&entry.subgroup?.to_string())?.clone();
    let codes = names.and_then(|list| list.get(&entry.hexcode)).map_or(&[][..], Shortcodes::as_slice);
    let label = clean(&entry.label);
    let names = other_names(&label, codes);
    Some(Meaning {
        key: normalise_hexcode(&entry.hexcode),
        tags: tags(&label, &names, &entry.tags),
        label,
        names,
        flag: REGIONAL_FLAGS.contains(&subgroup.as_str()),
        group,
        subgroup,
        version: version(entry.version),
    })
}

/// The shortcodes that read as names: words, and no colour that some style may not have ("red car").
fn other_names(label: &str, codes: &[String]) -> Vec<String> {
    let label = label.to_lowercase();
    let names = codes.iter().map(|code| code.replace('_', " "));
    let names = names.filter(|name| is_words(name) && *name != label && !adds_colour(name, &label));
    names.filter(|name| name.split(' ').all(|word| word.len() > 2 || SHORT_WORDS.contains(&word))).collect()
}

/// Tags that are words and say more than the label and the names.
fn tags(label: &str, names: &[String], tags: &[String]) -> Vec<String> {
    let label = label.to_lowercase();
    let tags = tags.iter().map(|tag| clean(tag)).filter(|tag| is_words(tag) && tag.len() > 2);
    tags.filter(|tag| *tag != label && !names.contains(tag)).collect()
}

fn is_words(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_alphabetic() || " -'".contains(letter))
}

fn adds_colour(name: &str, label: &str) -> bool {
    name.split(' ').any(|word| Colour::from_word(word).is_some() && !label.contains(word))
}

/// Tenths of an emoji version, as an integer that can be ordered.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded and clamped before")]
fn version(version: f64) -> u32 {
    (version * 10.0).round().clamp(0.0, 1e6) as u32
}

/// A label as a caption says it.
fn clean(label: &str) -> String {
    let label = label.replace('’', "'").replace(['“', '”', '!'], "");
    match label.split_once(": ") {
        Some(("flag", name)) => format!("flag of {name}"),
        Some(("keycap", key)) => format!("keycap {key}"),
        Some((thing, detail)) if is_look(detail) => format!("{thing} with {detail}"),
        Some((thing, detail)) => format!("{thing}, {detail}"),
        None => label,
    }
}

/// Whether a label's detail is how a person looks, so that "with" fits before it.
fn is_look(detail: &str) -> bool {
    ["skin tone", "hair", "beard"].iter().any(|look| detail.contains(look)) && !detail.starts_with("bald")
}

/// Upper case, without presentation selectors, which data sets write or leave out.
fn normalise_hexcode(hexcode: &str) -> String {
    let hexcode = hexcode.to_uppercase();
    let parts = hexcode.split('-').filter(|part| !matches!(*part, "FE0F" | "FE0E"));
    parts.map(|part| part.trim_start_matches('0')).collect::<Vec<_>>().join("-")
}

/// Slugs of a name and of the ways that older sets write it: `flag-for-chad`, `flag-for-black-flag`,
/// `weary-cat-face` for "weary cat", `waving-hand-dark` for "waving hand: dark skin tone".
fn spellings(name: &str) -> impl Iterator<Item = String> {
    let flag = name.strip_prefix("flag-for-");
    let own = flag.filter(|name| name.ends_with("flag") || name.ends_with("flags"));
    let others = [
        flag.map(|name| format!("flag {name}")),
        own.map(str::to_owned),
        name.contains("cat-face").then(|| name.replace("cat-face", "cat")),
        Some(format!("{name} skin tone")),
    ];
    std::iter::once(slug(name)).chain(others.into_iter().flatten().map(|name| slug(&name)))
}

/// A name without case, separators and accents.
fn slug(name: &str) -> String {
    let name = name.replace('&', "and");
    let letters = name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase);
    letters.map(without_accent).collect()
}

/// The letter below the accents that labels of emoji have.
fn without_accent(letter: char) -> char {
    match letter {
        'á' | 'ã' | 'å' => 'a',
        'ç' => 'c',
        'é' => 'e',
        'í' => 'i',
        'ñ' => 'n',
        'ô' => 'o',
        'ü' => 'u',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexcodes_of_all_spellings_meet() {
        assert_eq!(normalise_hexcode("0023-fe0f-20e3"), "23-20E3");
        assert_eq!(normalise_hexcode("2764-FE0F"), normalise_hexcode("2764"));
    }

    #[test]
    fn old_spellings_meet_new_labels() {
        let has = |name: &str, label: &str| spellings(name).any(|name| name == slug(label));
        assert!(has("flag-for-bosnia-and-herzegovina", "flag: Bosnia & Herzegovina"));
        assert!(has("flag-for-cote-divoire", "flag: Côte d’Ivoire"));
        assert!(has("flag-for-crossed-flags", "crossed flags"));
        assert!(!has("flag-for-turkey", "turkey"));
        assert!(has("weary-cat-face", "weary cat"));
        assert!(has("waving-hand-dark", "waving hand: dark skin tone"));
    }

    #[test]
    fn names_are_words_that_fit_every_style() {
        let codes = ["car", "red_car", "clock8", "family_ww", "ok_hand"].map(str::to_owned);
        assert_eq!(other_names("automobile", &codes), ["car", "ok hand"]);
        assert_eq!(tags("automobile", &["car".into()], &["car".into(), "vehicle".into()]), ["vehicle"]);
    }

    #[test]
    fn labels_read_as_captions() {
        assert_eq!(clean("flag: Côte d’Ivoire"), "flag of Côte d'Ivoire");
        assert_eq!(clean("waving hand: light skin tone"), "waving hand with light skin tone");
        assert_eq!(clean("family: man, boy"), "family, man, boy");
        assert_eq!(clean("woman: red hair"), "woman with red hair");
        assert_eq!(clean("Japanese “here” button"), "Japanese here button");
        assert_eq!(clean("keycap: 3"), "keycap 3");
    }
}
