//! Receipts as files, and the requests that draw their pictures again.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

use crate::v1::latent::Source;
use crate::v1::{
    DrawOptions, EditImageRequest, GenerateImageRequest, Latent, Receipt, Sampler, SamplingOptions, Stage,
    StageReceipt, VaryImageRequest,
};
use crate::{FILE_DESCRIPTOR_SET, FieldError, required};

/// The request that draws a picture again.
#[derive(Clone, Debug, PartialEq)]
pub enum Redraw {
    /// From a caption or a given embedding.
    Generate(GenerateImageRequest),
    /// From latents, whatever operation found them.
    Vary(VaryImageRequest),
    /// From a caption and the files that the receipt names by their hashes, which are left out here.
    Edit(EditImageRequest),
}

impl Receipt {
    /// The receipt in protobuf's JSON mapping, with the contract's field names, 64-bit numbers as numbers and every field.
    ///
    /// # Errors
    /// None that a receipt can cause.
    pub fn to_json(&self) -> Result<serde_json::Value, FieldError> {
        let failed = |error: &dyn std::fmt::Display| FieldError::new("receipt", error.to_string());
        let message = DynamicMessage::decode(descriptor()?, self.encode_to_vec().as_slice())
            .map_err(|error| failed(&error))?;
        let options = SerializeOptions::new()
            .use_proto_field_name(true)
            .stringify_64_bit_integers(false)
            .skip_default_fields(false);
        message
            .serialize_with_options(serde_json::value::Serializer, &options)
            .map_err(|error| failed(&error))
    }

    /// Reads a receipt in protobuf's JSON mapping, also with camel case names, numbers as text and fields left out.
    ///
    /// # Errors
    /// Text that is no JSON or no receipt, with the place.
    pub fn from_json(text: &str) -> Result<Self, FieldError> {
        let failed = |error: &dyn std::fmt::Display| FieldError::new("receipt", error.to_string());
        let mut json = serde_json::Deserializer::from_str(text);
        let message =
            DynamicMessage::deserialize(descriptor()?, &mut json).map_err(|error| failed(&error))?;
        json.end().map_err(|error| failed(&error))?;
        Self::decode(message.encode_to_vec().as_slice()).map_err(|error| failed(&error))
    }

    /// The request that draws the receipt's picture again.
    ///
    /// # Errors
    /// A receipt without the lines or latents that a drawing needs, or of an operation that is not known.
    pub fn redraw(&self) -> Result<Redraw, FieldError> {
        let generation = || -> Result<GenerateImageRequest, FieldError> {
            let candidates = u32::try_from(self.candidate_scores.len()).unwrap_or(u32::MAX);
            let embedding = self.image_embedding.as_ref().and_then(|embedding| embedding.tensor.clone());
            if self.image_embedding_given && embedding.is_none() {
                let problem = "missing, and without it the picture can't be drawn again";
                return Err(FieldError::new("receipt.image_embedding", problem));
            }
            Ok(GenerateImageRequest {
                prompt: self.prompt.clone(),
                negative_prompt: self.negative_prompt.clone(),
                n: Some(1),
                seed: Some(self.seed),
                prior: self.line(Stage::Prior).map(options),
                decoder: Some(options(self.needed(Stage::Decoder)?)),
                upsampler: Some(options(self.needed(Stage::Upsampler)?)),
                candidates: (candidates > 0).then_some(candidates),
                prior_mode: self.prior_mode,
                image_embedding: embedding.filter(|_| self.image_embedding_given),
                output_size: self.output_size,
                ..Default::default()
            })
        };
        match self.operation.as_str() {
            "" => Ok(Redraw::Generate(generation()?)),
            "vary" | "interpolate" | "diff" | "reconstruct" => Ok(Redraw::Vary(self.variation()?)),
            "edit" => {
                let edit = required(self.edit.as_ref(), "receipt.edit")?;
                Ok(Redraw::Edit(EditImageRequest {
                    generation: Some(generation()?),
                    resample: (!edit.varied).then_some(edit.resample),
                    mask_mode: edit.mask_mode,
                    vary_opaque: edit.varied,
                    ..Default::default()
                }))
            }
            other => {
                let problem = format!("{other:?} is not known; is the receipt of a later version?");
                Err(FieldError::new("receipt.operation", problem))
            }
        }
    }

    fn variation(&self) -> Result<VaryImageRequest, FieldError> {
        let embedding = required(self.image_embedding.as_ref(), "receipt.image_embedding")?;
        Ok(VaryImageRequest {
            latent: Some(Latent {
                source: Some(Source::ImageEmbedding(embedding.clone())),
                x_t: self.x_t.clone(),
                decoder: None,
            }),
            n: Some(1),
            options: Some(DrawOptions {
                seed: Some(self.seed),
                decoder: Some(options(self.needed(Stage::Decoder)?)),
                upsampler: Some(options(self.needed(Stage::Upsampler)?)),
                output_size: self.output_size,
                ..Default::default()
            }),
        })
    }

    /// The line of a stage.
    pub fn line(&self, stage: Stage) -> Option<&StageReceipt> {
        self.stages.iter().find(|line| line.stage() == stage)
    }

    fn needed(&self, stage: Stage) -> Result<&StageReceipt, FieldError> {
        let problem = || format!("no line of {}", stage.as_str_name());
        self.line(stage).ok_or_else(|| FieldError::new("receipt.stages", problem()))
    }
}

/// A stage's options, as its line has them. The upsampler has no guidance, and only DDIM an eta.
fn options(line: &StageReceipt) -> SamplingOptions {
    SamplingOptions {
        steps: Some(line.steps),
        guidance_scale: (line.stage() != Stage::Upsampler).then_some(line.guidance_scale),
        sampler: line.sampler,
        eta: (line.sampler() == Sampler::Ddim).then_some(line.eta),
        clamped_epsilon: (line.sampler() == Sampler::Ddim).then_some(line.clamped_epsilon),
    }
}

fn descriptor() -> Result<MessageDescriptor, FieldError> {
    static RECEIPT: OnceLock<Option<MessageDescriptor>> = OnceLock::new();
    let receipt = RECEIPT.get_or_init(|| {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok()?;
        pool.get_message_by_name("unclip.v1.Receipt")
    });
    receipt.clone().ok_or_else(|| FieldError::new("receipt", "the contracts have no such message"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{EditReceipt, Embedding, PriorMode, Tensor};

    fn line(stage: Stage, steps: u32, sampler: Sampler, eta: f32) -> StageReceipt {
        StageReceipt {
            stage: stage as i32,
            steps,
            sampler: sampler as i32,
            eta,
            guidance_scale: 2.5,
            ..Default::default()
        }
    }

    fn receipt() -> Receipt {
        Receipt {
            prompt: "a red heart".into(),
            seed: u64::MAX - 1,
            stages: vec![
                line(Stage::Prior, 9, Sampler::Unclip, 0.0),
                line(Stage::Decoder, 8, Sampler::Ddim, 0.5),
                line(Stage::Upsampler, 2, Sampler::Unclip, 0.0),
            ],
            candidate_scores: vec![0.1, 0.2],
            prior_mode: PriorMode::Full as i32,
            ..Default::default()
        }
    }

    fn with_latents(operation: &str) -> Receipt {
        Receipt {
            operation: operation.into(),
            image_embedding: Some(Embedding::new("s", &[1.0, 2.0])),
            x_t: Some(Tensor::from_f32(&[1], &[0.5])),
            ..receipt()
        }
    }

    #[test]
    fn a_receipt_comes_back_from_json() {
        let receipt = with_latents("diff");
        let json = receipt.to_json().unwrap();
        assert_eq!(json["seed"], u64::MAX - 1);
        assert_eq!(json["stages"][1]["sampler"], "SAMPLER_DDIM");
        assert_eq!(json["prompt_truncated"], false);
        assert_eq!(Receipt::from_json(&json.to_string()).unwrap(), receipt);
        let other = r#"{"seed": "18446744073709551614", "promptTruncated": true}"#;
        let other = Receipt::from_json(other).unwrap();
        assert!(other.seed == u64::MAX - 1 && other.prompt_truncated);
    }

    #[test]
    fn what_is_no_receipt_is_refused_with_the_place() {
        for (text, expected) in [
            ("", "receipt: EOF while parsing"),
            ("[]", "receipt: invalid type"),
            (r#"{"sead": 1}"#, "receipt: unrecognized field name 'sead'"),
            ("{} {}", "receipt: trailing characters"),
        ] {
            let error = Receipt::from_json(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_caption_is_drawn_with_the_options_of_its_lines() {
        let Redraw::Generate(request) = receipt().redraw().unwrap() else { panic!("not generated") };
        assert_eq!((request.n, request.seed, request.candidates), (Some(1), Some(u64::MAX - 1), Some(2)));
        let decoder = request.decoder.unwrap();
        assert_eq!((decoder.steps, decoder.eta, decoder.guidance_scale), (Some(8), Some(0.5), Some(2.5)));
        let upsampler = request.upsampler.unwrap();
        assert_eq!((upsampler.steps, upsampler.eta, upsampler.guidance_scale), (Some(2), None, None));
        assert_eq!(request.image_embedding, None);
    }

    #[test]
    fn a_receipt_from_before_the_clamped_noise_is_drawn_without_it() {
        let json = r#"{"stages": [{"stage": "STAGE_DECODER", "sampler": "SAMPLER_DDIM", "steps": 8, "eta": 0.5},
            {"stage": "STAGE_UPSAMPLER", "sampler": "SAMPLER_UNCLIP", "steps": 2}]}"#;
        let drawn_with = |receipt: Receipt| {
            let Redraw::Generate(request) = receipt.redraw().unwrap() else { panic!("not generated") };
            [request.decoder, request.upsampler].map(|options| options.unwrap().clamped_epsilon)
        };
        let old = Receipt::from_json(json).unwrap();
        assert_eq!(drawn_with(old.clone()), [Some(false), None]);
        let mut new = old;
        new.stages[0].clamped_epsilon = true;
        let new = Receipt::from_json(&new.to_json().unwrap().to_string()).unwrap();
        assert_eq!(drawn_with(new), [Some(true), None]);
    }

    #[test]
    fn operations_are_drawn_from_their_latents() {
        let Redraw::Vary(request) = with_latents("interpolate").redraw().unwrap() else {
            panic!("not varied")
        };
        let latent = request.latent.unwrap();
        assert_eq!(latent.source, Some(Source::ImageEmbedding(Embedding::new("s", &[1.0, 2.0]))));
        assert_eq!(latent.x_t, Some(Tensor::from_f32(&[1], &[0.5])));
        let edit = EditReceipt { resample: 4, ..Default::default() };
        let edited = Receipt { operation: "edit".into(), edit: Some(edit), ..receipt() };
        let Redraw::Edit(request) = edited.redraw().unwrap() else { panic!("not edited") };
        assert_eq!(request.resample, Some(4));
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            (Receipt { stages: vec![], ..receipt() }, "receipt.stages: no line of STAGE_DECODER"),
            (Receipt { operation: "dream".into(), ..receipt() }, "receipt.operation: \"dream\" is not known"),
            (Receipt { operation: "vary".into(), ..receipt() }, "receipt.image_embedding: missing"),
            (Receipt { operation: "edit".into(), ..receipt() }, "receipt.edit: missing"),
            (Receipt { image_embedding_given: true, ..receipt() }, "receipt.image_embedding: missing"),
        ];
        for (receipt, expected) in cases {
            let error = receipt.redraw().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
