//! x_T, inversion and edits at the stages.

use unclip_proto::v1::{
    DecodeRequest, InvertRequest, Keep, Sampler, SamplingOptions, Tensor, UpsampleRequest,
};
use unclip_tests::{CPU, Cluster, Inputs, Server, assert_close, compare, decode, invert, upsample, values};

fn ddim(steps: u32, eta: f32) -> Option<SamplingOptions> {
    let (steps, guidance_scale, eta) = (Some(steps), Some(1.0), Some(eta));
    Some(SamplingOptions { steps, guidance_scale, sampler: Sampler::Ddim as i32, eta, ..Default::default() })
}

/// A picture with a gradient in each channel.
fn picture(side: usize) -> Tensor {
    let value = |at: usize| (at % (side * side)) as f32 / (side * side) as f32 * 1.6 - 0.8;
    Tensor::from_f32(&[3, side, side], &(0..3 * side * side).map(value).collect::<Vec<_>>())
}

#[tokio::test]
async fn equal_x_t_gives_equal_pictures_at_eta_0_and_others_the_further_the_larger_eta() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.decode;
    let x_t = Some(picture(16));
    let draw = async |seed: u64, eta: f32| {
        let mut request = DecodeRequest { x_t: x_t.clone(), options: ddim(6, eta), ..good.clone() };
        request.noise.as_mut().unwrap().seed = seed;
        values(decode(&cluster.decoder, request).await.unwrap().result.image.as_ref())
    };
    let base = draw(1, 0.0).await;
    assert_eq!(draw(2, 0.0).await, base);
    let mut distances = Vec::new();
    for eta in [0.1, 0.3, 1.0] {
        distances.push(compare(&draw(1, eta).await, &base).mean);
    }
    assert!(distances.is_sorted_by(|a, b| a < b) && distances[0] > 0.0, "{distances:?}");
}

/// How near the picture comes back says nothing with random weights: at timestep 999 of this schedule alphas_cumprod is
/// 2.4e-9, and only a network that knows its pictures finds them again behind that. That inversion undoes DDIM is tested in
/// `unclip-diffusion`.
#[tokio::test]
async fn an_inversion_gives_noise_that_can_be_decoded() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await;
    // A decoder that nobody else calls: neighbours in a batch would change the rounding.
    let decoder = Server::stage("unclip-decoder", &cluster.bundle.path(), &CPU).await;
    let image = Some(picture(16));
    let mut found = Vec::new();
    for refinements in [None, None, Some(3)] {
        let request =
            InvertRequest { image: image.clone(), steps: Some(20), refinements, ..good.invert.clone() };
        let (progress, inverted) = invert(&decoder, request).await.unwrap();
        assert_eq!(progress.last().map(|progress| (progress.step, progress.steps)), Some((20, 20)));
        assert_eq!(inverted.x_t.as_ref().unwrap().shape, [3, 16, 16]);
        found.push(values(inverted.x_t.as_ref()));
        let request = DecodeRequest {
            image_embedding: good.invert.image_embedding.clone(),
            text: good.invert.text.clone(),
            negative: None,
            x_t: inverted.x_t,
            options: ddim(20, 0.0),
            ..good.decode.clone()
        };
        let back = decode(&decoder, request).await.unwrap().result;
        assert_eq!(values(back.image.as_ref()).len(), 768);
    }
    assert_close("the same inversion", &found[0], &found[1], 1e-5);
    assert!(compare(&found[0], &found[2]).mean > 0.0, "a refinement changes x_T");
}

/// Keeps the left half.
fn keep(side: usize, kept: impl Fn(usize) -> bool) -> Keep {
    let mask = (0..side * side).map(|at| u8::from(kept(at % side))).collect();
    Keep { image: Some(picture(side)), mask: Some(Tensor::from_u8(&[side, side], mask)), resample: 2 }
}

#[tokio::test]
async fn a_decoder_keeps_what_it_is_told_to() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.decode;
    let draw = async |keep| {
        let request = DecodeRequest { keep, ..good.clone() };
        values(decode(&cluster.decoder, request).await.unwrap().result.image.as_ref())
    };
    let (plain, input) = (draw(None).await, values(Some(&picture(16))));
    assert_eq!(draw(Some(keep(16, |_| false))).await, plain, "nothing kept is no edit");
    assert_eq!(draw(Some(keep(16, |_| true))).await, input, "all kept is the input");
    let edited = draw(Some(keep(16, |x| x < 8))).await;
    for at in 0..input.len() {
        assert_eq!(edited[at].to_bits() == input[at].to_bits(), at % 16 < 8, "value {at}");
    }
}

#[tokio::test]
async fn an_upsampler_keeps_what_it_is_told_to() {
    let cluster = Cluster::shared("tiny").await;
    let good = Inputs::new(&cluster.text_encoder).await.upsample;
    let draw = async |keep| {
        let request = UpsampleRequest { keep, ..good.clone() };
        values(upsample(&cluster.upsampler, request).await.unwrap().result.image.as_ref())
    };
    let plain = draw(None).await;
    assert_eq!(draw(Some(keep(32, |_| false))).await, plain, "nothing kept is no edit");
    let edited = draw(Some(keep(32, |x| x < 16))).await;
    let input: Vec<f32> = values(Some(&picture(32))).iter().map(|value| value * 0.5 + 0.5).collect();
    for at in 0..input.len() {
        assert_eq!(edited[at].to_bits() == input[at].to_bits(), at % 32 < 16, "value {at}");
    }
}
