//! Mixes of embeddings, and their principal components.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use tonic::Code;
use unclip_proto::v1::latent::Source;
use unclip_proto::v1::{
    ClassifyRequest, ComputeBasisRequest, Embedding, EmbeddingBasis, GeneratedImage,
    InterpolateImagesRequest, Latent, Mix, MixPart, ReconstructImageRequest, UnclipServiceEncodeImageRequest,
    VaryImageRequest, mix_part,
};
use unclip_tests::latents::{ddim, embedded, image, options, photo, picture};
use unclip_tests::{
    Bundle, CPU, Cluster, Server, assert_close, assert_refused, assert_same_pictures, compare,
    gateway_client, gradient, interpolate, png_file, reconstruct, values, vary,
};

fn mixed(parts: Vec<(mix_part::Source, f32)>) -> Option<Latent> {
    let part = |(source, weight)| MixPart { source: Some(source), weight };
    let parts = parts.into_iter().map(part).collect();
    Some(Latent { source: Some(Source::Mix(Mix { parts })), ..Default::default() })
}

fn request(latent: Option<Latent>) -> VaryImageRequest {
    VaryImageRequest { latent, n: None, options: options(ddim(0.0)) }
}

/// The embedding that a picture was decoded from.
fn decoded_from(image: &GeneratedImage) -> Vec<f32> {
    values(image.tensors.as_ref().unwrap().image_embedding.as_ref())
}

fn unit(values: &[f32]) -> Vec<f32> {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value / length).collect()
}

async fn encode(server: &Server, files: &[Vec<u8>]) -> Vec<Embedding> {
    let images = files.iter().map(|file| file.clone().into()).collect();
    let request = UnclipServiceEncodeImageRequest { images };
    gateway_client(server).encode_image(request).await.unwrap().into_inner().embeddings
}

#[tokio::test]
async fn a_mix_lies_between_its_parts() {
    let cluster = Cluster::shared("tiny").await;
    let gateway = &cluster.gateway;
    let one = mixed(vec![(mix_part::Source::Image(photo().into()), 0.3)]);
    let one = vary(gateway, request(one)).await.unwrap();
    let plain = vary(gateway, request(picture(photo()))).await.unwrap();
    assert_close("a mix of one", &decoded_from(&one[0]), &decoded_from(&plain[0]), 1e-4);

    let other = encode(gateway, &[png_file(gradient(16, 48))]).await.remove(0);
    let ends = InterpolateImagesRequest {
        from: picture(photo()),
        to: embedded(Some(other.clone()), None),
        frames: Some(3),
        options: options(ddim(0.0)),
        ..Default::default()
    };
    let frames = interpolate(gateway, ends).await.unwrap();
    let halves =
        vec![(mix_part::Source::Image(photo().into()), 1.0), (mix_part::Source::ImageEmbedding(other), 1.0)];
    let half = vary(gateway, request(mixed(halves))).await.unwrap();
    let (found, expected) = (unit(&decoded_from(&half[0])), unit(&decoded_from(&frames[1])));
    assert_close("the middle has no length of its own", &found, &expected, 1e-4);

    let caption = mixed(vec![(mix_part::Source::Text("a red fox".to_owned()), 1.0)]);
    assert_eq!(vary(gateway, request(caption)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn bad_mixes_are_refused_by_field() {
    let cluster = Cluster::shared("tiny").await;
    let file = |bytes: &[u8]| mix_part::Source::Image(bytes.to_vec().into());
    let foreign = mix_part::Source::ImageEmbedding(Embedding::new("elsewhere", &[0.5; 32]));
    let invalid = Code::InvalidArgument;
    for (parts, code, expected) in [
        (vec![], invalid, "latent.mix.parts: 0 parts, there must be 1 to 16"),
        (vec![(file(b"GIF89a"), 1.0)], invalid, "latent.mix.parts[0].image: no readable picture"),
        (vec![(file(&photo()), 11.0)], invalid, "latent.mix.parts[0].weight: 11 is out of range"),
        (
            vec![(file(&photo()), 1.0), (foreign, 1.0)],
            Code::FailedPrecondition,
            "latent: the embedding is of CLIP space `elsewhere`",
        ),
    ] {
        assert_refused(vary(&cluster.gateway, request(mixed(parts))).await, code, expected);
    }
}

async fn basis(server: &Server, files: &[Vec<u8>]) -> EmbeddingBasis {
    let request = ComputeBasisRequest { embeddings: encode(server, files).await, components: None };
    gateway_client(server).compute_basis(request).await.unwrap().into_inner().basis.unwrap()
}

#[tokio::test]
async fn all_components_are_the_picture_and_none_the_mean() {
    let cluster = Cluster::shared("tiny").await;
    let files = [(40, 30), (16, 48), (32, 32), (9, 60)].map(|(w, h)| png_file(gradient(w, h)));
    let basis = basis(&cluster.gateway, &files).await;
    assert_eq!(basis.components.as_ref().unwrap().shape, [3, 32]);
    let request_of = |file: &[u8]| ReconstructImageRequest {
        latent: picture(file.to_vec()),
        basis: Some(basis.clone()),
        components: vec![0, 1, 3],
        inversion: None,
        options: options(ddim(0.0)),
    };
    let first = reconstruct(&cluster.gateway, request_of(&files[0])).await.unwrap();
    let second = reconstruct(&cluster.gateway, request_of(&files[1])).await.unwrap();
    assert_eq!(first.iter().map(|frame| frame.image_index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_same_pictures("the mean", &image(&first[0]), &image(&second[0]));
    assert!(compare(&image(&first[1]), &image(&second[1])).mean > 0.0);
    let plain = vary(&cluster.gateway, request(picture(files[0].clone()))).await.unwrap();
    assert_close("all", &decoded_from(&first[2]), &decoded_from(&plain[0]), 1e-3);
}

#[tokio::test]
async fn bad_bases_are_refused_by_field() {
    let cluster = Cluster::shared("tiny").await;
    let gateway = &cluster.gateway;
    let files = [png_file(gradient(40, 30)), png_file(gradient(16, 48))];
    let good = ReconstructImageRequest {
        latent: picture(photo()),
        basis: Some(basis(gateway, &files).await),
        components: vec![1],
        inversion: None,
        options: options(ddim(0.0)),
    };
    let invalid = Code::InvalidArgument;
    let none = ReconstructImageRequest { basis: None, ..good.clone() };
    assert_refused(reconstruct(gateway, none).await, invalid, "basis: missing");
    let more = ReconstructImageRequest { components: vec![1, 2], ..good.clone() };
    let expected = "components[1]: 2 is out of range, it must be from 0 to 1";
    assert_refused(reconstruct(gateway, more).await, invalid, expected);
    let foreign = EmbeddingBasis { space: "elsewhere".to_owned(), ..good.basis.clone().unwrap() };
    let foreign = ReconstructImageRequest { basis: Some(foreign), ..good };
    let expected = "basis: the embedding is of CLIP space `elsewhere`";
    assert_refused(reconstruct(gateway, foreign).await, Code::FailedPrecondition, expected);
    let one = ComputeBasisRequest { embeddings: encode(gateway, &files[..1]).await, components: None };
    let refused = gateway_client(gateway).compute_basis(one).await;
    assert_refused(refused, invalid, "embeddings: 1 embeddings, there must be 2 to 16384");
}

/// The shipped CLIP's training ended at 25; what a request says comes first.
#[tokio::test]
async fn labels_are_weighed_as_the_bundles_own_clip_does() {
    let bundle = Bundle::imported("emoji");
    let path = bundle.path();
    let flags = [&["--bundle", path.to_str().unwrap()], &CPU[..]].concat();
    let server = Server::start("unclip serve", &flags).await;
    let mut client = gateway_client(&server);
    let labels = ["a cat", "a pizza"].map(str::to_owned).to_vec();
    let mut asked = ClassifyRequest { latent: picture(photo()), labels, logit_scale: None };
    for (scale, expected) in [(None, 25.0), (Some(4.0), 4.0)] {
        asked.logit_scale = scale;
        let answer = client.classify(asked.clone()).await.unwrap().into_inner();
        assert_eq!(answer.logit_scale.to_bits(), f32::to_bits(expected));
        let logits = f64::from(answer.cosines[0] - answer.cosines[1]) * f64::from(expected);
        let odds = f64::from(answer.probabilities[0] / answer.probabilities[1]).ln();
        assert!((logits - odds).abs() < 1e-4, "{logits}, {odds}");
    }
}
