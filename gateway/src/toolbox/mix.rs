//! A weighted mix of embeddings: arXiv 2204.06125, section 3.2, for more than two.

use unclip_proto::FieldError;
use unclip_proto::v1::{Embedding, Mix};
use unclip_service::Error;

use super::latent::{check_same_space, values};

/// The most parts of a mix.
const MAX_PARTS: usize = 16;

/// The largest weight, of either sign.
const MAX_WEIGHT: f32 = 10.0;

/// Parts that cancel each other out leave rounding: a sum this much shorter than one part has no direction.
const NOTHING: f64 = 1e-6;

/// The weights of a mix, validated.
pub(super) fn weights(field: &str, mix: &Mix) -> Result<Vec<f32>, FieldError> {
    let count = mix.parts.len();
    if !(1..=MAX_PARTS).contains(&count) {
        let problem = format!("{count} parts, there must be 1 to {MAX_PARTS}");
        return Err(FieldError::new(format!("{field}.mix.parts"), problem));
    }
    let weights: Vec<f32> = mix.parts.iter().map(|part| part.weight).collect();
    for (index, weight) in weights.iter().enumerate() {
        if !(-MAX_WEIGHT..=MAX_WEIGHT).contains(weight) {
            let field = format!("{field}.mix.parts[{index}].weight");
            return Err(FieldError::out_of_range(&field, weight, -MAX_WEIGHT, MAX_WEIGHT));
        }
    }
    let sum: f32 = weights.iter().sum();
    if sum <= 0.0 {
        let problem = format!("the weights sum to {sum}, the sum must be above 0");
        return Err(FieldError::new(format!("{field}.mix.parts"), problem));
    }
    Ok(weights)
}

/// The weighted sum of the directions, at the weighted mean of the lengths.
pub(super) fn mix(field: &str, parts: &[(Embedding, f32)]) -> Result<Embedding, Error> {
    let Some((first, _)) = parts.first() else {
        return Err(FieldError::missing(field).into());
    };
    let mut sum = vec![0.0; values(field, first.tensor.as_ref())?.len()];
    let (mut length, mut total) = (0.0, 0.0);
    for (embedding, weight) in parts {
        check_same_space(field, embedding, first)?;
        let own = values(field, embedding.tensor.as_ref())?;
        if own.len() != sum.len() {
            let problem = format!("embeddings of {} and {} values can't be mixed", own.len(), sum.len());
            return Err(FieldError::new(field, problem).into());
        }
        let (weight, norm) = (f64::from(*weight), norm(own.iter().map(|value| f64::from(*value))));
        length += weight * norm;
        total += weight;
        let scale = if norm > 0.0 { weight / norm } else { 0.0 };
        sum.iter_mut().zip(&own).for_each(|(sum, value)| *sum += scale * f64::from(*value));
    }
    let found = norm(sum.iter().copied());
    let length = length / total;
    if found < NOTHING || length <= 0.0 {
        let problem = "the parts cancel each other out; change the weights";
        return Err(FieldError::new(format!("{field}.mix"), problem).into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "an embedding is f32")]
    let mixed: Vec<f32> = sum.iter().map(|value| (value * length / found) as f32).collect();
    Ok(Embedding::new(&first.space, &mixed))
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use unclip_proto::v1::MixPart;

    use super::*;

    fn mixed(parts: &[(&[f32], f32)]) -> Result<Vec<f32>, String> {
        let parts: Vec<_> =
            parts.iter().map(|(values, weight)| (Embedding::new("s", values), *weight)).collect();
        let embedding = mix("latent", &parts).map_err(|error| error.to_string())?;
        Ok(values("x", embedding.tensor.as_ref()).unwrap())
    }

    #[test]
    fn directions_and_lengths_are_weighed_apart() {
        let found = mixed(&[(&[4.0, 0.0], 1.0), (&[0.0, 2.0], 1.0)]).unwrap();
        assert!(found.iter().all(|value| (value - 3.0 / 2.0_f32.sqrt()).abs() < 1e-5), "{found:?}");
        assert_eq!(mixed(&[(&[3.0, 4.0], 0.3)]).unwrap(), [3.0, 4.0]);
        assert_eq!(mixed(&[(&[1.0, 0.0], 2.0), (&[1.0, 0.0], -1.0)]).unwrap(), [1.0, 0.0]);
    }

    #[test]
    fn what_has_no_direction_is_refused() {
        let text = mixed(&[(&[1.0, 0.0], 1.0), (&[-1.0, 0.0], 1.0)]).unwrap_err();
        assert!(text.contains("cancel each other out"), "{text}");
        assert!(mixed(&[(&[0.0, 0.0], 1.0)]).is_err());
        assert!(mixed(&[(&[1.0], 1.0), (&[1.0, 2.0], 1.0)]).is_err());
        assert!(mixed(&[(&[1.0, 2.0], 1.0), (&[1.0], 1.0)]).is_err());
    }

    #[test]
    fn weights_have_limits() {
        let refused = |weights_of: &[f32]| {
            let parts = weights_of.iter().map(|weight| MixPart { weight: *weight, source: None }).collect();
            weights("latent", &Mix { parts }).unwrap_err().to_string()
        };
        assert_eq!(refused(&[]), "latent.mix.parts: 0 parts, there must be 1 to 16");
        assert!(refused(&[1.0, 11.0]).starts_with("latent.mix.parts[1].weight: 11 is out of range"));
        assert!(refused(&[f32::NAN]).starts_with("latent.mix.parts[0].weight: NaN is out of range"));
        assert_eq!(refused(&[1.0, -1.0]), "latent.mix.parts: the weights sum to 0, the sum must be above 0");
    }
}
