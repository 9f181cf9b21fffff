//! Text to token ids, as transformers' `CLIPTokenizer`.
//!
//! Like transformers 5, this takes vocabulary, merges and added tokens from the bundle's files and builds normaliser,
//! pre-tokenizer and special tokens itself, whatever a `tokenizer.json` says about them, its own padding and truncation
//! included.

use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};
use unclip_bundle::config::{AddedToken, TokenizerConfig};
use unclip_bundle::{Bundle, BundleError, Component};

use crate::ClipError;
use crate::vocabulary::Vocabulary;

/// transformers 5.23.0, models/clip/tokenization_clip.py.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// A text as CLIP reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedText {
    /// Token ids `[tokens]`: start, text, end, padding.
    pub ids: Vec<i64>,
    /// `[tokens]`, true from the start token to the end token.
    pub mask: Vec<bool>,
    /// Whether the text was too long and lost its end.
    pub truncated: bool,
}

/// A bundle's tokenizer.
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    tokens: usize,
    start: u32,
    end: u32,
    pad: u32,
}

impl ClipTokenizer {
    /// Reads `tokenizer/`: `tokenizer_config.json`, and `tokenizer.json` or else `vocab.json` and `merges.txt`.
    ///
    /// # Errors
    /// A missing or damaged file, and special tokens that the vocabulary lacks.
    pub fn load(bundle: &Bundle) -> Result<Self, BundleError> {
        let config: TokenizerConfig = bundle.config(Component::Tokenizer)?;
        let vocabulary = Vocabulary::read(&bundle.folder(Component::Tokenizer), &config)?;
        let source = vocabulary.source.clone();
        let damaged = |reason: String| BundleError::Config { path: source.clone(), reason };
        let unknown = |token: &str| damaged(format!("the vocabulary lacks the special token {token:?}"));
        let [start, end, unk, pad] = vocabulary.special.clone();
        let tokenizer = build(vocabulary, unk.content).map_err(|error| damaged(error.to_string()))?;
        let id = |token: &str| tokenizer.token_to_id(token).ok_or_else(|| unknown(token));
        Ok(Self {
            tokens: config.model_max_length,
            start: id(&start.content)?,
            end: id(&end.content)?,
            pad: id(&pad.content)?,
            tokenizer,
        })
    }

    /// Tokens of every text, padding included: the tokenizer's `model_max_length`.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The largest token id there is.
    pub fn largest_id(&self) -> u32 {
        self.tokenizer.get_vocab(true).into_values().max().unwrap_or(0)
    }

    /// The id of the end token.
    pub fn end_id(&self) -> u32 {
        self.end
    }

    /// Encodes a text of any length and content; one that is too long loses its last tokens, never the end token.
    ///
    /// # Errors
    /// [`ClipError::Tokenize`], which no text is known to cause.
    pub fn encode(&self, text: &str) -> Result<TokenizedText, ClipError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| ClipError::Tokenize { reason: error.to_string() })?;
        let room = self.tokens - 2;
        let words = encoding.get_ids();
        let kept = words.len().min(room);
        let mut ids = Vec::with_capacity(self.tokens);
        ids.push(i64::from(self.start));
        ids.extend(words[..kept].iter().copied().map(i64::from));
        ids.push(i64::from(self.end));
        ids.resize(self.tokens, i64::from(self.pad));
        Ok(TokenizedText {
            ids,
            mask: (0..self.tokens).map(|position| position < kept + 2).collect(),
            truncated: words.len() > room,
        })
    }
}

fn build(vocabulary: Vocabulary, unk: String) -> tokenizers::Result<Tokenizer> {
    let added: Vec<_> = vocabulary.added_tokens().cloned().map(added_token).collect();
    let mut tokenizer = Tokenizer::new(model(vocabulary.tokens, vocabulary.merges, unk)?);
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ")?;
    let normalizers = vec![NFC.into(), spaces.into(), Lowercase.into()];
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers)))?;
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    let pre_tokenizers = vec![words.into(), bytes.into()];
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(pre_tokenizers)));
    tokenizer.add_tokens(added)?;
    Ok(tokenizer)
}

fn model(tokens: Vocab, merges: Merges, unk: String) -> tokenizers::Result<BPE> {
    BPE::builder()
        .vocab_and_merges(tokens, merges)
        .unk_token(unk)
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix("</w>".to_owned())
        .fuse_unk(false)
        .build()
}

fn added_token(token: AddedToken) -> tokenizers::AddedToken {
    tokenizers::AddedToken {
        normalized: token.normalized.unwrap_or(!token.special),
        content: token.content,
        single_word: token.single_word,
        lstrip: token.lstrip,
        rstrip: token.rstrip,
        special: token.special,
    }
}
