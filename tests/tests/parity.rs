//! Caption to pixels through real processes, against diffusers 0.42.1 (torch 2.11.0): see tests/reference.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use unclip_proto::v1::{
    DecodeRequest, Embedding, EncodeTextRequest, GenerateImageRequest, GeneratedImage, ImageTensors,
    NoisePosition, PriorItem, SamplePriorRequest, Tensor, UpsampleRequest, prior_item,
};
use unclip_tests::{
    CPU, Case, Cluster, Golden, Local, Server, assert_close, assert_same_pictures, compare, decode,
    encode_text, generate, goldens, sample_prior, upsample, values,
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
    let images = generate(server, request).await.unwrap().images;
    assert_eq!(images.len(), count, "pictures");
    images
}

fn tensors(image: &GeneratedImage) -> &ImageTensors {
    image.tensors.as_ref().unwrap()
}

type Part = fn(&ImageTensors) -> Option<&Tensor>;

const VECTORS: [(&str, Part, f64); 3] = [
    ("text_embedding", |tensors| tensors.text_embedding.as_ref(), TEXT_LIMIT),
    ("text_hidden_states", |tensors| tensors.text_hidden_states.as_ref(), TEXT_LIMIT),
    ("image_embedding", |tensors| tensors.image_embedding.as_ref(), EMBEDDING_LIMIT),
];

const PICTURES: [(&str, Part); 2] =
    [("decoded", |tensors| tensors.decoded.as_ref()), ("image", |tensors| tensors.image.as_ref())];

/// One part of all pictures, one after the other.
fn batch(images: &[GeneratedImage], part: Part) -> Vec<f32> {
    images.iter().flat_map(|image| values(part(tensors(image)))).collect()
}

/// What diffusers drew, or what unclip drew another time.
fn assert_same(case: &Case, images: &[GeneratedImage], expected: impl Fn(&str, Part) -> Vec<f32>) {
    for (name, part, limit) in VECTORS {
        let what = format!("{}, {name}", case.name);
        assert_close(&what, &batch(images, part), &expected(name, part), limit);
    }
    for (name, part) in PICTURES {
        let what = format!("{}, {name}", case.name);
        assert_same_pictures(&what, &batch(images, part), &expected(name, part));
    }
}

fn assert_golden(golden: &Golden, images: &[GeneratedImage]) {
    assert_same(&golden.case, images, |name, _| golden.tensors[name].for_batch(images.len()));
}

/// The file holds the tensor, rounded as numpy does.
fn assert_file_is_tensor(image: &GeneratedImage) {
    let file = image::load_from_memory(&image.image).unwrap().into_rgb8();
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

/// The trained bundle of the repository: pictures that are pictures, through more steps.
#[tokio::test]
async fn the_demo_bundle_is_what_diffusers_draws() {
    every_case_matches("emoji").await;
}

/// One picture, each stage fed with what diffusers' stage before it gave: embedding, small picture, picture.
async fn stage_by_stage(cluster: &Cluster, golden: &Golden, index: u32) -> [Vec<f32>; 3] {
    let Golden { case, tensors } = golden;
    let row = |name: &str| tensors[name].row(index as usize);
    let [prior, decoder, upsampler] = case.stage_options();
    let texts = EncodeTextRequest { texts: vec![case.prompt().to_owned(), String::new()] };
    let encodings = encode_text(&cluster.text_encoder, texts).await.unwrap();
    let [text, negative] = [0, 1].map(|at: usize| encodings.get(at).cloned());
    let space = text.clone().unwrap().embedding.unwrap().space;
    let noise = Some(NoisePosition { seed: case.seed + u64::from(index), ..Default::default() });
    let item = PriorItem { text: text.clone().map(prior_item::Text::Encoding), noise };
    let request = SamplePriorRequest {
        items: vec![item],
        negative: negative.clone(),
        options: prior,
        ..Default::default()
    };
    let sampled = sample_prior(&cluster.prior, request).await.unwrap().1.results.remove(0);
    let image_embedding = Some(Embedding::new(&space, row("image_embedding")));
    let request = DecodeRequest {
        image_embedding,
        text,
        negative,
        noise: sampled.noise,
        options: decoder,
        ..Default::default()
    };
    let decoded = decode(&cluster.decoder, request).await.unwrap().result;
    let image = Some(Tensor::from_f32(&tensors["decoded"].shape[1..], row("decoded")));
    let request = UpsampleRequest { image, noise: decoded.noise, options: upsampler, ..Default::default() };
    let upsampled = upsample(&cluster.upsampler, request).await.unwrap().result;
    [
        values(sampled.embedding.unwrap().tensor.as_ref()),
        values(decoded.image.as_ref()),
        values(upsampled.image.as_ref()),
    ]
}

async fn every_stage_matches(fixture: &str) {
    let cluster = Cluster::shared(fixture).await;
    for golden in goldens(fixture) {
        let (mut embeddings, mut decoded, mut images) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..golden.case.n {
            let [embedding, small, image] = stage_by_stage(&cluster, &golden, index).await;
            embeddings.extend(embedding);
            decoded.extend(small);
            images.extend(image);
        }
        let Golden { case, tensors } = &golden;
        let expected = |name: &str| &tensors[name].values;
        assert_close(&case.name, &embeddings, expected("image_embedding"), EMBEDDING_LIMIT);
        assert_same_pictures(&case.name, &decoded, expected("decoded"));
        assert_same_pictures(&case.name, &images, expected("image"));
    }
}

#[tokio::test]
async fn every_stage_of_tiny_gives_what_diffusers_stage_gives() {
    every_stage_matches("tiny").await;
}

#[tokio::test]
async fn every_stage_of_varied_gives_what_diffusers_stage_gives() {
    every_stage_matches("varied").await;
}

#[tokio::test]
async fn picture_k_is_the_picture_of_seed_plus_k_alone() {
    let cluster = Cluster::shared("tiny").await;
    let case = goldens("tiny").into_iter().find(|golden| golden.case.name == "two_images").unwrap().case;
    let four = draw(&cluster.gateway, GenerateImageRequest { n: Some(4), ..case.request() }).await;
    // Another gateway without Redis, so that nothing of the four is handed out again.
    let fresh = cluster.another_gateway(&[]).await;
    let mut alone = Vec::new();
    for (index, image) in (0..).zip(&four) {
        let seed = Some(case.seed + index);
        assert_eq!(image.receipt.as_ref().map(|receipt| receipt.seed), seed);
        alone.extend(draw(&fresh, GenerateImageRequest { n: Some(1), seed, ..case.request() }).await);
    }
    assert_same(&case, &four, |_, part| batch(&alone, part));
}

#[tokio::test]
async fn one_process_draws_what_separate_processes_draw() {
    let (cluster, local) = tokio::join!(Cluster::shared("tiny"), Local::start("tiny"));
    for golden in goldens("tiny").iter().filter(|golden| golden.case.name.contains("guided")) {
        let request = golden.case.request();
        let apart = draw(&cluster.gateway, request.clone()).await;
        let together = draw(&local.server, request).await;
        assert_golden(golden, &together);
        assert_same(&golden.case, &together, |_, part| batch(&apart, part));
    }
}

#[tokio::test]
async fn bf16_is_no_further_from_f32_than_diffusers_own_bf16() {
    let flags = [CPU[0], CPU[1], "--dtype", "bf16"];
    let cluster = Cluster::start("tiny", &flags).await;
    for golden in goldens("tiny") {
        let images = draw(&cluster.gateway, golden.case.request()).await;
        let found = batch(&images, |tensors| tensors.image.as_ref());
        let error = compare(&found, &golden.tensors["image"].values).mean;
        let limit = golden.case.bf16_mean_abs_error * BF16_FACTOR + BF16_SLACK;
        println!("{:<30} {error:.5}, diffusers {:.5}", golden.case.name, golden.case.bf16_mean_abs_error);
        assert!(error <= limit, "{}: {error}, at most {limit} is allowed", golden.case.name);
    }
}
