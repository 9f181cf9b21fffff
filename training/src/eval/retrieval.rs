//! Which caption a picture is taken for.

use std::collections::BTreeMap;

use tch::Tensor;

use super::cosines;
use crate::TrainError;

/// For each picture `[n, dim]` the place of its own answer among all answers, from 1, by cosine. `texts` is `[n, dim]` too,
/// and `answers` says which captions are the same answer; an answer is as near as its nearest caption.
///
/// # Errors
/// libtorch refuses an operation.
pub fn ranks(pictures: &Tensor, texts: &Tensor, answers: &[usize]) -> Result<Vec<usize>, TrainError> {
    let rank = |(row, own): (Vec<f32>, &usize)| {
        let mut best = BTreeMap::<usize, f32>::new();
        for (answer, cosine) in answers.iter().zip(row) {
            let known = best.entry(*answer).or_insert(f32::MIN);
            *known = known.max(cosine);
        }
        let own = best.get(own).copied().unwrap_or(f32::MIN);
        1 + best.values().filter(|other| **other > own).count()
    };
    Ok(cosines(pictures, texts)?.into_iter().zip(answers).map(rank).collect())
}

/// 1 where a rank is at most `limit`, else 0.
pub fn within(ranks: &[usize], limit: usize) -> Vec<f64> {
    ranks.iter().map(|rank| f64::from(u8::from(*rank <= limit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_of_one_answer_do_not_compete() {
        let pictures = Tensor::from_slice(&[1.0_f32, 0.0, 0.8, 0.6, 0.0, 1.0]).view([3, 2]);
        let texts = Tensor::from_slice(&[1.0_f32, 0.1, 3.0, 0.0, 0.0, 2.0]).view([3, 2]);
        assert_eq!(ranks(&pictures, &texts, &[0, 1, 2]).unwrap(), [2, 2, 1]);
        assert_eq!(ranks(&pictures, &texts, &[0, 0, 2]).unwrap(), [1, 1, 1]);
        assert_eq!(within(&[1, 5, 6], 5), [1.0, 1.0, 0.0]);
    }
}
