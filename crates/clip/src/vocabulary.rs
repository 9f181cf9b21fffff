//! The files of a CLIP tokenizer: one `tokenizer.json`, or Karlo's `vocab.json` and `merges.txt`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokenizers::models::bpe::{Merges, Vocab};
use unclip_bundle::config::{AddedToken, SpecialToken, TokenizerConfig, read_json};
use unclip_bundle::{BundleError, read_text};

/// What a tokenizer is made of.
pub(crate) struct Vocabulary {
    /// The file that errors name.
    pub(crate) source: PathBuf,
    /// Token to id.
    pub(crate) tokens: Vocab,
    /// Byte pairs, the most frequent first.
    pub(crate) merges: Merges,
    /// Texts that are one token wherever they occur, in the order of their ids.
    pub(crate) added: Vec<AddedToken>,
    /// Start, end, unknown and padding.
    pub(crate) special: [AddedToken; 4],
}

#[derive(Deserialize)]
struct TokenizerFile {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<NumberedToken>,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

/// Newer files have pairs, older ones two tokens with a space between.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

#[derive(Deserialize)]
struct NumberedToken {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

/// `special_tokens_map.json`, which overrides an older `tokenizer_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecialTokens {
    bos_token: Option<SpecialToken>,
    eos_token: Option<SpecialToken>,
    unk_token: Option<SpecialToken>,
    pad_token: Option<SpecialToken>,
}

impl Vocabulary {
    pub(crate) fn read(folder: &Path, config: &TokenizerConfig) -> Result<Self, BundleError> {
        let special = special_tokens(folder, config)?;
        let source = folder.join("tokenizer.json");
        if source.exists() {
            return modern(source, config, special);
        }
        let merges = folder.join("merges.txt");
        let source = folder.join("vocab.json");
        let tokens: HashMap<String, u32> = read_json(&source)?;
        Ok(Self {
            tokens: tokens.into_iter().collect(),
            merges: read_merges(&merges)?,
            added: numbered_tokens(folder, config, &special)?.into_values().collect(),
            special,
            source,
        })
    }

    /// All texts that are one token, in the order in which they are added: a special token that is not among the
    /// numbered ones comes last. Where two have the same text the later one counts.
    pub(crate) fn added_tokens(&self) -> impl Iterator<Item = &AddedToken> {
        let numbered = |token: &AddedToken| self.added.iter().any(|added| added.content == token.content);
        self.added.iter().chain(self.special.iter().filter(move |token| !numbered(token)))
    }
}

/// The added tokens by id, in older files in one of their own: `added_tokens.json`, texts to ids.
fn numbered_tokens(
    folder: &Path,
    config: &TokenizerConfig,
    special: &[AddedToken; 4],
) -> Result<BTreeMap<u32, AddedToken>, BundleError> {
    let path = folder.join("added_tokens.json");
    match &config.added_tokens_decoder {
        Some(added) => Ok(added.clone()),
        None if !path.exists() => Ok(BTreeMap::new()),
        None => {
            let ids: BTreeMap<String, u32> = read_json(&path)?;
            let is_special = |text: &str| special.iter().any(|token| token.content == text);
            let token = |(text, id): (String, u32)| (id, AddedToken::new(&text, is_special(&text)));
            Ok(ids.into_iter().map(token).collect())
        }
    }
}

fn modern(
    source: PathBuf,
    config: &TokenizerConfig,
    special: [AddedToken; 4],
) -> Result<Vocabulary, BundleError> {
    let file: TokenizerFile = read_json(&source)?;
    let numbered = file.added_tokens.into_iter().map(|numbered| (numbered.id, numbered.token));
    let added: BTreeMap<u32, AddedToken> =
        config.added_tokens_decoder.clone().unwrap_or_else(|| numbered.collect());
    let merges: Result<_, _> = file.model.merges.into_iter().map(|merge| pair(merge, &source)).collect();
    Ok(Vocabulary {
        tokens: file.model.vocab.into_iter().collect(),
        merges: merges?,
        added: added.into_values().collect(),
        special,
        source,
    })
}

fn special_tokens(folder: &Path, config: &TokenizerConfig) -> Result<[AddedToken; 4], BundleError> {
    let path = folder.join("special_tokens_map.json");
    let map = if config.added_tokens_decoder.is_none() && path.exists() {
        read_json(&path)?
    } else {
        SpecialTokens::default()
    };
    let choose =
        |mapped: &Option<SpecialToken>, own: &SpecialToken| mapped.as_ref().unwrap_or(own).to_added();
    Ok([
        choose(&map.bos_token, &config.bos_token),
        choose(&map.eos_token, &config.eos_token),
        choose(&map.unk_token, &config.unk_token),
        choose(&map.pad_token, &config.pad_token),
    ])
}

/// A version line, then two tokens a line.
fn read_merges(path: &Path) -> Result<Merges, BundleError> {
    const HINT: &str =
        "a tokenizer is a tokenizer.json, or a vocab.json with its merges.txt; complete the download";
    let text = read_text(path, HINT)?;
    let lines = text.lines().filter(|line| !line.starts_with("#version"));
    lines.map(|line| pair(Merge::Line(line.to_owned()), path)).collect()
}

fn pair(merge: Merge, path: &Path) -> Result<(String, String), BundleError> {
    let line = match merge {
        Merge::Pair(left, right) => return Ok((left, right)),
        Merge::Line(line) => line,
    };
    match line.split_once(' ') {
        Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
        _ => Err(BundleError::Config {
            path: path.to_path_buf(),
            reason: format!("the merge {line:?} is not two tokens with a space between"),
        }),
    }
}
