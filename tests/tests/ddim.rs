//! DDIM with guidance, of the shipped decoder: the more steps, the nearer to where endlessly many end.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use unclip_proto::Redraw;
use unclip_proto::v1::{
    DrawOptions, GenerateImageRequest, GeneratedImage, InvertImageRequest, Latent, PriorMode, Receipt,
    Sampler, SamplingOptions, VaryImageRequest,
};
use unclip_tests::latents::{embedded, photo, picture, steps};
use unclip_tests::{Bundle, CPU, Cluster, Server, generate, invert_image, values, vary};

/// The decoder's picture, in [-1, 1].
fn decoded(image: &GeneratedImage) -> Vec<f32> {
    values(image.tensors.as_ref().unwrap().decoded.as_ref())
}

fn rmse(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

fn ddim(steps: u32, clamped_epsilon: Option<bool>) -> SamplingOptions {
    let (sampler, guidance_scale) = (Sampler::Ddim as i32, Some(3.0));
    SamplingOptions { steps: Some(steps), guidance_scale, sampler, clamped_epsilon, ..Default::default() }
}

#[tokio::test]
async fn more_steps_come_closer_at_the_bundles_own_guidance_scale() {
    let bundle = Bundle::imported("emoji");
    let path = bundle.path();
    let flags = [&["--bundle", path.to_str().unwrap()], &CPU[..]].concat();
    let server = Server::start("unclip serve", &flags).await;
    let draw = async |decoder: SamplingOptions| {
        let request = GenerateImageRequest {
            prompt: "a red heart".to_owned(),
            seed: Some(7),
            prior_mode: PriorMode::TextEmbedding as i32,
            decoder: Some(decoder),
            upsampler: steps(1),
            return_tensors: true,
            ..Default::default()
        };
        decoded(&generate(&server, request).await.unwrap().images[0])
    };
    let end = draw(ddim(100, None)).await;
    let mut distances = Vec::new();
    for steps in [5, 10, 25, 50] {
        distances.push(rmse(&draw(ddim(steps, None)).await, &end));
    }
    assert!(distances.is_sorted_by(|a, b| a > b) && distances[3] < 0.05, "{distances:?}");
    // The reference's default ends somewhere else, and the more steps the further.
    let mut beside = Vec::new();
    for steps in [5, 25] {
        beside.push(rmse(&draw(ddim(steps, Some(false))).await, &end));
    }
    assert!(beside[0] < beside[1] && beside[1] > 0.5, "{beside:?}");
}

/// A receipt says which noise DDIM went on with, and one from before that had no choice.
#[tokio::test]
async fn a_receipt_keeps_the_noise_that_was_gone_on_with() {
    let cluster = Cluster::shared("tiny").await;
    let draw = async |request: VaryImageRequest| vary(&cluster.gateway, request).await.unwrap().remove(0);
    let with = |clamped_epsilon| VaryImageRequest {
        latent: picture(photo()),
        n: None,
        options: Some(DrawOptions {
            seed: Some(7),
            decoder: Some(ddim(4, clamped_epsilon)),
            upsampler: steps(2),
            ..Default::default()
        }),
    };
    let again = async |receipt: &Receipt| {
        let Redraw::Vary(request) = receipt.redraw().unwrap() else { unreachable!("not varied") };
        draw(request).await.image
    };
    let (clamped, unclamped) = (draw(with(None)).await, draw(with(Some(false))).await);
    assert_ne!(clamped.image, unclamped.image);
    assert_eq!(draw(with(Some(true))).await.image, clamped.image, "the default");
    let mut old = unclamped.receipt.clone().unwrap();
    for (image, receipt) in [(&clamped, clamped.receipt.clone().unwrap()), (&unclamped, old.clone())] {
        assert_eq!(again(&receipt).await, image.image);
    }
    // As it was written before the field.
    let mut json = old.to_json().unwrap();
    for stage in json["stages"].as_array_mut().unwrap() {
        stage.as_object_mut().unwrap().remove("clamped_epsilon");
    }
    old = Receipt::from_json(&json.to_string()).unwrap();
    assert_eq!(again(&old).await, unclamped.image);
}

/// Mean absolute difference, as a share of the range.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum();
    sum / 2.0 / a.len() as f64
}

/// What `figures` draws.
const THINGS: [&str; 8] =
    ["red heart", "cat face", "pizza", "yellow star", "rocket", "blue heart", "apple", "fox"];

/// The tables of docs/toolbox.md: `cargo test -p unclip-tests --test ddim -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "minutes of drawing, for the documentation's figures"]
async fn figures() {
    let bundle = Bundle::imported("emoji");
    let path = bundle.path();
    let flags = [&["--bundle", path.to_str().unwrap()], &CPU[..]].concat();
    let server = Server::start("unclip serve", &flags).await;
    let draw = async |decoder: SamplingOptions, latents: &[Latent]| {
        let drawn = latents.iter().zip(7_u64..).map(|(latent, seed)| {
            let (latent, server) = (Some(latent.clone()), &server);
            async move {
                let options = DrawOptions {
                    seed: Some(seed),
                    decoder: Some(decoder),
                    upsampler: steps(1),
                    return_tensors: true,
                    ..Default::default()
                };
                let request = VaryImageRequest { latent, n: None, options: Some(options) };
                vary(server, request).await.unwrap().remove(0)
            }
        });
        futures::future::join_all(drawn).await
    };
    let mut pictures = Vec::new();
    for (prompt, seed) in THINGS.into_iter().zip(7..) {
        let request =
            GenerateImageRequest { prompt: prompt.to_owned(), seed: Some(seed), ..Default::default() };
        pictures.extend(generate(&server, request).await.unwrap().images);
    }
    let files: Vec<_> = pictures.iter().map(|drawn| picture(drawn.image.to_vec()).unwrap()).collect();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;

    let ends: Vec<_> = draw(ddim(200, None), &files).await.iter().map(decoded).collect();
    println!("| steps | 5 | 10 | 25 | 50 |\n|---|---|---|---|---|");
    for (name, clamped) in [("clamped", None), ("unclamped", Some(false))] {
        let mut line = format!("| {name} |");
        for steps in [5, 10, 25, 50] {
            let drawn = draw(ddim(steps, clamped), &files).await;
            let off = drawn.iter().zip(&ends).map(|(drawn, end)| rmse(&decoded(drawn), end)).collect();
            line += &format!(" {:.3} |", mean(off));
        }
        println!("{line}");
    }

    let mut latents = Vec::new();
    for drawn in &pictures {
        let request = InvertImageRequest { image: drawn.image.clone(), inversion: None };
        let found = invert_image(&server, request).await.unwrap();
        let latent = embedded(found.image_embedding, found.x_t).unwrap();
        latents.push(Latent { decoder: found.decoder, ..latent });
    }
    let etas = [0.0, 0.25, 0.5, 0.75, 1.0];
    println!("| eta | {} |\n|---|---|---|---|---|---|", etas.map(|eta| eta.to_string()).join(" | "));
    for scale in [1.0, 3.0] {
        let with =
            |eta| SamplingOptions { guidance_scale: Some(scale), eta: Some(eta), ..Default::default() };
        let base: Vec<_> = draw(with(0.0), &latents).await.iter().map(decoded).collect();
        let mut line = format!("| scale {scale} |");
        for eta in etas {
            let drawn = draw(with(eta), &latents).await;
            let off = drawn.iter().zip(&base).map(|(drawn, base)| distance(&decoded(drawn), base)).collect();
            line += &format!(" {:.3} |", mean(off));
        }
        println!("{line}");
    }
}
