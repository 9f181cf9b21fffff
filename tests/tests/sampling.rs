//! How pictures are sampled: with the defaults of the bundle, and with or without the prior.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use tonic::Code;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{
    DecodeRequest, GenerateImageRequest, GeneratedImage, ListModelsRequest, ModelInfo, NoisePosition,
    PriorMode, Receipt, SamplingDefaults, SamplingOptions, Stage, StageReceipt, Tensor,
};
use unclip_tests::{
    CPU, Cluster, Inputs, Server, assert_close, copy_folder, decode, fixture, generate, run_in, scratch,
    values,
};

/// A gateway to the cluster's stages, but for the prior: nobody listens there.
async fn without_prior(cluster: &Cluster) -> Server {
    let [text_encoder, decoder, upsampler] =
        [&cluster.text_encoder, &cluster.decoder, &cluster.upsampler].map(Server::url);
    let stages = [
        ["--text-encoder", &text_encoder],
        ["--prior", "http://127.0.0.1:1"],
        ["--decoder", &decoder],
        ["--upsampler", &upsampler],
    ];
    Server::start("unclip-gateway", &stages.concat()).await
}

async fn draw(server: &Server, request: GenerateImageRequest) -> GeneratedImage {
    let generation = generate(server, request).await.unwrap();
    assert!(generation.progress.iter().all(|news| news.stage() != Stage::Prior));
    generation.images.into_iter().next().unwrap()
}

/// Mode, whether the embedding was given, and the stages that were asked.
fn making(image: &GeneratedImage) -> (PriorMode, bool, Vec<Stage>) {
    let receipt: &Receipt = image.receipt.as_ref().unwrap();
    let stages = receipt.stages.iter().map(StageReceipt::stage).collect();
    (receipt.prior_mode(), receipt.image_embedding_given, stages)
}

fn with_mode(mode: PriorMode, request: &GenerateImageRequest) -> GenerateImageRequest {
    GenerateImageRequest { prior_mode: mode as i32, return_tensors: true, ..request.clone() }
}

fn image_embedding(image: &GeneratedImage) -> Option<Tensor> {
    image.tensors.clone().unwrap().image_embedding
}

const ASKED: [Stage; 3] = [Stage::TextEncoder, Stage::Decoder, Stage::Upsampler];

#[tokio::test]
async fn three_ways_need_no_prior() {
    let cluster = Cluster::shared("tiny").await;
    let gateway = without_prior(&cluster).await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;

    let text = draw(&gateway, with_mode(PriorMode::TextEmbedding, &good)).await;
    assert_eq!(making(&text), (PriorMode::TextEmbedding, false, ASKED.to_vec()));
    let embedding = image_embedding(&text);
    assert_eq!(embedding, text.tensors.clone().unwrap().text_embedding);

    let request = GenerateImageRequest { image_embedding: embedding, ..with_mode(PriorMode::Full, &good) };
    let given = draw(&gateway, request).await;
    assert_eq!(making(&given), (PriorMode::Unspecified, true, ASKED.to_vec()));
    assert_eq!((given.image, given.tensors), (text.image.clone(), text.tensors.clone()), "bit for bit");

    let caption = draw(&gateway, with_mode(PriorMode::CaptionOnly, &good)).await;
    assert_eq!(making(&caption), (PriorMode::CaptionOnly, false, ASKED.to_vec()));
    assert_eq!(image_embedding(&caption), None);
    assert_ne!(caption.image, text.image);

    let status = generate(&gateway, good.clone()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "the prior can't be reached; try again")
    );
    let full = generate(&cluster.gateway, with_mode(PriorMode::Unspecified, &good)).await.unwrap().images;
    let (mode, given, stages) = making(&full[0]);
    assert_eq!((mode, given, stages.len()), (PriorMode::Full, false, 4));
    assert_ne!(full[0].image, caption.image);
}

/// The largest difference that another batch size makes.
const SAME: f64 = 1e-4;

#[tokio::test]
async fn a_caption_alone_is_decoded_with_the_null_embedding_on_both_sides() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await;
    let caption =
        generate(&cluster.gateway, with_mode(PriorMode::CaptionOnly, &good.generate)).await.unwrap();
    let alone = DecodeRequest { image_embedding: None, ..good.decode.clone() };
    let noise = Some(NoisePosition { seed: 3, ..Default::default() });
    let run = decode(&cluster.decoder, DecodeRequest { noise, ..alone.clone() }).await.unwrap();
    let decoded = caption.images[0].tensors.clone().unwrap().decoded;
    assert_close("decoded", &values(run.result.image.as_ref()), &values(decoded.as_ref()), SAME);

    // With the same text on both sides guidance has no direction, whatever its scale.
    let with_scale = async |scale| {
        let options = Some(SamplingOptions { guidance_scale: Some(scale), ..good.decode.options.unwrap() });
        let request = DecodeRequest { options, text: Some(good.empty.clone()), ..alone.clone() };
        values(decode(&cluster.decoder, request).await.unwrap().result.image.as_ref())
    };
    assert_close("guided", &with_scale(8.0).await, &with_scale(1.0).await, SAME);
}

const SAMPLING: &str =
    r#"{"prior": {"steps": 3, "guidance_scale": 2.0}, "decoder": {"steps": 4}, "upsampler": {"steps": 2}}"#;

async fn models(server: &Server) -> Vec<ModelInfo> {
    let mut client = UnclipServiceClient::new(server.channel());
    client.list_models(ListModelsRequest {}).await.unwrap().into_inner().models
}

/// Steps and guidance scale of the prior, the decoder and the upsampler.
fn sampled(image: &GeneratedImage) -> Vec<(u32, f32)> {
    let stages = &image.receipt.as_ref().unwrap().stages;
    stages[1..].iter().map(|stage| (stage.steps, stage.guidance_scale)).collect()
}

#[tokio::test]
async fn a_bundle_brings_its_own_defaults() {
    let (source, folder) = (scratch(), scratch());
    copy_folder(&fixture("tiny"), source.path());
    std::fs::write(source.path().join("sampling.json"), SAMPLING).unwrap();
    let bundle = folder.path().join("bundle");
    let import = ["import", source.path().to_str().unwrap(), "-o", bundle.to_str().unwrap()];
    run_in(folder.path(), "unclip", &import).assert_done();
    assert_eq!(std::fs::read_to_string(bundle.join("sampling.json")).unwrap(), SAMPLING);

    let server = Server::stage("unclip serve", &bundle, &CPU).await;
    let own = models(&server).await;
    let defaults: Vec<_> = own.iter().map(|model| model.sampling_defaults).collect();
    let some = |steps, guidance_scale| Some(SamplingDefaults { steps, guidance_scale });
    assert_eq!(defaults, [None, some(3, Some(2.0)), some(4, Some(8.0)), some(2, None)]);

    let request =
        GenerateImageRequest { prompt: "a red fox".to_owned(), seed: Some(1), ..Default::default() };
    let image = generate(&server, request.clone()).await.unwrap().images.remove(0);
    assert_eq!(sampled(&image), [(3, 2.0), (4, 8.0), (2, 1.0)]);
    let options = Some(SamplingOptions { steps: Some(2), ..Default::default() });
    let request = GenerateImageRequest { prior: options, ..request };
    let image = generate(&server, request).await.unwrap().images.remove(0);
    assert_eq!(sampled(&image), [(2, 2.0), (4, 8.0), (2, 1.0)], "a request's own come first");

    // Without the file the same weights have the same fingerprints, and Karlo's defaults.
    let cluster = Cluster::shared("tiny").await;
    let karlos = models(&cluster.gateway).await;
    let fingerprints =
        |models: &[ModelInfo]| -> Vec<_> { models.iter().map(|model| model.fingerprint.clone()).collect() };
    assert_eq!(fingerprints(&own), fingerprints(&karlos));
    let defaults: Vec<_> = karlos.iter().map(|model| model.sampling_defaults).collect();
    assert_eq!(defaults, [None, some(25, Some(4.0)), some(25, Some(8.0)), some(7, None)]);

    // What was broken after the import is refused by every stage that samples.
    std::fs::write(bundle.join("sampling.json"), r#"{"decoder": {"steps": 0}}"#).unwrap();
    for name in ["unclip-prior", "unclip-decoder", "unclip-upsampler"] {
        let log = Server::try_start(name, &["--bundle", bundle.to_str().unwrap()]).await.err().unwrap();
        assert!(log.contains("sampling.json: decoder.steps is 0"), "{name}: {log}");
    }
}
