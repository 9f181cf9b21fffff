//! What a bundle's CLIP multiplies cosines by.

use crate::sampling::LOGIT_SCALE;
use crate::{Bundle, BundleError, Component};

/// The parameter's name in CLIP's checkpoints: its logarithm.
const PARAMETER: &str = "logit_scale";

impl Bundle {
    /// What cosines are multiplied by in classification: as `sampling.json` says, else as the weights of the text or the image
    /// tower do (transformers' `CLIPModel` keeps it beside them). None where a tower was saved without it, as Karlo's is.
    ///
    /// # Errors
    /// Weights that can't be read, or a scale that can't be one.
    pub fn logit_scale(&self) -> Result<Option<f32>, BundleError> {
        if let Some(scale) = self.sampling().clip.logit_scale {
            return Ok(Some(scale));
        }
        for component in [Component::TextEncoder, Component::ImageEncoder] {
            if self.has(component)
                && let Some(scale) = self.stored_scale(component)?
            {
                return Ok(Some(scale));
            }
        }
        Ok(None)
    }

    fn stored_scale(&self, component: Component) -> Result<Option<f32>, BundleError> {
        let weights = self.weights(component)?;
        if !weights.contains(PARAMETER) {
            return Ok(None);
        }
        // A scalar, or a list of one.
        let view = weights.tensor(PARAMETER, &[]).or_else(|_| weights.tensor(PARAMETER, &[1]))?;
        let scale = view.first().map(f32::exp).filter(|scale| LOGIT_SCALE.contains(scale));
        scale.map(Some).ok_or_else(|| BundleError::Safetensors {
            path: view.file.to_path_buf(),
            reason: format!("{PARAMETER} is no logarithm of a number up to {}", LOGIT_SCALE.end()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;

    /// A bundle whose towers have these weights, each a name and one value.
    fn bundle(root: &Path, sampling: Option<&str>, towers: [&[(&str, &[usize], f32)]; 2]) -> Bundle {
        std::fs::write(root.join("model_index.json"), r#"{"_class_name": "UnCLIPPipeline"}"#).unwrap();
        if let Some(text) = sampling {
            std::fs::write(root.join("sampling.json"), text).unwrap();
        }
        for (folder, tensors) in ["text_encoder", "image_encoder"].iter().zip(towers) {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            let bytes: Vec<_> = tensors.iter().map(|(.., value)| value.to_le_bytes()).collect();
            let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
                (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
            });
            let file = safetensors::serialize(views, None::<HashMap<String, String>>).unwrap();
            std::fs::write(root.join(folder).join("model.safetensors"), file).unwrap();
        }
        Bundle::open(root).unwrap()
    }

    fn scale(
        sampling: Option<&str>,
        towers: [&[(&str, &[usize], f32)]; 2],
    ) -> Result<Option<f32>, BundleError> {
        let folder = tempfile::tempdir().unwrap();
        bundle(folder.path(), sampling, towers).logit_scale()
    }

    #[test]
    fn the_checkpoints_own_scale_counts() {
        let other: &[(&str, &[usize], f32)] = &[("x", &[1], 9.0)];
        let near = |found: Option<f32>, expected: f32| (found.unwrap() - expected).abs() < 1e-3 * expected;
        assert_eq!(scale(None, [other, other]).unwrap(), None);
        // ln 100, as transformers' CLIPModel has it, and a list of one.
        let own: &[(&str, &[usize], f32)] = &[("logit_scale", &[], 4.605_170_2)];
        assert!(near(scale(None, [own, other]).unwrap(), 100.0));
        let listed: &[(&str, &[usize], f32)] = &[("logit_scale", &[1], 3.218_876)];
        assert!(near(scale(None, [other, listed]).unwrap(), 25.0));
        let said = scale(Some(r#"{"clip": {"logit_scale": 30}}"#), [own, other]);
        assert_eq!(said.unwrap(), Some(30.0));
    }

    #[test]
    fn what_can_be_no_scale_is_refused() {
        let other: &[(&str, &[usize], f32)] = &[("x", &[1], 9.0)];
        for (shape, value) in [(&[][..], f32::NAN), (&[], 50.0)] {
            let bad: &[(&str, &[usize], f32)] = &[("logit_scale", shape, value)];
            let error = scale(None, [bad, other]).unwrap_err().to_string();
            assert!(error.contains("logit_scale is no logarithm of a number up to 1000"), "{error}");
        }
    }
}
