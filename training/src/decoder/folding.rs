//! The normalisation of image embeddings, folded into the text projection's weights: what a bundle holds draws the same
//! without it.

use tch::{Kind, Tensor};

use crate::TrainError;
use crate::params::ParamStore;

/// The layers of `text_proj/` that read the image embedding.
const LAYERS: [&str; 2] = [
    "text_proj.clip_image_embeddings_project_to_time_embeddings",
    "text_proj.clip_extra_context_tokens_proj",
];
/// The embedding of no image at all, which they read in its place.
const NULL: &str = "text_proj.learned_classifier_free_guidance_embeddings";
/// The statistics' names among the parameters; in no folder of a bundle.
pub(super) const MEAN: &str = "image_spread.mean";
pub(super) const DEVIATION: &str = "image_spread.deviation";

/// One parameter of the projection, in f64 while it is changed.
struct Folding {
    mean: Tensor,
    deviation: Tensor,
}

impl Folding {
    fn new(parameters: &[(String, Tensor)]) -> Result<Self, TrainError> {
        Ok(Self { mean: find(parameters, MEAN)?, deviation: find(parameters, DEVIATION)? })
    }

    /// `W (e - mean) / deviation + b` as `W' e + b'`.
    fn fold(&self, weight: &Tensor, bias: &Tensor) -> (Tensor, Tensor) {
        let weight = weight / &self.deviation;
        let bias = bias - weight.mv(&self.mean);
        (weight, bias)
    }

    /// The other way.
    fn unfold(&self, weight: &Tensor, bias: &Tensor) -> (Tensor, Tensor) {
        (weight * &self.deviation, bias + weight.mv(&self.mean))
    }
}

fn find(parameters: &[(String, Tensor)], name: &str) -> Result<Tensor, TrainError> {
    let found = parameters.iter().find(|(known, _)| known == name);
    let missing = || TrainError::shape("parameter", "none", name);
    Ok(found.ok_or_else(missing)?.1.f_to_kind(Kind::Double)?)
}

/// Every parameter of the projection that the normalisation changes, changed.
fn changed(parameters: &[(String, Tensor)], into_bundle: bool) -> Result<Vec<(String, Tensor)>, TrainError> {
    let folding = Folding::new(parameters)?;
    let null = find(parameters, NULL)?;
    let null = match into_bundle {
        true => null * &folding.deviation + &folding.mean,
        false => (null - &folding.mean) / &folding.deviation,
    };
    let mut all = vec![(NULL.to_owned(), null)];
    for layer in LAYERS {
        let (weight, bias) = (format!("{layer}.weight"), format!("{layer}.bias"));
        let old = (find(parameters, &weight)?, find(parameters, &bias)?);
        let new = if into_bundle { folding.fold(&old.0, &old.1) } else { folding.unfold(&old.0, &old.1) };
        all.extend([(weight, new.0), (bias, new.1)]);
    }
    Ok(all.into_iter().map(|(name, tensor)| (name, tensor.to_kind(Kind::Float))).collect())
}

/// Parameters as a bundle has them.
pub(super) fn folded(mut parameters: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, TrainError> {
    for (name, tensor) in changed(&parameters, true)? {
        if let Some((_, old)) = parameters.iter_mut().find(|(known, _)| *known == name) {
            *old = tensor;
        }
    }
    Ok(parameters)
}

/// A bundle's parameters as they are trained.
pub(super) fn unfold(store: &mut ParamStore) -> Result<(), TrainError> {
    for (name, tensor) in changed(&store.averages_by_name(), false)? {
        store.set(&name, &tensor)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn parameters() -> Vec<(String, Tensor)> {
        tch::manual_seed(3);
        let normal = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let mut all = vec![
            (MEAN.to_owned(), normal(&[5]) * 4.0),
            (DEVIATION.to_owned(), normal(&[5]).abs() + 0.1),
            (NULL.to_owned(), normal(&[5])),
        ];
        for layer in LAYERS {
            all.extend([
                (format!("{layer}.weight"), normal(&[7, 5])),
                (format!("{layer}.bias"), normal(&[7])),
            ]);
        }
        all
    }

    fn largest(difference: &Tensor) -> f64 {
        f64::try_from(difference.abs().max()).unwrap()
    }

    #[test]
    fn folded_layers_give_for_embeddings_what_they_gave_for_normalised_ones() {
        let before = parameters();
        let after =
            folded(before.iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect()).unwrap();
        let get = |all: &[(String, Tensor)], name: &str| find(all, name).unwrap();
        let image = Tensor::randn([3, 5], (Kind::Double, Device::Cpu));
        let normalised = (&image - get(&before, MEAN)) / get(&before, DEVIATION);
        for layer in LAYERS {
            let (weight, bias) = (format!("{layer}.weight"), format!("{layer}.bias"));
            let run =
                |all: &[(String, Tensor)], x: &Tensor| x.linear(&get(all, &weight), Some(&get(all, &bias)));
            assert!(largest(&(run(&before, &normalised) - run(&after, &image))) < 1e-4);
            let (one, two) = (run(&before, &get(&before, NULL)), run(&after, &get(&after, NULL)));
            assert!(largest(&(one - two)) < 1e-4);
        }
        for (name, tensor) in changed(&after, false).unwrap() {
            assert!(largest(&(tensor.to_kind(Kind::Double) - get(&before, &name))) < 1e-4, "{name}");
        }
    }
}
