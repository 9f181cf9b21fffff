//! Receipts as JSON, in protobuf's own mapping: every field that the contract has, also those of tomorrow.

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use unclip_proto::v1::Receipt;
use unclip_service::Error;

use super::error::ApiError;

/// Writes receipts.
pub(super) struct ReceiptWriter(MessageDescriptor);

impl ReceiptWriter {
    /// A writer that knows the contract.
    pub(super) fn new() -> Result<Self, Error> {
        let damaged = |detail: &dyn std::fmt::Display| Error::internal("the contracts are damaged", detail);
        let pool =
            DescriptorPool::decode(unclip_proto::FILE_DESCRIPTOR_SET).map_err(|error| damaged(&error))?;
        let descriptor = pool.get_message_by_name("unclip.v1.Receipt");
        descriptor.map(Self).ok_or_else(|| damaged(&"unclip.v1.Receipt"))
    }

    /// The receipt with the contract's field names, and 64-bit numbers as numbers.
    pub(super) fn write(&self, receipt: &Receipt) -> Result<Value, ApiError> {
        let failed =
            |detail: &dyn std::fmt::Display| ApiError::internal("the receipt can't be written", detail);
        let mut message = DynamicMessage::new(self.0.clone());
        message.transcode_from(receipt).map_err(|error| failed(&error))?;
        let options = SerializeOptions::new()
            .use_proto_field_name(true)
            .stringify_64_bit_integers(false)
            .skip_default_fields(false);
        message
            .serialize_with_options(serde_json::value::Serializer, &options)
            .map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use unclip_proto::v1::{Sampler, Stage, StageReceipt};

    use super::*;

    #[test]
    fn a_receipt_is_written_whole() {
        let stage = StageReceipt {
            stage: Stage::Decoder as i32,
            sampler: Sampler::Ddim as i32,
            steps: 25,
            guidance_scale: 8.0,
            ..Default::default()
        };
        let receipt = Receipt {
            seed: u64::MAX,
            stages: vec![stage],
            operation: "edit".to_owned(),
            ..Default::default()
        };
        let json = ReceiptWriter::new().unwrap().write(&receipt).unwrap();
        assert_eq!(json["seed"], u64::MAX);
        assert_eq!(json["operation"], "edit");
        assert_eq!(json["stages"][0]["stage"], "STAGE_DECODER");
        assert_eq!(json["stages"][0]["sampler"], "SAMPLER_DDIM");
        assert_eq!(
            (&json["stages"][0]["steps"], &json["stages"][0]["guidance_scale"]),
            (&25.into(), &8.0.into())
        );
        assert_eq!(json["prompt_truncated"], false);
    }
}
