//! Caption to pixels through real processes, against diffusers 0.42.1 (torch 2.11.0): see tests/reference.

#![expect(clippy::panic, reason = "a panic in a test is the report")]

use unclip_proto::v1::{GenerateImageRequest, GeneratedImage, ImageTensors};
use unclip_tests::{
    CPU, Cluster, Golden, Local, Server, assert_close, assert_same_picture, compare, generate, goldens, values,
};

/// The text tower runs on another runtime (ONNX Runtime) than the reference.
const TEXT_LIMIT: f64 = 1e-4;

/// Sampling over up to 26 steps amplifies the difference of the text embedding.
const EMBEDDING_LIMIT: f64 = 1e-3;

/// bf16 rounding is as good as random: kernels sum in other orders than the reference's, so each run moves the picture by
/// another draw from the same distribution. One recorded draw bounds ours up to this factor, and small ones up to the slack.
const BF16_FACTOR: f64 = 1.5;
const BF16_SLACK: f64 = 5e-3;

async fn draw(server: &Server, request: GenerateImageRequest) -> Vec<GeneratedImage> {
    let count = request.n.unwrap_or(1) as usize;
    let images = generate(server, request).await.unwrap_or_else(|status| panic!("{status}")).images;
    assert_eq!(images.len(), count, "pictures");
    images
}

fn tensors(image: &GeneratedImage) -> &ImageTensors {
    image.tensors.as_ref().unwrap_or_else(|| panic!("no tensors"))
}

fn assert_golden(golden: &Golden, images: &[GeneratedImage]) {
    for (index, image) in images.iter().enumerate() {
        let found = tensors(image);
        let what = |part: &str| format!("{}, picture {index}, {part}", golden.case.name);
        let expected = |part: &str| golden.tensors[part].row(index);
        for (part, tensor, limit) in [
            ("text_embedding", &found.text_embedding, TEXT_LIMIT),
            ("text_hidden_states", &found.text_hidden_states, TEXT_LIMIT),
            ("image_embedding", &found.image_embedding, EMBEDDING_LIMIT),
        ] {
            assert_close(&what(part), &values(tensor.as_ref()), expected(part), limit);
        }
        for (part, tensor) in [("decoded", &found.decoded), ("image", &found.image)] {
            assert_same_picture(&what(part), &values(tensor.as_ref()), expected(part));
        }
    }
}

/// The file holds the tensor, rounded as numpy does.
fn assert_file_is_tensor(image: &GeneratedImage) {
    let file = image::load_from_memory(&image.image).unwrap_or_else(|error| panic!("{error}")).into_rgb8();
    assert_eq!(file.dimensions(), (image.width, image.height));
    let values = values(tensors(image).image.as_ref());
    let plane = values.len() / 3;
    for (at, pixel) in file.pixels().enumerate() {
        for (channel, byte) in pixel.0.iter().enumerate() {
            let value = (values[channel * plane + at] * 255.0).round_ties_even();
            assert_eq!(f32::from(*byte).to_bits(), value.abs().to_bits(), "pixel {at}, channel {channel}");
        }
    }
}

async fn every_case_matches(fixture: &str) {
    let cluster = Cluster::shared(fixture).await;
    for golden in goldens(fixture) {
        let images = draw(&cluster.gateway, golden.case.request()).await;
        assert_golden(&golden, &images);
        images.iter().for_each(assert_file_is_tensor);
    }
}

#[tokio::test]
async fn tiny_is_what_diffusers_draws() {
    every_case_matches("tiny").await;
}

#[tokio::test]
async fn varied_is_what_diffusers_draws() {
    every_case_matches("varied").await;
}

#[tokio::test]
async fn picture_k_is_the_picture_of_seed_plus_k_alone() {
    let cluster = Cluster::shared("tiny").await;
    let case = goldens("tiny").into_iter().find(|golden| golden.case.name == "two_images").unwrap().case;
    let four = draw(&cluster.gateway, GenerateImageRequest { n: Some(4), ..case.request() }).await;
    // Without caches, so that nothing of the four is handed out again.
    let fresh = cluster.another_gateway(&["--cache-mib", "0"]).await;
    for (index, image) in (0..).zip(&four) {
        let seed = case.seed + index;
        let request = GenerateImageRequest { n: Some(1), seed: Some(seed), ..case.request() };
        let [alone] = &draw(&fresh, request).await[..] else { panic!("one picture") };
        assert_eq!(image.receipt.as_ref().map(|receipt| receipt.seed), Some(seed));
        let (together, alone) = (tensors(image), tensors(alone));
        let (a, b) = (values(together.image_embedding.as_ref()), values(alone.image_embedding.as_ref()));
        assert_close(&format!("seed {seed}, embedding"), &a, &b, EMBEDDING_LIMIT);
        let (a, b) = (values(together.image.as_ref()), values(alone.image.as_ref()));
        assert_same_picture(&format!("seed {seed}"), &a, &b);
    }
}

#[tokio::test]
async fn one_process_draws_what_separate_processes_draw() {
    let (cluster, local) = tokio::join!(Cluster::shared("tiny"), Local::start("tiny"));
    for golden in goldens("tiny").iter().filter(|golden| golden.case.name.contains("guided")) {
        let request = golden.case.request();
        let (apart, together) =
            tokio::join!(draw(&cluster.gateway, request.clone()), draw(&local.server, request));
        assert_golden(golden, &together);
        for (apart, together) in apart.iter().zip(&together) {
            let (a, b) = (values(tensors(apart).image.as_ref()), values(tensors(together).image.as_ref()));
            assert_same_picture(&golden.case.name, &a, &b);
        }
    }
}

#[tokio::test]
async fn bf16_is_no_further_from_f32_than_diffusers_own_bf16() {
    let flags = [CPU[0], CPU[1], "--dtype", "bf16"];
    let cluster = Cluster::start("tiny", &flags).await;
    for golden in goldens("tiny") {
        let images = draw(&cluster.gateway, golden.case.request()).await;
        let found: Vec<f32> =
            images.iter().flat_map(|image| values(tensors(image).image.as_ref())).collect();
        let error = compare(&found, &golden.tensors["image"].values).mean;
        let limit = golden.case.bf16_mean_abs_error * BF16_FACTOR + BF16_SLACK;
        println!("{:<30} {error:.5}, diffusers {:.5}", golden.case.name, golden.case.bf16_mean_abs_error);
        assert!(error <= limit, "{}: {error}, at most {limit} is allowed", golden.case.name);
    }
}
