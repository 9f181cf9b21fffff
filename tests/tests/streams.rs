//! What streams bring: progress, previews, checkpoints, results.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use tonic::Request;
use unclip_proto::v1::{
    DecodeRequest, GenerateImageRequest, NoisePosition, PriorItem, PriorResult, SamplePriorRequest,
    SamplingOptions, Stage, StreamOptions, UpsampleRequest, prior_item,
};
use unclip_tests::{
    Bundle, CPU, Cluster, Inputs, Server, assert_close, decode, encode_text, generate, sample_prior,
    upsample, values,
};

/// The same arithmetic on the same machine, in another process.
const SAME: f64 = 1e-5;

const STEPS: u32 = 9;

fn steps(steps: u32) -> Option<SamplingOptions> {
    Some(SamplingOptions { steps: Some(steps), ..Default::default() })
}

/// Steps must grow; `last` is the one that always arrives, since of unread events the newest stays.
fn assert_grows(steps: impl Iterator<Item = u32>, last: u32) {
    let steps: Vec<u32> = steps.collect();
    assert!(steps.is_sorted_by(|a, b| a < b), "{steps:?}");
    assert_eq!(steps.last(), Some(&last), "{steps:?}");
}

/// Two stages that nobody else calls: neighbours in a batch would change the rounding.
async fn two(name: &str, cluster: &Cluster) -> [Server; 2] {
    let path = cluster.bundle.path();
    let (first, other) = tokio::join!(Server::stage(name, &path, &CPU), Server::stage(name, &path, &CPU));
    [first, other]
}

#[tokio::test]
async fn a_decoder_streams_what_is_asked_and_another_goes_on_from_its_checkpoint() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.decode;
    let stream = Some(StreamOptions { preview_every: 4, checkpoint_every: 3 });
    let request = DecodeRequest { options: steps(STEPS), stream, ..good };
    let [first, other] = two("unclip-decoder", &cluster).await;
    let run = decode(&first, request.clone()).await.unwrap();
    assert!(run.progress.iter().all(|progress| progress.steps == STEPS));
    assert_grows(run.progress.iter().map(|progress| progress.step), STEPS);
    assert_grows(run.previews.iter().map(|preview| preview.step), 8);
    assert_grows(run.checkpoints.iter().map(|checkpoint| checkpoint.step), 6);
    for preview in &run.previews {
        assert_eq!(preview.x_0.as_ref().unwrap().shape, [3, 16, 16]);
        assert!(values(preview.x_0.as_ref()).iter().all(|value| value.abs() <= 1.0));
    }

    let resume = run.checkpoints.last().cloned();
    let resumed = decode(&other, DecodeRequest { resume, noise: None, ..request }).await.unwrap();
    assert!(resumed.progress.iter().all(|progress| progress.step >= 6));
    assert_eq!(resumed.result.noise, run.result.noise);
    let (image, expected) = (values(resumed.result.image.as_ref()), values(run.result.image.as_ref()));
    assert_close("the resumed picture", &image, &expected, SAME);
}

#[tokio::test]
async fn an_upsampler_streams_what_is_asked_and_another_goes_on_from_its_checkpoint() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.upsample;
    let stream = Some(StreamOptions { preview_every: 4, checkpoint_every: 3 });
    let request = UpsampleRequest { options: steps(STEPS), stream, ..good };
    let [first, other] = two("unclip-upsampler", &cluster).await;
    let run = upsample(&first, request.clone()).await.unwrap();
    assert_grows(run.progress.iter().map(|progress| progress.step), STEPS);
    assert_grows(run.previews.iter().map(|preview| preview.step), 8);
    assert_grows(run.checkpoints.iter().map(|checkpoint| checkpoint.step), 6);

    let resume = run.checkpoints.last().cloned();
    let resumed = upsample(&other, UpsampleRequest { resume, noise: None, ..request }).await.unwrap();
    assert_eq!(resumed.result.noise, run.result.noise);
    let (image, expected) = (values(resumed.result.image.as_ref()), values(run.result.image.as_ref()));
    assert_close("the resumed picture", &image, &expected, SAME);
}

#[tokio::test]
async fn nothing_is_streamed_that_was_not_asked_for() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await;
    let run = decode(&cluster.decoder, DecodeRequest { stream: None, ..good.decode }).await.unwrap();
    assert!(run.previews.is_empty() && run.checkpoints.is_empty());
    let generation = generate(&cluster.gateway, good.generate).await.unwrap();
    assert!(generation.previews.is_empty());
    assert!(generation.images.iter().all(|image| image.tensors.is_none()));
}

#[tokio::test]
async fn a_gateway_streams_the_progress_of_every_stage_and_previews() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    let request = GenerateImageRequest {
        n: Some(2),
        preview_every: 2,
        prior: steps(5),
        decoder: steps(6),
        upsampler: steps(4),
        ..good
    };
    let generation = generate(&cluster.gateway, request).await.unwrap();
    assert_eq!(generation.images.len(), 2);
    for index in 0..2 {
        let stages = [(Stage::TextEncoder, 1), (Stage::Prior, 5), (Stage::Decoder, 6), (Stage::Upsampler, 4)];
        for (stage, steps) in stages {
            let mine =
                generation.progress.iter().filter(|news| news.image_index == index && news.stage() == stage);
            let steps_done: Vec<u32> = mine.map(|news| news.progress.unwrap().step).collect();
            assert!(steps_done.is_sorted(), "{stage:?}: {steps_done:?}");
            assert_eq!(steps_done.last(), Some(&steps), "{stage:?}: {steps_done:?}");
        }
        for (stage, side) in [(Stage::Decoder, 16), (Stage::Upsampler, 32)] {
            let mut previews =
                generation.previews.iter().filter(|news| news.image_index == index && news.stage() == stage);
            let preview = image::load_from_memory(&previews.next().unwrap().image).unwrap();
            assert_eq!((preview.width(), preview.height()), (side, side));
        }
    }
}

/// Captions as items of the prior, each with a seed.
fn captions(texts: &[&str]) -> Vec<PriorItem> {
    let items = (5..).zip(texts).map(|(seed, text)| PriorItem {
        text: Some(prior_item::Text::Caption((*text).to_owned())),
        noise: Some(NoisePosition { seed, ..Default::default() }),
    });
    items.collect()
}

fn embedding(result: &PriorResult) -> Vec<f32> {
    values(result.embedding.as_ref().unwrap().tensor.as_ref())
}

#[tokio::test]
async fn a_prior_alone_takes_captions_and_picks_the_best_candidate() {
    let bundle = Bundle::imported("tiny");
    let text_encoder = Server::stage("unclip-text-encoder", &bundle.path(), &[]).await;
    let url = text_encoder.url();
    let flags = [&CPU[..], &["--text-encoder", &url]].concat();
    let prior = Server::stage("unclip-prior", &bundle.path(), &flags).await;
    let texts = ["a red fox", "an owl at night", ""];
    let request = SamplePriorRequest {
        items: captions(&texts),
        options: steps(5),
        candidates: Some(2),
        ..Default::default()
    };
    let (progress, results) = sample_prior(&prior, request.clone()).await.unwrap();
    assert!(progress.iter().map(|progress| progress.step).is_sorted_by(|a, b| a < b));
    assert_eq!(results.results.len(), texts.len());

    let encode = unclip_proto::v1::EncodeTextRequest { texts: texts.map(str::to_owned).to_vec() };
    let encodings = encode_text(&text_encoder, encode).await.unwrap();
    for (result, encoding) in results.results.iter().zip(&encodings) {
        let text = values(encoding.embedding.as_ref().unwrap().tensor.as_ref());
        let score: f32 = embedding(result).iter().zip(&text).map(|(a, b)| a * b).sum();
        let best = result.scores.iter().copied().fold(f32::MIN, f32::max);
        assert_eq!(result.scores.len(), 2);
        assert_close("the score of what was returned", &[score], &[best], 1e-4);
    }

    // An item does not depend on its neighbours, nor on who encoded its caption.
    let alone = SamplePriorRequest { items: vec![request.items[1].clone()], ..request.clone() };
    let (_, alone) = sample_prior(&prior, alone).await.unwrap();
    assert_close("alone", &embedding(&alone.results[0]), &embedding(&results.results[1]), 1e-4);
    assert_eq!(alone.results[0].noise, results.results[1].noise);
    let item = PriorItem { text: Some(prior_item::Text::Encoding(encodings[1].clone())), ..request.items[1] };
    let encoded = SamplePriorRequest { items: vec![item], negative: encodings.last().cloned(), ..request };
    let (_, encoded) = sample_prior(&prior, encoded).await.unwrap();
    assert_close("encoded", &embedding(&encoded.results[0]), &embedding(&alone.results[0]), 1e-4);
}

#[tokio::test]
async fn one_candidate_is_the_first_of_two() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.prior;
    let with = |candidates| SamplePriorRequest { candidates: Some(candidates), ..good.clone() };
    let (_, one) = sample_prior(&cluster.prior, with(1)).await.unwrap();
    let (_, eight) = sample_prior(&cluster.prior, with(8)).await.unwrap();
    assert_close("score", &one.results[0].scores, &eight.results[0].scores[..1], 1e-4);
}

#[tokio::test]
async fn a_request_id_travels_to_every_stage_and_back() {
    let flags = [&CPU[..], &["--log", "info,unclip_service=debug"]].concat();
    let cluster = Cluster::start("tiny", &flags).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    let mut request = Request::new(good.clone());
    request.metadata_mut().insert("x-request-id", "from-the-test-1".parse().unwrap());
    let generation = generate(&cluster.gateway, request).await.unwrap();
    assert_eq!(generation.request_id.as_deref(), Some("from-the-test-1"));
    for server in [&cluster.gateway, &cluster.prior, &cluster.decoder, &cluster.upsampler] {
        server.logged(&["\"request_id\":\"from-the-test-1\""]).await;
    }
    let generation = generate(&cluster.gateway, good).await.unwrap();
    let made = generation.request_id.unwrap();
    assert_eq!(made.len(), 36, "{made}");
    cluster.gateway.logged(&["\"drawing\"", &made]).await;
}
