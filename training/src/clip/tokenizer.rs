//! A CLIP tokenizer learned from captions.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::Trainer;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

use crate::TrainError;
use crate::error::{make_folder, write_json};

/// transformers 5.23.0, models/clip/tokenization_clip.py, without the special tokens.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
const WORD_END: &str = "</w>";
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// Byte pairs that occur less often are not merged.
const MIN_FREQUENCY: u64 = 2;

/// Learns byte pairs from captions and writes `tokenizer/` as transformers' `CLIPTokenizer` reads it: `vocab.json`,
/// `merges.txt` and their settings, for texts of `tokens` tokens. `vocabulary` is the largest number of entries.
///
/// # Errors
/// A folder that can't be written.
pub fn learn_tokenizer(
    captions: &[String],
    vocabulary: usize,
    tokens: usize,
    folder: &Path,
) -> Result<(), TrainError> {
    let merges = learn_merges(captions, vocabulary)?;
    let entries = entries(&merges);
    make_folder(folder)?;
    let ids: Map<String, Value> =
        entries.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    write_json(&folder.join("vocab.json"), &ids)?;
    let lines: String = merges.iter().map(|(left, right)| format!("{left} {right}\n")).collect();
    let text = format!("#version: 0.2\n{lines}");
    unclip_bundle::write_atomically(&folder.join("merges.txt"), text.as_bytes())?;
    write_settings(tokens, folder)
}

fn write_settings(tokens: usize, folder: &Path) -> Result<(), TrainError> {
    let special = json!({ "bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END });
    write_json(&folder.join("special_tokens_map.json"), &special)?;
    let mut config = special;
    config["model_max_length"] = json!(tokens);
    config["tokenizer_class"] = json!("CLIPTokenizer");
    config["do_lower_case"] = json!(true);
    config["add_prefix_space"] = json!(false);
    config["errors"] = json!("replace");
    write_json(&folder.join("tokenizer_config.json"), &config)
}

/// The bytes, the bytes at a word's end, what the merges make, start and end: the order of OpenAI's vocabulary.
fn entries(merges: &[(String, String)]) -> Vec<String> {
    let mut alphabet: Vec<String> = ByteLevel::alphabet().into_iter().map(String::from).collect();
    alphabet.sort();
    let ends: Vec<String> = alphabet.iter().map(|byte| format!("{byte}{WORD_END}")).collect();
    let merged = merges.iter().map(|(left, right)| format!("{left}{right}"));
    let special = [START.to_owned(), END.to_owned()];
    let mut seen = HashSet::new();
    let all = alphabet.into_iter().chain(ends).chain(merged).chain(special);
    all.filter(|token| seen.insert(token.clone())).collect()
}

fn learn_merges(captions: &[String], vocabulary: usize) -> Result<Vec<(String, String)>, TrainError> {
    let failed = |error: tokenizers::Error| TrainError::Tokenizer(error.to_string());
    let splitter = splitter().map_err(failed)?;
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocabulary.saturating_sub(2))
        .min_frequency(MIN_FREQUENCY)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .end_of_word_suffix(WORD_END.to_owned())
        .build();
    let words = |caption: &str| words(&splitter, caption);
    trainer.feed(captions.iter().map(String::as_str), words).map_err(failed)?;
    let mut bpe = BPE::default();
    trainer.train(&mut bpe).map_err(failed)?;
    let model = serde_json::to_value(&bpe).map_err(|error| TrainError::Tokenizer(error.to_string()))?;
    let pairs = model.get("merges").cloned().unwrap_or_default();
    let mut merges: Vec<(String, String)> =
        serde_json::from_value(pairs).map_err(|error| TrainError::Tokenizer(error.to_string()))?;
    // The trainer's alphabet has no bytes at a word's end that no caption ends with; the vocabulary has.
    merges.truncate(vocabulary.saturating_sub(514));
    Ok(merges)
}

/// Words as CLIP cuts them, each byte a letter.
fn words(splitter: &Sequence, caption: &str) -> tokenizers::Result<Vec<String>> {
    let text = caption.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let mut pieces = PreTokenizedString::from(text.as_str());
    splitter.pre_tokenize(&mut pieces)?;
    let pieces = pieces.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
    Ok(pieces.into_iter().map(|(word, ..)| word.to_owned()).collect())
}

fn splitter() -> tokenizers::Result<Sequence> {
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true)?;
    Ok(Sequence::new(vec![words.into(), ByteLevel::new(false, true, true).into()]))
}

#[cfg(test)]
mod tests {
    use unclip_bundle::Bundle;
    use unclip_clip::ClipTokenizer;

    use super::*;

    #[test]
    fn frequent_words_are_one_token_and_any_text_has_tokens() {
        let captions: Vec<String> =
            ["A red heart", "a blue heart", "red  car, noto style", "Blue car"].map(str::to_owned).to_vec();
        let folder = tempfile::tempdir().unwrap();
        learn_tokenizer(&captions, 560, 8, &folder.path().join("tokenizer")).unwrap();
        crate::bundle::write_index(folder.path()).unwrap();
        let tokenizer = ClipTokenizer::load(&Bundle::open(folder.path()).unwrap()).unwrap();
        let heart = tokenizer.encode("Red HEART").unwrap();
        assert_eq!(heart.mask.iter().filter(|seen| **seen).count(), 4, "start, red, heart, end: {heart:?}");
        let unseen = tokenizer.encode("zebra \u{1f993}!").unwrap();
        assert!(unseen.truncated && unseen.ids[0] != unseen.ids[1]);
        assert!(usize::try_from(tokenizer.largest_id()).unwrap() < 560);
    }

    #[test]
    fn words_are_cut_as_clip_cuts_them() {
        let words = words(&splitter().unwrap(), "It's  2 Cats\u{e9}!").unwrap();
        assert_eq!(words, ["it", "'s", "2", "cats\u{c3}\u{a9}", "!"]);
    }
}
