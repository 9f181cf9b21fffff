//! The operations of arXiv 2204.06125, section 3, and edits, at the gateway.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use image::{RgbImage, Rgba, RgbaImage};
use tonic::Code;
use unclip_proto::v1::latent::Source;
use unclip_proto::v1::{
    ClassifyRequest, DiffImageRequest, DrawOptions, EditImageRequest, Embedding, GenerateImageRequest,
    GeneratedImage, InterpolateImagesRequest, InversionOptions, InvertImageRequest, Latent, MaskMode,
    NoiseBlend, Tensor, UnclipServiceEncodeImageRequest, UnclipServiceEncodeTextRequest, VaryImageRequest,
};
use unclip_tests::latents::{ddim, embedded, image, options, photo, picture, steps};
use unclip_tests::{
    Cluster, assert_close, assert_refused, assert_same_pictures, compare, diff, edit, gateway_client,
    generate, gradient, interpolate, invert_image, png_file, values, variations, vary,
};

/// diffusers 0.42.1, `UnCLIPImageVariationPipeline`, torch 2.11.0: see tests/reference.
async fn variations_match(fixture: &str) {
    let cluster = Cluster::shared(fixture).await;
    for variation in variations(fixture) {
        let (case, tensors) = (&variation.golden.case, &variation.golden.tensors);
        let [_, decoder, upsampler] = case.stage_options();
        let request = VaryImageRequest {
            latent: picture(png_file(variation.source)),
            n: Some(case.n),
            options: Some(DrawOptions {
                seed: Some(case.seed),
                decoder,
                upsampler,
                return_tensors: true,
                ..Default::default()
            }),
        };
        let images = vary(&cluster.gateway, request).await.unwrap();
        assert_eq!(images.len(), case.n as usize);
        for (index, found) in images.iter().enumerate() {
            let part = found.tensors.clone().unwrap();
            let row = |name: &str| tensors[name].row(if tensors[name].shape[0] == 1 { 0 } else { index });
            let embedding = values(part.image_embedding.as_ref());
            assert_close(&case.name, &embedding, row("image_embedding"), 1e-4);
            assert_close(&case.name, &values(part.text_embedding.as_ref()), row("text_embedding"), 1e-4);
            assert_same_pictures(&case.name, &values(part.decoded.as_ref()), row("decoded"));
            assert_same_pictures(&case.name, &values(part.image.as_ref()), row("image"));
        }
    }
}

#[tokio::test]
async fn variations_of_tiny_are_what_diffusers_draws() {
    variations_match("tiny").await;
}

#[tokio::test]
async fn variations_of_varied_are_what_diffusers_draws() {
    variations_match("varied").await;
}

#[tokio::test]
async fn a_receipt_draws_its_variation_again() {
    let cluster = Cluster::shared("tiny").await;
    let request = VaryImageRequest { latent: picture(photo()), n: Some(2), options: options(ddim(0.5)) };
    let images = vary(&cluster.gateway, request).await.unwrap();
    let receipt = images[1].receipt.clone().unwrap();
    assert_eq!((receipt.operation.as_str(), receipt.seed), ("vary", 8));
    let options = options(ddim(0.5)).map(|options| DrawOptions { seed: Some(receipt.seed), ..options });
    let request =
        VaryImageRequest { latent: embedded(receipt.image_embedding, receipt.x_t), n: None, options };
    let again = vary(&cluster.gateway, request).await.unwrap();
    assert_same_pictures("drawn again", &image(&again[0]), &image(&images[1]));
}

#[tokio::test]
async fn embeddings_go_out_and_in() {
    let cluster = Cluster::shared("tiny").await;
    let mut client = gateway_client(&cluster.gateway);
    let request = UnclipServiceEncodeImageRequest { images: vec![photo().into()] };
    let encoded = client.encode_image(request).await.unwrap().into_inner().embeddings;
    let draw = async |latent| {
        let request = VaryImageRequest { latent, n: None, options: options(ddim(0.0)) };
        image(&vary(&cluster.gateway, request).await.unwrap()[0])
    };
    let (direct, encoded) =
        (draw(picture(photo())).await, draw(embedded(encoded.first().cloned(), None)).await);
    assert_same_pictures("encoded first", &encoded, &direct);

    let texts = vec!["a red fox".to_owned(), String::new()];
    let texts = client.encode_text(UnclipServiceEncodeTextRequest { texts }).await.unwrap().into_inner();
    assert_eq!(texts.embeddings.len(), 2);
    let none = client.encode_text(UnclipServiceEncodeTextRequest::default()).await;
    assert_refused(none, Code::InvalidArgument, "texts: 0 texts, there must be 1 to 64");
    let broken = UnclipServiceEncodeImageRequest { images: vec![b"<svg/>".to_vec().into()] };
    assert_refused(
        client.encode_image(broken).await,
        Code::InvalidArgument,
        "images[0]: no readable picture",
    );
}

#[tokio::test]
async fn frames_begin_and_end_with_the_reconstructions() {
    let cluster = Cluster::shared("tiny").await;
    let inversion = Some(InversionOptions { steps: Some(4), refinements: Some(1) });
    let other = png_file(gradient(16, 48));
    let request = InterpolateImagesRequest {
        from: picture(photo()),
        to: picture(other.clone()),
        frames: Some(3),
        blend: NoiseBlend::Slerp as i32,
        inversion,
        options: options(None),
    };
    let frames = interpolate(&cluster.gateway, request.clone()).await.unwrap();
    let order: Vec<u32> = frames.iter().map(|frame| frame.image_index).collect();
    assert_eq!(order, [0, 1, 2]);
    for (file, frame) in [(photo(), &frames[0]), (other, &frames[2])] {
        let request = InvertImageRequest { image: file.into(), inversion };
        let inverted = invert_image(&cluster.gateway, request).await.unwrap();
        assert!((0.0..0.5).contains(&inverted.round_trip_error), "{}", inverted.round_trip_error);
        let decoded = values(frame.tensors.as_ref().unwrap().decoded.as_ref());
        let png = image::load_from_memory(&inverted.reconstruction).unwrap().into_rgb8();
        let plane = decoded.len() / 3;
        for (at, pixel) in png.pixels().enumerate() {
            for (channel, byte) in pixel.0.iter().enumerate() {
                let expected = (decoded[channel * plane + at] * 0.5 + 0.5) * 255.0;
                assert!((f32::from(*byte) - expected).abs() < 1.0, "pixel {at}: {byte}, {expected}");
            }
        }
        let latent = embedded(inverted.image_embedding, inverted.x_t);
        let again = VaryImageRequest { latent, n: None, options: options(inverted.decoder) };
        let again = vary(&cluster.gateway, again).await.unwrap();
        assert_same_pictures("the reconstruction", &image(&again[0]), &image(frame));
    }
    assert!(compare(&image(&frames[1]), &image(&frames[0])).mean > 0.0);

    let caption =
        |text: &str| Some(Latent { source: Some(Source::Text(text.to_owned())), ..Default::default() });
    let texts = InterpolateImagesRequest {
        from: caption("a red fox"),
        to: caption("a cat"),
        inversion: None,
        frames: Some(2),
        ..request.clone()
    };
    assert_eq!(interpolate(&cluster.gateway, texts).await.unwrap().len(), 2);
    let one = InterpolateImagesRequest { frames: Some(1), ..request.clone() };
    let refused = interpolate(&cluster.gateway, one).await;
    assert_refused(refused, Code::InvalidArgument, "frames: 1 is out of range, it must be from 2 to 64");
    let empty = InterpolateImagesRequest { to: Some(Latent::default()), ..request.clone() };
    assert_refused(interpolate(&cluster.gateway, empty).await, Code::InvalidArgument, "to.source: missing");
    let foreign = embedded(Some(Embedding::new("elsewhere", &[0.5; 32])), None);
    let foreign = InterpolateImagesRequest { to: foreign, ..request };
    let refused = interpolate(&cluster.gateway, foreign).await;
    assert_refused(refused, Code::FailedPrecondition, "to: the embedding is of CLIP space `elsewhere`");
}

#[tokio::test]
async fn a_text_diff_starts_at_the_reconstruction() {
    let cluster = Cluster::shared("tiny").await;
    let inversion = Some(InversionOptions { steps: Some(4), refinements: None });
    let request = DiffImageRequest {
        latent: picture(photo()),
        from_caption: String::new(),
        to_caption: "a red fox".to_owned(),
        thetas: vec![0.0, 0.5, 1.0],
        inversion,
        options: options(None),
    };
    let frames = diff(&cluster.gateway, request.clone()).await.unwrap();
    assert_eq!(frames.len(), 3);
    let inverted = InvertImageRequest { image: photo().into(), inversion };
    let inverted = invert_image(&cluster.gateway, inverted).await.unwrap();
    let latent = embedded(inverted.image_embedding, inverted.x_t);
    let base = VaryImageRequest { latent, n: None, options: options(inverted.decoder) };
    let base = image(&vary(&cluster.gateway, base).await.unwrap()[0]);
    assert_same_pictures("theta 0", &image(&frames[0]), &base);
    assert!(compare(&image(&frames[1]), &base).mean > 0.0);

    let same = DiffImageRequest { from_caption: "a red fox".to_owned(), ..request.clone() };
    let refused = diff(&cluster.gateway, same).await;
    assert_refused(refused, Code::InvalidArgument, "to_caption: means the same");
    let far = DiffImageRequest { thetas: vec![1.5], ..request };
    let refused = diff(&cluster.gateway, far).await;
    assert_refused(refused, Code::InvalidArgument, "thetas[0]: 1.5 is out of range, it must be from 0 to 1");
}

fn generation() -> GenerateImageRequest {
    GenerateImageRequest {
        prompt: "a red fox".to_owned(),
        seed: Some(5),
        prior: steps(2),
        decoder: steps(3),
        upsampler: steps(2),
        return_tensors: true,
        ..Default::default()
    }
}

/// A square picture of the upsampler's size whose right part is transparent from `edge` on.
fn canvas(edge: u32) -> RgbaImage {
    RgbaImage::from_fn(32, 32, |x, y| {
        let [red, green, blue] = gradient(32, 32).get_pixel(x, y).0;
        Rgba([red, green, blue, if x < edge { 255 } else { 0 }])
    })
}

#[tokio::test]
async fn an_edit_keeps_every_pixel_it_is_not_asked_to_repaint() {
    let cluster = Cluster::shared("tiny").await;
    let draw = async |image: RgbaImage, mask: Vec<u8>| {
        let request = EditImageRequest {
            generation: Some(generation()),
            image: png_file(image).into(),
            mask: mask.into(),
            resample: Some(1),
            ..Default::default()
        };
        edit(&cluster.gateway, request).await.unwrap().remove(0)
    };
    let pixels = |image: &GeneratedImage| image::load_from_memory(&image.image).unwrap().into_rgb8();
    let original = gradient(32, 32);

    let edited = draw(canvas(16), Vec::new()).await;
    let result = pixels(&edited);
    assert!(original.enumerate_pixels().all(|(x, y, pixel)| x >= 16 || result.get_pixel(x, y) == pixel));
    assert!(original.enumerate_pixels().any(|(x, y, pixel)| result.get_pixel(x, y) != pixel));
    let decoded = values(edited.tensors.as_ref().unwrap().decoded.as_ref());
    let whole = draw(canvas(30), Vec::new()).await;
    let small = values(whole.tensors.as_ref().unwrap().decoded.as_ref());
    // The kept half of the small picture is the small input; a cubic filter reaches two pixels over the edge.
    for at in (0..small.len()).filter(|at| at % 16 < 6) {
        assert!((decoded[at] - small[at]).abs() < 0.02, "value {at}: {} {}", decoded[at], small[at]);
    }

    let masked = draw(canvas(32), png_file(canvas(16))).await;
    let result = pixels(&masked);
    assert!(original.enumerate_pixels().all(|(x, y, pixel)| x >= 16 || result.get_pixel(x, y) == pixel));

    let drawn = draw(canvas(0), Vec::new()).await;
    let generated = generate(&cluster.gateway, generation()).await.unwrap().images.remove(0);
    assert_same_pictures("a transparent picture", &image(&drawn), &image(&generated));
}

#[tokio::test]
async fn bad_edits_are_refused_by_field() {
    let cluster = Cluster::shared("tiny").await;
    let good = EditImageRequest {
        generation: Some(generation()),
        image: png_file(canvas(16)).into(),
        mask: Vec::new().into(),
        ..Default::default()
    };
    type Spoil = fn(&mut EditImageRequest);
    let cases: [(Spoil, &str); 11] = [
        (|r| r.generation = None, "generation: missing"),
        (|r| r.generation.as_mut().unwrap().n = Some(17), "generation.n: 17 is out of range"),
        (|r| r.image = Vec::new().into(), "image: no readable picture (0 bytes)"),
        (|r| r.mask = b"GIF89a".to_vec().into(), "mask: no readable picture"),
        (
            |r| r.mask = png_file(gradient(16, 32)).into(),
            "mask: 16 x 32 pixels, the picture has 32 x 32; both must be the same",
        ),
        (|r| r.resample = Some(51), "resample: 51 is out of range, it must be from 0 to 50"),
        (
            |r| r.image = png_file(canvas(32)).into(),
            "image: no pixel is fully transparent (alpha 0) and there",
        ),
        (|r| r.mask = png_file(canvas(32)).into(), "mask: no pixel is fully transparent (alpha 0)"),
        (
            |r| {
                r.mask = png_file(RgbImage::new(32, 32)).into();
                r.mask_mode = MaskMode::White as i32;
            },
            "mask: no pixel is white",
        ),
        (|r| r.mask_mode = 9, "mask_mode: 9 is no mask mode"),
        (|r| r.mask_mode = MaskMode::White as i32, "mask_mode: it says how a mask is read"),
    ];
    for (spoil, expected) in cases {
        let mut request = good.clone();
        spoil(&mut request);
        assert_refused(edit(&cluster.gateway, request).await, Code::InvalidArgument, expected);
    }
}

#[tokio::test]
async fn labels_share_what_is_likely() {
    let cluster = Cluster::shared("tiny").await;
    let mut client = gateway_client(&cluster.gateway);
    let labels = ["a fox", "a cat", "a fox"].map(str::to_owned).to_vec();
    let request = ClassifyRequest { latent: picture(photo()), labels, logit_scale: None };
    let answer = client.classify(request.clone()).await.unwrap().into_inner();
    assert!((answer.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    assert_eq!(answer.probabilities[0].to_bits(), answer.probabilities[2].to_bits());
    let ratio = f64::from(answer.probabilities[0] / answer.probabilities[1]).ln();
    assert_eq!(answer.logit_scale.to_bits(), 100.0_f32.to_bits(), "these towers know no scale of their own");
    let expected = 100.0 * f64::from(answer.cosines[0] - answer.cosines[1]);
    assert!((ratio - expected).abs() < 1e-2 * (1.0 + expected.abs()), "{ratio} {expected}");

    let none = ClassifyRequest { labels: Vec::new(), ..request.clone() };
    assert_refused(client.classify(none).await, Code::InvalidArgument, "labels: 0 texts");
    let scale = ClassifyRequest { logit_scale: Some(f32::NAN), ..request.clone() };
    assert_refused(client.classify(scale).await, Code::InvalidArgument, "logit_scale: NaN is out of range");
    let short = embedded(Some(Embedding::new("x", &[1.0])), None);
    let foreign = ClassifyRequest { latent: short, ..request };
    assert_refused(
        client.classify(foreign).await,
        Code::FailedPrecondition,
        "latent: the embedding is of CLIP",
    );
}

#[tokio::test]
async fn bad_latents_are_refused_by_field() {
    let cluster = Cluster::shared("tiny").await;
    let good = VaryImageRequest { latent: picture(photo()), n: Some(1), options: options(ddim(0.0)) };
    let text = Latent { source: Some(Source::Text("a fox".to_owned())), ..Default::default() };
    let small = Tensor::from_f32(&[3, 8, 8], &[0.0; 192]);
    let nan = Tensor::from_f32(&[1], &[f32::NAN]);
    let cases = [
        (VaryImageRequest { latent: None, ..good.clone() }, "latent: missing"),
        (VaryImageRequest { latent: Some(Latent::default()), ..good.clone() }, "latent.source: missing"),
        (VaryImageRequest { latent: Some(text), ..good.clone() }, "latent.text: a caption has no picture"),
        (
            VaryImageRequest { latent: picture(b"%PDF".to_vec()), ..good.clone() },
            "latent.image: no readable picture",
        ),
        (
            VaryImageRequest { latent: embedded(Some(Embedding::default()), None), ..good.clone() },
            "latent.image_embedding.tensor: missing",
        ),
        (VaryImageRequest { n: Some(0), ..good.clone() }, "n: 0 is out of range, it must be from 1 to 16"),
    ];
    for (request, expected) in cases {
        assert_refused(vary(&cluster.gateway, request).await, Code::InvalidArgument, expected);
    }
    for (x_t, expected) in [
        (small, "decoder: x_t.shape: [3, 8, 8], this model takes [3, 16, 16]"),
        (nan, "latent.x_t: element 0 is NaN"),
    ] {
        let latent = good.latent.clone().map(|latent| Latent { x_t: Some(x_t), ..latent });
        let request = VaryImageRequest { latent, ..good.clone() };
        assert_refused(vary(&cluster.gateway, request).await, Code::InvalidArgument, expected);
    }
    let inversion = Some(InversionOptions { steps: Some(0), refinements: None });
    let request = InvertImageRequest { image: photo().into(), inversion };
    let refused = invert_image(&cluster.gateway, request).await;
    assert_refused(refused, Code::InvalidArgument, "inversion.steps: 0 is out of range");
}
