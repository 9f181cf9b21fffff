//! Bad input at every RPC: refused with the right code and a text that names field, value and limit; and the process goes
//! on to serve.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tonic::{Code, Status};
use unclip_proto::v1::{
    Checkpoint, DecodeRequest, Dtype, Embedding, EncodeImageRequest, EncodeTextRequest, GenerateImageRequest,
    InvertRequest, Keep, NoisePosition, PriorItem, PriorMode, SamplePriorRequest, SamplingOptions,
    StreamOptions, Tensor, TextEncoding, UpsampleRequest, prior_item,
};
use unclip_tests::{
    Cluster, Inputs, Server, decode, encode_image, encode_text, generate, invert, sample_prior, upsample,
};

/// A way to spoil a request, and what the answer must begin with.
type Spoil<R> = (fn(&mut R), &'static str);

fn assert_refused<T>(result: Result<T, Status>, code: Code, expected: &str) {
    let status = result.map(|_| ()).unwrap_err();
    assert_eq!(status.code(), code, "{expected}: {}", status.message());
    assert!(status.message().starts_with(expected), "{}\nshould begin with\n{expected}", status.message());
}

/// Every spoilt request is INVALID_ARGUMENT, and a good one is served afterwards.
async fn assert_all_refused<R: Clone, T>(
    server: &Server,
    good: &R,
    cases: &[Spoil<R>],
    call: impl AsyncFn(&Server, R) -> Result<T, Status>,
) {
    for (spoil, expected) in cases {
        let mut request = good.clone();
        spoil(&mut request);
        assert_refused(call(server, request).await, Code::InvalidArgument, expected);
    }
    call(server, good.clone()).await.unwrap();
}

fn option<R>(
    options: impl Fn(&mut R) -> &mut Option<SamplingOptions>,
    request: &mut R,
) -> &mut SamplingOptions {
    options(request).get_or_insert_default()
}

fn floats(shape: &[usize], value: f32) -> Option<Tensor> {
    Some(Tensor::from_f32(shape, &vec![value; shape.iter().product()]))
}

fn noise(draws: u64, pending_normal: Option<f64>) -> Option<NoisePosition> {
    Some(NoisePosition { seed: 0, draws, pending_normal })
}

fn checkpoint(step: u32, shape: &[usize]) -> Option<Checkpoint> {
    Some(Checkpoint { step, x_t: floats(shape, 0.0), noise: noise(0, None) })
}

/// A grey picture to keep, wholly where no mask is given.
fn keep(side: usize, mask: Vec<u8>, resample: u32) -> Option<Keep> {
    let mask = match mask.is_empty() {
        true => Tensor::from_u8(&[side, side], vec![1; side * side]),
        false => Tensor::from_u8(&[1, mask.len()], mask),
    };
    Some(Keep { image: floats(&[3, side, side], 0.0), mask: Some(mask), resample })
}

fn image_tensor(request: &mut DecodeRequest) -> &mut Tensor {
    request.image_embedding.as_mut().unwrap().tensor.as_mut().unwrap()
}

fn encoding(request: &mut SamplePriorRequest) -> &mut TextEncoding {
    match request.items[0].text.as_mut().unwrap() {
        prior_item::Text::Encoding(encoding) => encoding,
        prior_item::Text::Caption(_) => unreachable!("the good request has an encoding"),
    }
}

#[tokio::test]
async fn text_encoder() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.text;
    let cases: &[Spoil<EncodeTextRequest>] = &[
        (|r| r.texts.clear(), "texts: 0 texts, there must be 1 to 64"),
        (|r| r.texts = vec![String::new(); 65], "texts: 65 texts, there must be 1 to 64"),
        (|r| r.texts.push("x".repeat(100_000)), "texts[2]: 100000 characters, at most 32000"),
    ];
    assert_all_refused(&cluster.text_encoder, &good, cases, encode_text).await;
}

#[tokio::test]
async fn image_encoder() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.image;
    let cases: &[Spoil<EncodeImageRequest>] = &[
        (|r| r.images.clear(), "images: 0 pictures, there must be 1 to 16"),
        (|r| r.images = vec![r.images[0].clone(); 17], "images: 17 pictures, there must be 1 to 16"),
        (|r| r.images[0] = r.images[0].slice(..r.images[0].len() / 2), "images[0]: no readable picture"),
        (|r| r.images.push(b"GIF89a".to_vec().into()), "images[1]: no readable picture"),
        (|r| r.images.push(Vec::new().into()), "images[1]: no readable picture"),
        (|r| r.images.push(vec![0; (20 << 20) + 1].into()), "images[1]: 20971521 bytes, at most 20971520"),
    ];
    assert_all_refused(&cluster.image_encoder, &good, cases, encode_image).await;
}

#[tokio::test]
async fn prior() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.prior;
    let cases: &[Spoil<SamplePriorRequest>] = &[
        (|r| r.items.clear(), "items: 0 items, there must be 1 to 64"),
        (|r| r.items = vec![r.items[0].clone(); 65], "items: 65 items, there must be 1 to 64"),
        (|r| r.items.push(PriorItem::default()), "items[1].encoding: missing"),
        (|r| r.items[0].noise = None, "items[0].noise: missing"),
        (|r| r.items[0].noise = noise(1 << 40, None), "items[0].noise.draws: 1099511627776 is out of range"),
        (|r| r.items[0].noise = noise(0, Some(f64::NAN)), "items[0].noise.pending_normal: must be finite"),
        (|r| encoding(r).embedding = None, "items[0].encoding.embedding: missing"),
        (|r| encoding(r).hidden_states = None, "items[0].encoding.hidden_states: missing"),
        (|r| encoding(r).mask = None, "items[0].encoding.mask: missing"),
        (
            |r| encoding(r).mask = floats(&[77], 1.0),
            "items[0].encoding.mask.dtype: DTYPE_F32, this field takes DTYPE_U8",
        ),
        (
            |r| encoding(r).hidden_states = floats(&[32, 77], 0.0),
            "items[0].encoding.hidden_states.shape: [32, 77]",
        ),
        (
            |r| encoding(r).hidden_states = floats(&[77, 32], f32::NAN),
            "items[0].encoding.hidden_states: element 0 is NaN",
        ),
        (|r| r.negative = None, "negative: missing"),
        (|r| r.candidates = Some(0), "candidates: 0 is out of range, it must be from 1 to 8"),
        (|r| r.candidates = Some(9), "candidates: 9 is out of range, it must be from 1 to 8"),
        (
            |r| option(|r| &mut r.options, r).steps = Some(0),
            "options.steps: 0 is out of range, it must be from 1 to 1000",
        ),
        (|r| option(|r| &mut r.options, r).steps = Some(10_000), "options.steps: 10000 is out of range"),
        (
            |r| option(|r| &mut r.options, r).guidance_scale = Some(-1.0),
            "options.guidance_scale: -1 is out of range",
        ),
        (
            |r| option(|r| &mut r.options, r).guidance_scale = Some(f32::INFINITY),
            "options.guidance_scale: inf is out of range",
        ),
        (
            |r| option(|r| &mut r.options, r).guidance_scale = Some(f32::NAN),
            "options.guidance_scale: NaN is out of range",
        ),
        (|r| option(|r| &mut r.options, r).sampler = 99, "options.sampler: 99 is no sampler"),
        (|r| option(|r| &mut r.options, r).eta = Some(0.5), "options.eta: only DDIM has an eta"),
    ];
    assert_all_refused(&cluster.prior, &good, cases, sample_prior).await;
}

#[tokio::test]
async fn a_caption_for_a_prior_without_text_encoder_is_a_failed_precondition() {
    let cluster = Cluster::shared("tiny").await;
    let mut request = Inputs::new(&cluster.text_encoder).await.prior;
    request.items[0].text = Some(prior_item::Text::Caption("a red fox".to_owned()));
    let expected =
        "items[].caption: this prior has no text encoder; send encodings, or start it with --text-encoder";
    assert_refused(sample_prior(&cluster.prior, request).await, Code::FailedPrecondition, expected);
}

#[tokio::test]
async fn decoder() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.decode;
    let cases: &[Spoil<DecodeRequest>] = &[
        (|r| r.image_embedding.as_mut().unwrap().tensor = None, "image_embedding.tensor: missing"),
        (
            |r| *image_tensor(r) = floats(&[31], 0.0).unwrap(),
            "image_embedding.tensor.shape: [31], this model takes [32]",
        ),
        (|r| *image_tensor(r) = floats(&[1, 32], 0.0).unwrap(), "image_embedding.tensor.shape: [1, 32]"),
        (|r| *image_tensor(r) = floats(&[32], f32::NAN).unwrap(), "image_embedding.tensor: element 0 is NaN"),
        (
            |r| *image_tensor(r) = floats(&[32], f32::INFINITY).unwrap(),
            "image_embedding.tensor: element 0 is inf",
        ),
        (|r| image_tensor(r).shape = vec![33], "image_embedding.tensor.data: 128 bytes, but shape [33]"),
        (|r| image_tensor(r).shape = vec![u32::MAX; 8], "image_embedding.tensor.shape: "),
        (|r| image_tensor(r).shape = vec![1; 9], "image_embedding.tensor.shape: 9 axes, at most 8"),
        (|r| image_tensor(r).shape = vec![0], "image_embedding.tensor.shape: an axis is 0"),
        (|r| image_tensor(r).dtype = 0, "image_embedding.tensor.dtype: 0 is no dtype"),
        (|r| image_tensor(r).dtype = 77, "image_embedding.tensor.dtype: 77 is no dtype"),
        (
            |r| *image_tensor(r) = Tensor::from_u8(&[32], vec![0; 32]),
            "image_embedding.tensor.dtype: DTYPE_U8, this field takes DTYPE_F32",
        ),
        (
            |r| image_tensor(r).dtype = Dtype::F16 as i32,
            "image_embedding.tensor.data: 128 bytes, but shape [32]",
        ),
        (|r| r.x_t = floats(&[3, 8, 8], 0.0), "x_t.shape: [3, 8, 8], this model takes [3, 16, 16]"),
        (|r| r.x_t = floats(&[3, 16, 16], f32::NAN), "x_t: element 0 is NaN"),
        (
            |r| (r.x_t, r.resume) = (floats(&[3, 16, 16], 0.0), checkpoint(1, &[3, 16, 16])),
            "x_t: given beside `resume`",
        ),
        (|r| r.keep = Some(Keep::default()), "keep.image: missing"),
        (|r| r.keep = keep(16, vec![1; 8], 0), "keep.mask.shape: [1, 8], this model takes [16, 16]"),
        (|r| r.keep = keep(16, vec![], 51), "keep.resample: 51 is out of range, it must be from 0 to 50"),
        (|r| r.text = None, "text: missing"),
        (|r| r.negative = None, "negative: missing"),
        (|r| r.noise = None, "noise: missing"),
        (
            |r| r.noise = noise(1 << 40, None),
            "noise.draws: 1099511627776 is out of range, it must be from 0 to 1073741824",
        ),
        (|r| r.noise = noise(u64::MAX, None), "noise.draws: 18446744073709551615 is out of range"),
        (|r| option(|r| &mut r.options, r).steps = Some(0), "options.steps: 0 is out of range"),
        (|r| option(|r| &mut r.options, r).steps = Some(10_000), "options.steps: 10000 is out of range"),
        (
            |r| option(|r| &mut r.options, r).guidance_scale = Some(101.0),
            "options.guidance_scale: 101 is out of range, it must be from 0 to 100",
        ),
        (
            |r| r.stream = Some(StreamOptions { preview_every: u32::MAX, checkpoint_every: 0 }),
            "stream.preview_every: 4294967295 is out of range, it must be from 0 to 1000",
        ),
        (
            |r| r.stream = Some(StreamOptions { preview_every: 0, checkpoint_every: 1001 }),
            "stream.checkpoint_every: 1001 is out of range",
        ),
        (
            |r| r.resume = checkpoint(2, &[3, 16, 16]),
            "resume.step: 2 is out of range, it must be from 0 to 1",
        ),
        (
            |r| r.resume = checkpoint(1, &[3, 15, 16]),
            "resume.x_t.shape: [3, 15, 16], this model takes [3, 16, 16]",
        ),
        (|r| r.resume = Some(Checkpoint { step: 1, x_t: None, noise: None }), "resume.x_t: missing"),
        (
            |r| r.resume = Some(Checkpoint { noise: None, ..checkpoint(1, &[3, 16, 16]).unwrap() }),
            "resume.noise: missing",
        ),
    ];
    assert_all_refused(&cluster.decoder, &good, cases, decode).await;
}

#[tokio::test]
async fn another_clip_space_is_a_failed_precondition_that_names_both() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await;
    let own = good.decode.image_embedding.clone().unwrap().space;
    let foreign = Some(Embedding::new("0123", &[0.0; 32]));
    let expected = |field: &str| {
        format!("{field}.space: the embedding is of CLIP space `0123`, this model takes `{own}`")
    };
    let request = DecodeRequest { image_embedding: foreign.clone(), ..good.decode.clone() };
    let result = decode(&cluster.decoder, request).await;
    assert_refused(result, Code::FailedPrecondition, &expected("image_embedding"));
    let text = TextEncoding { embedding: foreign, ..good.empty };
    let request = DecodeRequest { text: Some(text.clone()), ..good.decode };
    let result = decode(&cluster.decoder, request).await;
    assert_refused(result, Code::FailedPrecondition, &expected("text.embedding"));
    let mut request = good.prior;
    *encoding(&mut request) = text;
    let result = sample_prior(&cluster.prior, request).await;
    assert_refused(result, Code::FailedPrecondition, &expected("items[0].encoding.embedding"));
}

#[tokio::test]
async fn inversion() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.invert;
    let cases: &[Spoil<InvertRequest>] = &[
        (|r| r.image = None, "image: missing"),
        (|r| r.image = floats(&[3, 8, 8], 0.0), "image.shape: [3, 8, 8], this model takes [3, 16, 16]"),
        (|r| r.image = floats(&[3, 16, 16], f32::NAN), "image: element 0 is NaN"),
        (|r| r.image_embedding = None, "image_embedding: missing"),
        (|r| r.text = None, "text: missing"),
        (|r| r.steps = Some(0), "steps: 0 is out of range, it must be from 1 to 1000"),
        (|r| r.refinements = Some(11), "refinements: 11 is out of range, it must be from 0 to 10"),
    ];
    assert_all_refused(&cluster.decoder, &good, cases, invert).await;
}

#[tokio::test]
async fn upsampler() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.upsample;
    let cases: &[Spoil<UpsampleRequest>] = &[
        (|r| r.image = None, "image: missing"),
        (
            |r| r.image = floats(&[3, 33, 16], 0.0),
            "image.shape: [3, 33, 16], this model takes [3, h, w] of at most [3, 32, 32]",
        ),
        (|r| r.image = floats(&[4, 16, 16], 0.0), "image.shape: [4, 16, 16]"),
        (|r| r.keep = keep(16, vec![], 0), "keep.image.shape: [3, 16, 16], this model takes [3, 32, 32]"),
        (|r| r.image = floats(&[16, 16], 0.0), "image.shape: [16, 16]"),
        (|r| r.image = floats(&[3, 16, 16], f32::NEG_INFINITY), "image: element 0 is -inf"),
        (
            |r| r.image.as_mut().unwrap().data = Vec::new().into(),
            "image.data: 0 bytes, but shape [3, 16, 16]",
        ),
        (|r| r.noise = None, "noise: missing"),
        (|r| r.noise = noise(1 << 40, None), "noise.draws: 1099511627776 is out of range"),
        (
            |r| option(|r| &mut r.options, r).guidance_scale = Some(2.0),
            "options.guidance_scale: this stage has no guidance",
        ),
        (|r| option(|r| &mut r.options, r).steps = Some(10_000), "options.steps: 10000 is out of range"),
        (
            |r| r.stream = Some(StreamOptions { preview_every: 1 << 30, checkpoint_every: 0 }),
            "stream.preview_every: 1073741824 is out of range",
        ),
        (
            |r| r.resume = checkpoint(7, &[3, 32, 32]),
            "resume.step: 7 is out of range, it must be from 0 to 1",
        ),
        (
            |r| r.resume = checkpoint(1, &[3, 16, 16]),
            "resume.x_t.shape: [3, 16, 16], this model takes [3, 32, 32]",
        ),
    ];
    assert_all_refused(&cluster.upsampler, &good, cases, upsample).await;
}

#[tokio::test]
async fn gateway() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.generate;
    let cases: &[Spoil<GenerateImageRequest>] = &[
        (|r| r.prompt = "x".repeat(100_000), "prompt: 100000 characters, at most 32000"),
        (|r| r.negative_prompt = "é".repeat(32_001), "negative_prompt: 32001 characters, at most 32000"),
        (|r| r.n = Some(0), "n: 0 is out of range, it must be from 1 to 16"),
        (|r| r.n = Some(1000), "n: 1000 is out of range, it must be from 1 to 16"),
        (
            |r| (r.seed, r.n) = (Some(u64::MAX), Some(2)),
            "seed: 18446744073709551615 is out of range, it must be from 0 to 18446744073709551614",
        ),
        (|r| r.candidates = Some(9), "candidates: 9 is out of range, it must be from 1 to 8"),
        (|r| r.format = 99, "format: 99 is no image format"),
        (|r| r.preview_every = u32::MAX, "preview_every: 4294967295 is out of range"),
        (|r| option(|r| &mut r.prior, r).steps = Some(0), "prior.steps: 0 is out of range"),
        (|r| option(|r| &mut r.decoder, r).steps = Some(10_000), "decoder.steps: 10000 is out of range"),
        (
            |r| option(|r| &mut r.prior, r).guidance_scale = Some(f32::NAN),
            "prior.guidance_scale: NaN is out of range",
        ),
        (
            |r| option(|r| &mut r.decoder, r).guidance_scale = Some(-0.5),
            "decoder.guidance_scale: -0.5 is out of range",
        ),
        (|r| option(|r| &mut r.decoder, r).sampler = -1, "decoder.sampler: -1 is no sampler"),
        (
            |r| option(|r| &mut r.upsampler, r).guidance_scale = Some(1.0),
            "upsampler.guidance_scale: this stage has no guidance",
        ),
        (|r| r.prior_mode = 9, "prior_mode: 9 is no prior mode"),
        (
            |r| {
                r.set_prior_mode(PriorMode::CaptionOnly);
                r.image_embedding = floats(&[32], 0.5);
            },
            "image_embedding: an embedding is given, but prior_mode is PRIOR_MODE_CAPTION_ONLY",
        ),
        (
            |r| {
                r.set_prior_mode(PriorMode::TextEmbedding);
                r.candidates = Some(2);
            },
            "candidates: 2 candidates, but no prior is asked",
        ),
        (|r| r.image_embedding = floats(&[31], 0.5), "image_embedding.shape: [31], this model takes [32]"),
        (|r| r.image_embedding = floats(&[32], f32::NAN), "image_embedding: element 0 is NaN"),
    ];
    assert_all_refused(&cluster.gateway, &good, cases, generate).await;
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream
}

#[tokio::test]
async fn garbage_and_messages_beyond_the_limit_end_no_process() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await;
    for (name, server) in cluster.servers() {
        let mut stream = connect(server);
        stream.write_all(&[0xff; 4096]).unwrap();
        // Whether it answers, hangs up or waits for more is its own affair.
        let _ = stream.read(&mut [0; 64]);
        let mut stream = connect(server);
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\xff\xff\x09\xff garbage").unwrap();
        let _ = stream.read(&mut [0; 64]);
        println!("{name} has read garbage");
    }
    let prompt = "x".repeat(80 << 20);
    let result = generate(&cluster.gateway, GenerateImageRequest { prompt, ..Default::default() }).await;
    // The refusal may come while the client is still sending: then it sees the stream reset instead of the status.
    assert!(result.is_err());
    let text = EncodeTextRequest { texts: vec!["x".repeat(80 << 20)] };
    assert!(encode_text(&cluster.text_encoder, text).await.is_err());
    let image = floats(&[3, 2400, 2400], 0.0);
    let expected = "image.shape: [3, 2400, 2400] would be 69120000 bytes, at most 67108864 are allowed";
    let result = upsample(&cluster.upsampler, UpsampleRequest { image, ..good.upsample.clone() }).await;
    assert_refused(result, Code::InvalidArgument, expected);
    encode_text(&cluster.text_encoder, good.text).await.unwrap();
    encode_image(&cluster.image_encoder, good.image).await.unwrap();
    sample_prior(&cluster.prior, good.prior).await.unwrap();
    decode(&cluster.decoder, good.decode).await.unwrap();
    upsample(&cluster.upsampler, good.upsample).await.unwrap();
    generate(&cluster.gateway, good.generate).await.unwrap();
}
