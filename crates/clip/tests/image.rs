//! Preprocessing and image tower against transformers 5.23.0 (`CLIPImageProcessorPil`, Pillow 13.0.0).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

mod common;

use common::{FIXTURES, Goldens, TOLERANCE, copied, difference, imported};
use image::RgbImage;
use unclip_clip::{ClipError, ClipPreprocessor, ImageTower};

fn names(goldens: &Goldens) -> Vec<String> {
    let mut names: Vec<_> =
        goldens.names().filter_map(|name| name.strip_suffix(".rgb")).map(str::to_owned).collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

fn picture(goldens: &Goldens, name: &str) -> RgbImage {
    let tensor = format!("{name}.rgb");
    let [height, width, 3] = *goldens.shape(&tensor) else {
        panic!("{tensor} is no picture");
    };
    let (width, height) = (u32::try_from(width).unwrap(), u32::try_from(height).unwrap());
    RgbImage::from_raw(width, height, goldens.bytes(&tensor).to_vec()).unwrap()
}

#[test]
fn pixel_values_are_those_of_transformers() {
    for name in FIXTURES {
        let copy = copied(name);
        let preprocessor = ClipPreprocessor::load(&copy.bundle).unwrap();
        let goldens = Goldens::read(name, "image.safetensors");
        for picture_name in names(&goldens) {
            let found = preprocessor.run(&picture(&goldens, &picture_name)).unwrap();
            let expected = goldens.f32s(&format!("{picture_name}.pixel_values"));
            assert!(difference(&found, &expected) < 1e-6, "{name}: {picture_name}");
        }
    }
}

#[test]
fn embeddings_are_those_of_transformers() {
    for name in FIXTURES {
        let copy = imported(name);
        let mut tower = ImageTower::load(&copy.bundle, 1).unwrap();
        let goldens = Goldens::read(name, "image.safetensors");
        let names = names(&goldens);
        let pictures: Vec<_> = names.iter().map(|name| picture(&goldens, name)).collect();
        for (picture_name, found) in names.iter().zip(tower.encode(&pictures).unwrap()) {
            let expected = goldens.f32s(&format!("{picture_name}.image_embeds"));
            assert_eq!(found.len(), tower.embedding_dim());
            assert!(difference(&found, &expected) < TOLERANCE, "{name}: {picture_name}");
        }
    }
}

#[test]
fn a_result_does_not_depend_on_its_neighbours() {
    let copy = imported("varied");
    let mut tower = ImageTower::load(&copy.bundle, 2).unwrap();
    let goldens = Goldens::read("varied", "image.safetensors");
    let pictures: Vec<_> =
        names(&goldens).iter().cycle().take(20).map(|name| picture(&goldens, name)).collect();
    let together = tower.encode(&pictures).unwrap();
    assert_eq!(together.len(), pictures.len());
    for (picture, together) in pictures.iter().zip(together) {
        let alone = tower.encode(std::slice::from_ref(picture)).unwrap();
        assert!(difference(&alone[0], &together) < 1e-5);
    }
    assert!(tower.encode(&[]).unwrap().is_empty());
}

#[test]
fn extreme_proportions_cost_no_more_than_the_picture() {
    let copy = copied("tiny");
    let preprocessor = ClipPreprocessor::load(&copy.bundle).unwrap();
    let (height, width) = preprocessor.size();
    // Resized as a whole, each of these would take gigabytes.
    for (w, h) in [(1, 2_000_000), (2_000_000, 1), (1, 1), (3, 900_000)] {
        let grey = RgbImage::from_pixel(w, h, image::Rgb([90, 90, 90]));
        let found = preprocessor.run(&grey).unwrap();
        assert_eq!(found.len(), 3 * height * width);
        assert!(found[..height * width].iter().all(|value| *value == found[0]), "{w} x {h}");
    }
}

#[test]
fn a_picture_without_pixels_is_an_error() {
    let copy = copied("tiny");
    let preprocessor = ClipPreprocessor::load(&copy.bundle).unwrap();
    for (width, height) in [(0, 0), (5, 0), (0, 5)] {
        let error = preprocessor.run(&RgbImage::new(width, height)).unwrap_err();
        assert!(matches!(error, ClipError::Image { .. }));
    }
}

#[test]
fn sizes_are_read_in_every_form_and_unknown_ones_refused() {
    let cases = [
        (serde_json::json!({"size": 20, "crop_size": 18}), Some((18, 18))),
        (
            serde_json::json!({"size": {"shortest_edge": 20}, "crop_size": {"height": 31, "width": 9}}),
            Some((31, 9)),
        ),
        (serde_json::json!({"size": {"height": 20, "width": 25}}), Some((224, 224))),
        (serde_json::json!({"size": {"shortest_edge": 20, "longest_edge": 30}}), None),
        (serde_json::json!({"crop_size": {"shortest_edge": 20}}), None),
        (serde_json::json!({"size": 0}), None),
        (serde_json::json!({"crop_size": 1_000_000}), None),
        (serde_json::json!({"resample": 2}), None),
    ];
    let copy = copied("tiny");
    let path = copy.folder.path().join("feature_extractor/preprocessor_config.json");
    for (json, size) in cases {
        std::fs::write(&path, json.to_string()).unwrap();
        let loaded = ClipPreprocessor::load(&copy.bundle).ok();
        assert_eq!(loaded.as_ref().map(ClipPreprocessor::size), size, "{json}");
    }
}

#[test]
fn a_crop_larger_than_the_picture_is_centred_on_black() {
    let copy = copied("tiny");
    let path = copy.folder.path().join("feature_extractor/preprocessor_config.json");
    let json =
        serde_json::json!({"size": 2, "crop_size": 5, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]});
    std::fs::write(path, json.to_string()).unwrap();
    let white = RgbImage::from_pixel(2, 2, image::Rgb([255, 255, 255]));
    let found = ClipPreprocessor::load(&copy.bundle).unwrap().run(&white).unwrap();
    // transformers pads by ceil((5 - 2) / 2) = 2 above and to the left.
    let row = |y: usize| found[y * 5..][..5].to_vec();
    assert_eq!(row(1), [0.0; 5]);
    assert_eq!(row(2), [0.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(row(4), [0.0; 5]);
}
