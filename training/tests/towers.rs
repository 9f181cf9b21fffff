//! CLIP's towers against transformers 5.23.0 (torch 2.11.0), on the goldens that `tests/reference` made.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};
use unclip_bundle::{Bundle, Component};
use unclip_models::{Params, Placement, SafetensorsSource};
use unclip_training::clip::{TextTower, VisionTower};

const FIXTURES: [&str; 2] = ["tiny", "varied"];

/// The largest difference of any value.
const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn golden(fixture: &Path, file: &str, name: &str) -> Tensor {
    let bytes = std::fs::read(fixture.join("goldens").join(file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let view = tensors.tensor(name).unwrap();
    let kind = if view.dtype() == Dtype::I64 { Kind::Int64 } else { Kind::Float };
    let shape: Vec<i64> = view.shape().iter().map(|size| i64::try_from(*size).unwrap()).collect();
    Tensor::from_data_size(view.data(), &shape, kind)
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = f64::try_from((found - expected).abs().max()).unwrap();
    assert!(difference <= TOLERANCE, "{what}: {difference}");
}

#[test]
fn the_text_tower_is_that_of_transformers() {
    for name in FIXTURES {
        let fixture = fixture(name);
        let bundle = Bundle::open(&fixture.join("bundle")).unwrap();
        let weights = bundle.weights(Component::TextEncoder).unwrap();
        let source = SafetensorsSource::new(&weights, Placement::REFERENCE);
        let config = bundle.config(Component::TextEncoder).unwrap();
        let tower = TextTower::new(&Params::root(&source), &config).unwrap();
        let golden = |name: &str| golden(&fixture, "text.safetensors", name);
        let output = tower.forward(&golden("input_ids"));
        assert_close(name, &output.embedding, &golden("text_embeds"));
        assert_close(name, &output.states, &golden("last_hidden_state"));
    }
}

#[test]
fn the_image_tower_is_that_of_transformers() {
    for name in FIXTURES {
        let fixture = fixture(name);
        let bundle = Bundle::open(&fixture.join("bundle")).unwrap();
        let weights = bundle.weights(Component::ImageEncoder).unwrap();
        let source = SafetensorsSource::new(&weights, Placement::REFERENCE);
        let config = bundle.config(Component::ImageEncoder).unwrap();
        let tower = VisionTower::new(&Params::root(&source), &config).unwrap();
        for picture in ["checks", "exact", "small"] {
            let golden = |part: &str| golden(&fixture, "image.safetensors", &format!("{picture}.{part}"));
            assert_close(name, &tower.forward(&golden("pixel_values")), &golden("image_embeds"));
        }
    }
}
