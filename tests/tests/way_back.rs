//! Where x_T is known, the way back to its picture is the default, and a field that is given leaves the others alone.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::path::Path;

use tonic::Code;
use unclip_proto::v1::{
    DiffImageRequest, DrawOptions, GeneratedImage, InterpolateImagesRequest, InversionOptions,
    InvertImageRequest, InvertedImage, Latent, NoiseBlend, Receipt, ReconstructImageRequest, Sampler,
    SamplingOptions, Stage, VaryImageRequest,
};
use unclip_tests::latents::{embedded, image, options, photo, picture, steps};
use unclip_tests::{
    Cluster, assert_refused, assert_same_pictures, diff, gateway_client, gradient, interpolate, invert_image,
    png_file, reconstruct, run_in, scratch, vary,
};

/// Steps, sampler, guidance scale and eta of the decoder.
fn drawn_with(frame: &GeneratedImage) -> (u32, Sampler, f32, f32) {
    let receipt = frame.receipt.clone().unwrap();
    let line = receipt.line(Stage::Decoder).unwrap();
    assert_eq!(line.clamped_epsilon, line.sampler() == Sampler::Ddim);
    (line.steps, line.sampler(), line.guidance_scale, line.eta)
}

fn given(decoder: SamplingOptions) -> Option<DrawOptions> {
    options(Some(decoder))
}

async fn inverted(cluster: &Cluster, steps: u32) -> InvertedImage {
    let inversion = Some(InversionOptions { steps: Some(steps), refinements: None });
    let request = InvertImageRequest { image: photo().into(), inversion };
    invert_image(&cluster.gateway, request).await.unwrap()
}

/// What `invert` found, as `vary` takes it.
fn latent(found: &InvertedImage) -> Option<Latent> {
    let latent = embedded(found.image_embedding.clone(), found.x_t.clone()).unwrap();
    Some(Latent { decoder: found.decoder, ..latent })
}

#[tokio::test]
async fn one_given_field_leaves_the_other_defaults_of_every_operation() {
    let cluster = Cluster::shared("tiny").await;
    let none = SamplingOptions::default;
    let cases = [
        (none(), (5, Sampler::Ddim, 1.0, 0.0)),
        (SamplingOptions { steps: Some(3), ..none() }, (3, Sampler::Ddim, 1.0, 0.0)),
        (SamplingOptions { guidance_scale: Some(2.0), ..none() }, (5, Sampler::Ddim, 2.0, 0.0)),
        (SamplingOptions { eta: Some(0.5), ..none() }, (5, Sampler::Ddim, 1.0, 0.5)),
        (SamplingOptions { sampler: Sampler::Ddim as i32, ..none() }, (5, Sampler::Ddim, 1.0, 0.0)),
        (SamplingOptions { sampler: Sampler::Unclip as i32, ..none() }, (5, Sampler::Unclip, 1.0, 0.0)),
    ];
    let inversion = Some(InversionOptions { steps: Some(5), refinements: None });
    let request = [photo(), png_file(gradient(16, 48))].map(Into::into).to_vec();
    let request = unclip_proto::v1::UnclipServiceEncodeImageRequest { images: request };
    let mut client = gateway_client(&cluster.gateway);
    let embeddings = client.encode_image(request).await.unwrap().into_inner().embeddings;
    let request = unclip_proto::v1::ComputeBasisRequest { embeddings, components: None };
    let basis = client.compute_basis(request).await.unwrap().into_inner().basis;
    for (decoder, expected) in cases {
        let options = given(decoder);
        let request = DiffImageRequest {
            latent: picture(photo()),
            to_caption: "a cat".to_owned(),
            thetas: vec![0.0],
            inversion,
            options,
            ..Default::default()
        };
        assert_eq!(drawn_with(&diff(&cluster.gateway, request).await.unwrap()[0]), expected, "diff");
        let request = InterpolateImagesRequest {
            from: picture(photo()),
            to: picture(photo()),
            frames: Some(2),
            blend: NoiseBlend::Fixed as i32,
            inversion,
            options,
        };
        let frames = interpolate(&cluster.gateway, request).await.unwrap();
        assert_eq!(drawn_with(&frames[0]), expected, "interpolate");
        let request = ReconstructImageRequest {
            latent: picture(photo()),
            basis: basis.clone(),
            components: vec![1],
            inversion,
            options,
        };
        let frames = reconstruct(&cluster.gateway, request).await.unwrap();
        assert_eq!(drawn_with(&frames[0]), expected, "reconstruct");
    }
}

/// What is left open of both ways is the same in both: theta 0 is the picture.
#[tokio::test]
async fn an_inversion_takes_the_steps_that_the_decoder_is_given() {
    let cluster = Cluster::shared("tiny").await;
    let request = DiffImageRequest {
        latent: picture(photo()),
        to_caption: "a cat".to_owned(),
        thetas: vec![0.0],
        options: given(SamplingOptions { steps: Some(6), ..Default::default() }),
        ..Default::default()
    };
    let frames = diff(&cluster.gateway, request).await.unwrap();
    let found = inverted(&cluster, 6).await;
    assert_eq!(frames[0].receipt.as_ref().unwrap().x_t, found.x_t);
}

#[tokio::test]
async fn latents_become_their_picture_again() {
    let cluster = Cluster::shared("tiny").await;
    let found = inverted(&cluster, 4).await;
    let explicit = VaryImageRequest {
        latent: embedded(found.image_embedding.clone(), found.x_t.clone()),
        n: None,
        options: options(found.decoder),
    };
    let expected = image(&vary(&cluster.gateway, explicit).await.unwrap()[0]);
    let request = VaryImageRequest { latent: latent(&found), n: Some(3), options: options(None) };
    let frames = vary(&cluster.gateway, request.clone()).await.unwrap();
    for frame in &frames {
        assert_eq!(drawn_with(frame), (4, Sampler::Ddim, 1.0, 0.0));
        assert_eq!(frame.receipt.as_ref().unwrap().seed, 7, "nothing else tells them apart");
        assert_eq!(frame.image, frames[0].image, "they are the same");
        assert_same_pictures("the way back", &image(frame), &expected);
    }

    let varied = SamplingOptions { eta: Some(0.5), ..Default::default() };
    let varied = VaryImageRequest { options: given(varied), ..request.clone() };
    let frames = vary(&cluster.gateway, varied).await.unwrap();
    assert_eq!(drawn_with(&frames[2]), (4, Sampler::Ddim, 1.0, 0.5));
    assert_eq!(frames[2].receipt.as_ref().unwrap().seed, 9);
    assert_ne!(frames[2].image, frames[1].image);

    let silent = embedded(found.image_embedding.clone(), found.x_t.clone());
    let silent = VaryImageRequest { latent: silent, n: None, options: options(None) };
    let frames = vary(&cluster.gateway, silent).await.unwrap();
    assert_eq!(drawn_with(&frames[0]), (50, Sampler::Ddim, 1.0, 0.0), "what an inversion takes by itself");
    let without = VaryImageRequest { latent: picture(photo()), n: None, options: options(steps(2)) };
    let frames = vary(&cluster.gateway, without).await.unwrap();
    assert_eq!(drawn_with(&frames[0]), (2, Sampler::Unclip, 8.0, 0.0), "no x_T, no way back");

    let request = DiffImageRequest {
        latent: latent(&found),
        to_caption: "a cat".to_owned(),
        thetas: vec![0.0],
        options: options(None),
        ..Default::default()
    };
    let frames = diff(&cluster.gateway, request).await.unwrap();
    assert_same_pictures("theta 0", &image(&frames[0]), &expected);
}

#[tokio::test]
async fn a_way_back_without_noise_is_refused() {
    let cluster = Cluster::shared("tiny").await;
    let latent = |decoder| picture(photo()).map(|latent| Latent { decoder, ..latent });
    let request = VaryImageRequest { latent: latent(steps(4)), n: None, options: None };
    let refused = vary(&cluster.gateway, request).await;
    assert_refused(
        refused,
        Code::InvalidArgument,
        "latent.decoder: says how x_t is decoded, and there is none",
    );
}

/// Of `unclip invert` and `unclip vary`, as they are typed.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_latents_is_its_picture() {
    let cluster = Cluster::shared("tiny").await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    gradient(40, 30).save(place.join("in.png")).unwrap();
    let run = |command: &str, arguments: &[&str]| {
        let run = run_in(place, "unclip", &[&[command, "--endpoint", &endpoint], arguments].concat());
        run.assert_done();
        run.out
    };
    let line = |receipt: &str| decoder_line(&place.join(receipt));
    run("invert", &["in.png", "--inversion-steps", "4"]);
    let quick = ["--upsampler-steps", "2", "--seed", "5", "--receipt", "r.json", "--overwrite"];
    run("vary", &[&["latents.safetensors", "-o", "back.png"], &quick[..]].concat());
    assert_eq!(line("r.json"), (4, Sampler::Ddim, 1.0, 0.0));
    let two = ["latents.safetensors", "-n", "2", "--eta", "0", "-o", "two.png"];
    let out = run("vary", &[&two[..], &quick].concat());
    assert!(out.contains("all the same"), "{out}");
    let read = |name: &str| std::fs::read(place.join(name)).unwrap();
    assert_eq!(read("two-0.png"), read("two-1.png"));
    assert_eq!(read("two-0.png"), read("back.png"));
    run("vary", &[&["latents.safetensors", "-n", "1", "--eta", "0.5"], &quick[..]].concat());
    assert_eq!(line("r.json"), (4, Sampler::Ddim, 1.0, 0.5));

    let diff = ["in.png", "--to", "a cat", "--thetas", "0", "--decoder-steps", "3"];
    run("diff", &[&diff[..], &quick].concat());
    assert_eq!(line("r.json"), (3, Sampler::Ddim, 1.0, 0.0));
    let ends = ["in.png", "in.png", "--frames", "2", "--inversion-steps", "3"];
    let quick = ["--upsampler-steps", "2", "--receipt", "r.json", "--overwrite"];
    run("interpolate", &[&ends[..], &quick].concat());
    assert_eq!(line("r-0.json"), (3, Sampler::Ddim, 1.0, 0.0), "steps of an inversion ask for one");
    let receipt = Receipt::from_json(&std::fs::read_to_string(place.join("r-0.json")).unwrap()).unwrap();
    assert!(receipt.x_t.is_some());
}

fn decoder_line(path: &Path) -> (u32, Sampler, f32, f32) {
    let receipt = Receipt::from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
    drawn_with(&GeneratedImage { receipt: Some(receipt), ..Default::default() })
}
