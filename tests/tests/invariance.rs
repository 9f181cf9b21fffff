//! A seed is a picture, to the last bit, whoever else is being served.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::collections::BTreeSet;

use futures::future::join_all;
use unclip_proto::v1::{DrawOptions, GenerateImageRequest, Sampler, SamplingOptions, VaryImageRequest};
use unclip_tests::latents::{photo, picture, steps};
use unclip_tests::{Bundle, Server, generate, vary};

/// Others beside the picture in question, and how many of them come before it: few and many, so that passes of many sizes
/// come about.
const CROWDS: [(u32, u32); 4] = [(1, 1), (2, 0), (5, 2), (10, 10)];

/// A caption with a seed. Without guidance a row takes one lane, else two.
fn request(prompt: &str, seed: u64, n: u32, guidance: Option<f32>) -> GenerateImageRequest {
    let decoder = SamplingOptions { steps: Some(3), guidance_scale: guidance, ..Default::default() };
    GenerateImageRequest {
        prompt: prompt.to_owned(),
        seed: Some(seed),
        n: Some(n),
        prior: steps(3),
        decoder: Some(decoder),
        upsampler: steps(2),
        ..Default::default()
    }
}

/// Others of many lengths, step counts, samplers, scales and numbers of pictures.
fn other(index: u32) -> GenerateImageRequest {
    let of = |count: usize| index as usize % count;
    let words = ["cat", "a long caption of a small blue house beside a tree", "", "pizza", "two rockets"];
    let scales = [None, Some(1.0), Some(5.0)];
    let seed = 100 + u64::from(index);
    let mut request = request(words[of(5)], seed, 1 + index % 2, scales[of(3)]);
    request.negative_prompt = ["", "a red thing"][of(2)].to_owned();
    if let Some(decoder) = &mut request.decoder {
        decoder.steps = Some(3 + index % 4);
        decoder.sampler = [Sampler::Unclip, Sampler::Ddim][of(2)] as i32;
    }
    request
}

async fn draw(server: &Server, request: GenerateImageRequest) -> Vec<String> {
    let images = generate(server, request).await.unwrap().images;
    images.iter().map(|image| blake3::hash(&image.image).to_string()).collect()
}

/// The hash of one request's files, alone and in every crowd, before, between and behind the others.
async fn hashes(server: &Server, ours: &GenerateImageRequest) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::from([draw(server, ours.clone()).await]);
    for (crowd, place) in CROWDS {
        let mut requests: Vec<_> = (0..crowd).map(|index| other(index + place)).collect();
        requests.insert(place as usize, ours.clone());
        let mut drawn = join_all(requests.into_iter().map(|request| draw(server, request))).await;
        found.insert(drawn.swap_remove(place as usize));
    }
    found
}

/// All stages in one process, for which nothing is remembered: every picture is drawn anew.
async fn serve(bundle: &Bundle, dtype: &str) -> Server {
    let path = bundle.path();
    let own = ["--bundle", path.to_str().unwrap(), "--threads", "2", "--device", "cpu", "--dtype", dtype];
    Server::start("unclip serve", &[&own[..], &["--cache-mib", "0", "--max-batch", "16"]].concat()).await
}

async fn a_seed_is_a_picture(fixture: &str, dtype: &str) {
    let bundle = Bundle::imported(fixture);
    let server = serve(&bundle, dtype).await;
    for guidance in [None, Some(1.0)] {
        let ours = request("a red heart", 7, 1, guidance);
        let found = hashes(&server, &ours).await;
        assert_eq!(found.len(), 1, "{fixture}, {dtype}, guidance {guidance:?}: {found:?}");
        // Pictures of a batch are those of their seeds alone.
        let batch = draw(&server, GenerateImageRequest { seed: Some(5), n: Some(5), ..ours }).await;
        assert_eq!(batch[2], found.into_iter().next().unwrap()[0], "{fixture}, {dtype}, {guidance:?}");
    }
    let metrics = server.metrics();
    let shared = ["decoder", "upsampler"].map(|engine| {
        let total =
            |part: &str| metrics.sum(&format!("unclip_engine_batch_lanes_{part}"), &[("engine", engine)]);
        total("sum") / total("count")
    });
    assert!(shared[0] > 2.0 && shared[1] > 1.0, "nobody shared a pass: {shared:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_f32_with_the_shipped_bundle() {
    a_seed_is_a_picture("emoji", "f32").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_bf16_with_the_shipped_bundle() {
    a_seed_is_a_picture("emoji", "bf16").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_f32_with_a_network_of_odd_sizes() {
    a_seed_is_a_picture("varied", "f32").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_bf16_with_a_network_of_odd_sizes() {
    a_seed_is_a_picture("varied", "bf16").await;
}

/// Of the toolbox too.
#[tokio::test(flavor = "multi_thread")]
async fn a_variation_is_the_same_alone_and_in_company() {
    let bundle = Bundle::imported("emoji");
    let server = serve(&bundle, "f32").await;
    let draw = async |n: u32, seed: u64| {
        let options = DrawOptions { seed: Some(seed), decoder: steps(3), ..Default::default() };
        let request = VaryImageRequest { latent: picture(photo()), n: Some(n), options: Some(options) };
        let images = vary(&server, request).await.unwrap();
        images.into_iter().map(|image| image.image).collect::<Vec<_>>()
    };
    let alone = draw(1, 9).await;
    let (batch, _) = tokio::join!(draw(4, 7), draw(3, 1));
    assert_eq!(batch[2], alone[0]);
}
