//! The text tower: the mean of word embeddings, then two layers.

use std::collections::{BTreeMap, HashMap};

use tch::{Kind, Tensor};
use unclip_models::{ModelError, Params};

use super::TextShape;
use crate::TrainError;
use crate::clip::{LayerNorm, Linear};
use crate::params::to_i64;

/// Words that captions have less often are not learned.
const MIN_FREQUENCY: usize = 2;

/// The id that fills up short captions; its embedding counts for nothing.
const PADDING: i64 = 0;

/// Known words; word `n` has the id `n + 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) all: Vec<String>,
    ids: HashMap<String, i64>,
}

impl Words {
    pub(super) fn new(all: Vec<String>) -> Self {
        let ids = all.iter().zip(1..).map(|(word, id)| (word.clone(), id)).collect();
        Self { all, ids }
    }

    /// The most frequent words of captions, at most `limit`.
    pub(super) fn learn(captions: &[String], limit: usize) -> Self {
        let mut counts = BTreeMap::<String, usize>::new();
        for word in captions.iter().flat_map(|caption| split(caption)) {
            *counts.entry(word).or_default() += 1;
        }
        let mut known: Vec<_> = counts.into_iter().filter(|(_, count)| *count >= MIN_FREQUENCY).collect();
        known.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), word.clone()));
        Self::new(known.into_iter().take(limit).map(|(word, _)| word).collect())
    }

    /// Ids of captions `[batch, longest]`, i64 on the CPU. Unknown words are left out.
    pub(super) fn ids(&self, captions: &[String]) -> Result<Tensor, TrainError> {
        let ids = |caption: &String| split(caption).filter_map(|word| self.ids.get(&word).copied()).collect();
        let rows: Vec<Vec<i64>> = captions.iter().map(ids).collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or_default().max(1);
        let padded =
            |row: &Vec<i64>| row.iter().copied().chain(std::iter::repeat(PADDING)).take(longest).collect();
        let flat: Vec<i64> = rows.iter().flat_map(|row| -> Vec<i64> { padded(row) }).collect();
        Ok(Tensor::f_from_slice(&flat)?.f_view([to_i64(rows.len()), to_i64(longest)])?)
    }
}

/// Runs of letters and digits, in lower case.
fn split(caption: &str) -> impl Iterator<Item = String> {
    let lower = caption.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// The tower.
pub(super) struct TextTower {
    words: Tensor,
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl TextTower {
    /// `words` is the number of known ones.
    pub(super) fn new(
        params: &Params,
        shape: &TextShape,
        words: usize,
        dim: usize,
    ) -> Result<Self, ModelError> {
        let (width, hidden) = (to_i64(shape.width), to_i64(shape.hidden));
        Ok(Self {
            words: params.tensor("words.weight", &[to_i64(words + 1), width])?,
            norm: LayerNorm::new(&params.sub("norm"), width, 1e-5)?,
            widen: Linear::new(&params.sub("widen"), width, hidden)?,
            narrow: Linear::new(&params.sub("narrow"), hidden, to_i64(dim))?,
        })
    }

    /// Ids `[batch, longest]` to embeddings `[batch, dim]`, not normalised.
    pub(super) fn forward(&self, ids: &Tensor) -> Tensor {
        let known = ids.not_equal(PADDING).to_kind(self.words.kind()).unsqueeze(-1);
        let embedded = Tensor::embedding(&self.words, ids, -1, false, false) * &known;
        let sum = |x: &Tensor| x.sum_dim_intlist(1, false, None::<Kind>);
        let mean = sum(&embedded) / sum(&known).clamp_min(1.0);
        self.narrow.forward(&self.widen.forward(&self.norm.forward(&mean)).gelu("none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_are_known_and_others_left_out() {
        let captions = ["A red heart, noto style", "a RED car", "zebra"].map(str::to_owned);
        let words = Words::learn(&captions, 100);
        assert_eq!(words.all, ["a", "red"]);
        let ids = words.ids(&["red zebra, a".to_owned(), "heart".to_owned()]).unwrap();
        assert_eq!(ids, Tensor::from_slice(&[2_i64, 1, 0, 0]).view([2, 2]));
    }
}
