//! A model that is replaced behind a stage's address, and put back: whatever an answer says of who made it is true.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::collections::BTreeMap;

use tonic::Code;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{GenerateImageRequest, SamplingOptions, Stage, UnclipServiceEncodeTextRequest};
use unclip_tests::{Bundle, CPU, Cluster, Server, generate, wait_for};

/// Who made what, by the fingerprint that the answer names.
type Answers = BTreeMap<String, Vec<u8>>;

async fn draw(gateway: &Server, stage: Stage, seed: u64) -> Option<(String, Vec<u8>)> {
    let options = Some(SamplingOptions { steps: Some(1), ..Default::default() });
    let request = GenerateImageRequest {
        prompt: "a fox".to_owned(),
        seed: Some(seed),
        prior: options,
        decoder: options,
        upsampler: options,
        ..Default::default()
    };
    let image = match generate(gateway, request).await {
        Ok(mut drawn) => drawn.images.remove(0),
        // The connection of the server that was replaced.
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            return None;
        }
    };
    let lines = image.receipt.unwrap().stages;
    let line = lines.into_iter().find(|line| line.stage() == stage).unwrap();
    assert_eq!(line.dtype, "f32");
    Some((line.model_fingerprint, image.image.to_vec()))
}

/// Notes an answer and checks it against what the same model answered before.
fn note(answers: &mut Answers, (fingerprint, picture): (String, Vec<u8>)) -> String {
    let known = answers.entry(fingerprint.clone()).or_insert_with(|| picture.clone());
    assert!(*known == picture, "{fingerprint} did not draw this");
    fingerprint
}

/// Asks until another model than `but` answers.
async fn next_model(gateway: &Server, stage: Stage, answers: &mut Answers, but: &str) -> String {
    wait_for("another model", async || {
        let fingerprint = note(answers, draw(gateway, stage, 2).await?);
        (fingerprint != but).then_some(fingerprint)
    })
    .await
}

async fn roll_out_and_back(stage: Stage, file: &str) {
    let mut cluster = Cluster::start("tiny", &CPU).await;
    let other = Bundle::with_another_weight("tiny", file);
    let (original, gateway) = (cluster.bundle.path(), cluster.another_gateway(&[]).await);
    let sharing = cluster.another_gateway(&["--redis", &cluster.redis.url()]).await;
    let (old, _) = draw(&sharing, stage, 1).await.unwrap();
    let server = match stage {
        Stage::Prior => &mut cluster.prior,
        Stage::Decoder => &mut cluster.decoder,
        _ => &mut cluster.upsampler,
    };
    // The gateways have just been told of the old model. What they ask now, the new one answers.
    server.replace(&other.path(), &CPU).await;
    let mut answers = Answers::new();
    let new = next_model(&sharing, stage, &mut answers, &old).await;
    next_model(&gateway, stage, &mut answers, &old).await;
    server.replace(&original, &CPU).await;
    assert_eq!(next_model(&sharing, stage, &mut answers, &new).await, old);
    assert_eq!(next_model(&gateway, stage, &mut answers, &new).await, old);
    assert_eq!(answers.len(), 2);
    let [one, another] = [&old, &new].map(|fingerprint| &answers[fingerprint]);
    assert!(one != another, "the weight makes no difference");
}

#[tokio::test]
async fn a_prior_that_is_replaced_leaves_nothing_under_the_others_name() {
    roll_out_and_back(Stage::Prior, "prior/diffusion_pytorch_model.safetensors").await;
}

#[tokio::test]
async fn a_decoder_that_is_replaced_is_named_in_receipts() {
    roll_out_and_back(Stage::Decoder, "decoder/diffusion_pytorch_model.safetensors").await;
}

#[tokio::test]
async fn an_upsampler_that_is_replaced_is_named_in_receipts() {
    // Of one step the last network draws all.
    roll_out_and_back(Stage::Upsampler, "super_res_last/diffusion_pytorch_model.safetensors").await;
}

/// The space of CLIP embeddings is the text encoder's.
async fn embed(gateway: &Server) -> Option<(String, Vec<u8>)> {
    let request = UnclipServiceEncodeTextRequest { texts: vec!["a fox".to_owned()] };
    let encoded = UnclipServiceClient::new(gateway.channel()).encode_text(request).await.ok()?;
    let embedding = encoded.into_inner().embeddings.remove(0);
    Some((embedding.space, embedding.tensor.unwrap().data.to_vec()))
}

#[tokio::test]
async fn a_text_encoder_that_is_replaced_leaves_nothing_under_the_others_name() {
    let mut cluster = Cluster::start("tiny", &CPU).await;
    let other = Bundle::with_another_weight("tiny", "text_encoder/model.safetensors");
    let original = cluster.bundle.path();
    let (mut answers, mut last) = (Answers::new(), String::new());
    for bundle in [original.clone(), other.path(), original] {
        cluster.text_encoder.replace(&bundle, &[]).await;
        last = wait_for("another model", async || {
            let space = note(&mut answers, embed(&cluster.gateway).await?);
            (space != last).then_some(space)
        })
        .await;
    }
    assert_eq!(answers.len(), 2);
}
