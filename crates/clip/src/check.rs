//! Everything that is wrong with a tower, at once.

use unclip_bundle::config::{ClipTextConfig, ClipVisionConfig, PriorConfig};
use unclip_bundle::{Bundle, BundleError, Component, check_finite};

use crate::onnx::{Graph, image_graph, text_graph};
use crate::{ClipPreprocessor, ClipTokenizer};

/// Finds what would keep the text tower from loading or from computing, and where it does not fit its tokenizer or the
/// bundle's prior. Reads every weight once.
pub fn check_text_tower(bundle: &Bundle) -> Vec<BundleError> {
    let mut errors = graph_errors(bundle, Component::TextEncoder, text_graph(bundle));
    match ClipTokenizer::load(bundle) {
        Ok(tokenizer) => errors.extend(tokenizer_fits(bundle, &tokenizer)),
        Err(error) => add(&mut errors, error),
    }
    errors.extend(text_fits_prior(bundle));
    errors
}

/// Finds what would keep the image tower from loading or from computing, and where it does not fit its preprocessing or the
/// bundle's prior. Reads every weight once.
pub fn check_image_tower(bundle: &Bundle) -> Vec<BundleError> {
    let mut errors = graph_errors(bundle, Component::ImageEncoder, image_graph(bundle));
    match ClipPreprocessor::load(bundle) {
        Ok(preprocessor) => errors.extend(preprocessing_fits(bundle, &preprocessor)),
        Err(error) => add(&mut errors, error),
    }
    errors.extend(image_fits_prior(bundle));
    errors
}

/// What loads and yet is odd about the text tower: its pooled token is not the one that ends texts, so every text embedding
/// is read at the start token. Checkpoints are served as transformers would, so this is no error.
pub fn text_tower_warnings(bundle: &Bundle) -> Vec<String> {
    let config = bundle.config::<ClipTextConfig>(Component::TextEncoder);
    let (Ok(config), Ok(tokenizer)) = (config, ClipTokenizer::load(bundle)) else {
        return Vec::new();
    };
    let (pooled, end) = (config.eos_token_id, tokenizer.end_id());
    // 2 stands in old configs and means the largest token id.
    if pooled == 2 || pooled == end {
        return Vec::new();
    }
    vec![format!(
        "text_encoder/config.json eos_token_id is {pooled}, but texts end with token {end}: text embeddings will be read at \
         the start token, as transformers does"
    )]
}

fn graph_errors(
    bundle: &Bundle,
    component: Component,
    graph: Result<Graph, BundleError>,
) -> Vec<BundleError> {
    match graph.and_then(|graph| Ok((graph, bundle.weights(component)?))) {
        Ok((graph, weights)) => {
            let values = graph
                .tensors
                .iter()
                .map(|(name, shape)| weights.tensor(name, shape).and_then(|view| check_finite(name, &view)));
            let not_finite: Vec<_> = values.filter_map(Result::err).collect();
            [graph.errors, not_finite].into_iter().flatten().collect()
        }
        Err(error) => vec![error],
    }
}

/// Graph and tokenizer read the same config: its errors are told once.
fn add(errors: &mut Vec<BundleError>, error: BundleError) {
    let text = error.to_string();
    if errors.iter().all(|known| known.to_string() != text) {
        errors.push(error);
    }
}

fn tokenizer_fits(bundle: &Bundle, tokenizer: &ClipTokenizer) -> Vec<BundleError> {
    let Ok(config) = bundle.config::<ClipTextConfig>(Component::TextEncoder) else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    let largest = tokenizer.largest_id() as usize;
    if largest >= config.vocab_size {
        let reason = format!("token id {largest} is outside a vocabulary of {}", config.vocab_size);
        errors.push(mismatch("tokenizer", "text_encoder/config.json vocab_size", reason));
    }
    errors
}

fn preprocessing_fits(bundle: &Bundle, preprocessor: &ClipPreprocessor) -> Option<BundleError> {
    let config: ClipVisionConfig = bundle.config(Component::ImageEncoder).ok()?;
    let (height, width) = preprocessor.size();
    let left = "feature_extractor/preprocessor_config.json crop_size";
    let right = "image_encoder/config.json image_size";
    ((height, width) != (config.image_size, config.image_size)).then(|| {
        let reason = format!("{height} x {width} pixels against {0} x {0}", config.image_size);
        mismatch(left, right, reason)
    })
}

fn text_fits_prior(bundle: &Bundle) -> Vec<BundleError> {
    let text = bundle.config::<ClipTextConfig>(Component::TextEncoder);
    let prior = bundle.config::<PriorConfig>(Component::Prior);
    let (Ok(text), Ok(prior)) = (text, prior) else {
        return Vec::new();
    };
    let tokens = ClipTokenizer::load(bundle).map(|tokenizer| tokenizer.tokens());
    let compare = |key: &str, found: usize, prior_key: &str, wanted: usize| {
        (found != wanted).then(|| {
            let right = format!("prior/config.json {prior_key}");
            mismatch(key, &right, format!("{found} against {wanted}"))
        })
    };
    let dim = prior.embedding_dim;
    let (width, out) = (text.hidden_size, text.projection_dim);
    [
        compare("text_encoder/config.json hidden_size", width, "embedding_dim", dim),
        compare("text_encoder/config.json projection_dim", out, "embedding_dim", dim),
        tokens.ok().and_then(|tokens| {
            let key = "tokenizer/tokenizer_config.json model_max_length";
            compare(key, tokens, "num_embeddings", prior.num_embeddings)
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn image_fits_prior(bundle: &Bundle) -> Option<BundleError> {
    let image: ClipVisionConfig = bundle.config(Component::ImageEncoder).ok()?;
    let prior: PriorConfig = bundle.config(Component::Prior).ok()?;
    let (found, wanted) = (image.projection_dim, prior.embedding_dim);
    let (left, right) = ("image_encoder/config.json projection_dim", "prior/config.json embedding_dim");
    (found != wanted).then(|| mismatch(left, right, format!("{found} against {wanted}")))
}

fn mismatch(left: &str, right: &str, reason: String) -> BundleError {
    BundleError::Mismatch { left: left.to_owned(), right: right.to_owned(), reason }
}
