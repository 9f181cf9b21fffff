//! Every seed draws, up to the last, and only its low 32 bits count.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use image::{Rgba, RgbaImage};
use serde_json::json;
use tonic::Code;
use unclip_proto::v1::{
    DiffImageRequest, DrawOptions, EditImageRequest, GenerateImageRequest, GeneratedImage,
    InterpolateImagesRequest, Latent, NoiseBlend, VaryImageRequest, latent::Source,
};
use unclip_tests::latents::{photo, picture, steps};
use unclip_tests::{
    Cluster, assert_refused, diff, edit, generate, interpolate, json_call, png_file, run_in, scratch, send,
    vary,
};

const LAST: u64 = u64::MAX;

/// Torch's generator takes 32 bits, so that this seed draws the same as the last.
const SAME: u64 = 0xffff_ffff;

fn generation(seed: u64) -> GenerateImageRequest {
    GenerateImageRequest {
        prompt: "a red fox".to_owned(),
        seed: Some(seed),
        prior: steps(2),
        decoder: steps(2),
        upsampler: steps(2),
        ..Default::default()
    }
}

fn options(seed: u64) -> Option<DrawOptions> {
    Some(DrawOptions { seed: Some(seed), decoder: steps(2), upsampler: steps(2), ..Default::default() })
}

fn first(images: Vec<GeneratedImage>, seed: u64) -> Vec<u8> {
    assert_eq!(images[0].receipt.as_ref().unwrap().seed, seed);
    images[0].image.to_vec()
}

#[tokio::test]
async fn the_last_seed_draws_in_every_call() {
    let cluster = Cluster::shared("tiny").await;
    let gateway = &cluster.gateway;
    let mut drawn = Vec::new();
    for seed in [LAST, SAME] {
        let generated = generate(gateway, generation(seed)).await.unwrap().images;
        let request = VaryImageRequest { latent: picture(photo()), n: None, options: options(seed) };
        let varied = vary(gateway, request).await.unwrap();
        let words = Latent { source: Some(Source::Text("a cat".to_owned())), ..Default::default() };
        let request = InterpolateImagesRequest {
            from: picture(photo()),
            to: Some(words),
            frames: Some(2),
            blend: NoiseBlend::Slerp as i32,
            inversion: None,
            options: options(seed),
        };
        let blended = interpolate(gateway, request).await.unwrap();
        let request = DiffImageRequest {
            latent: picture(photo()),
            to_caption: "a cat".to_owned(),
            thetas: vec![0.5],
            options: options(seed),
            ..Default::default()
        };
        let changed = diff(gateway, request).await.unwrap();
        let canvas = RgbaImage::from_fn(32, 32, |x, _| Rgba([9, 8, 7, if x < 16 { 255 } else { 0 }]));
        let request = EditImageRequest {
            generation: Some(generation(seed)),
            image: png_file(canvas).into(),
            resample: Some(1),
            ..Default::default()
        };
        let edited = edit(gateway, request).await.unwrap();
        let all = [generated, varied, blended, changed, edited];
        drawn.push(all.map(|images| first(images, seed)));
    }
    assert_eq!(drawn[0], drawn[1], "the low 32 bits count");

    let pictures = GenerateImageRequest { n: Some(3), ..generation(LAST - 2) };
    let pictures = generate(gateway, pictures).await.unwrap().images;
    assert_eq!(first(pictures[2..].to_vec(), LAST), drawn[0][0]);
    let beyond = GenerateImageRequest { n: Some(2), ..generation(LAST) };
    let expected = "seed: 18446744073709551615 is out of range, it must be from 0 to 18446744073709551614";
    assert_refused(generate(gateway, beyond).await, Code::InvalidArgument, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_seed_draws_over_http_and_at_the_command_line() {
    let cluster = Cluster::shared("tiny").await;
    let expected = first(generate(&cluster.gateway, generation(LAST)).await.unwrap().images, LAST);
    let few = json!({ "steps": 2 });
    for seed in [json!(LAST), json!(LAST.to_string())] {
        let body = json!({
            "prompt": "a red fox", "seed": seed, "prior": few, "decoder": few, "upsampler": few,
        });
        let answer = json_call(&cluster.gateway, "GenerateImage", &body).await;
        let lines = answer.lines();
        let seed = &lines.last().unwrap()["image"]["receipt"]["seed"];
        assert_eq!(seed.to_string().trim_matches('"'), LAST.to_string(), "{}", answer.text());
    }
    let body = json!({
        "prompt": "a red fox", "seed": LAST, "steps": 2, "prior_steps": 2, "upsampler_steps": 2,
    });
    let json_body = ["Content-Type: application/json"];
    let body = body.to_string();
    let answer = send(&cluster.gateway, "POST /v1/images/generations", &json_body, body.as_bytes());
    assert_eq!(answer.json()["data"][0]["seed"], json!(LAST));

    let folder = scratch();
    let few = ["--prior-steps", "2", "--decoder-steps", "2", "--upsampler-steps", "2", "-o", "x.png"];
    let own = ["generate", "--endpoint", &cluster.gateway.url(), "--prompt", "a red fox", "--seed"];
    run_in(folder.path(), "unclip", &[&own[..], &[&LAST.to_string()], &few].concat()).assert_done();
    assert_eq!(std::fs::read(folder.path().join("x.png")).unwrap(), expected);
}

#[test]
fn every_help_says_that_the_low_bits_count() {
    let folder = scratch();
    for command in ["generate", "vary", "interpolate", "diff", "reconstruct", "edit", "mix"] {
        let run = run_in(folder.path(), "unclip", &[command, "--help"]);
        assert!(run.out.contains("plus 2^32"), "{command}: {}", run.out);
    }
}
