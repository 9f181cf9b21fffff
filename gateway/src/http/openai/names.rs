//! Fields of the gateway's requests, as parameters of OpenAI's API.

/// The most characters of a value that an error repeats.
const SHOWN: usize = 64;

/// The gateway's fields that have another name here. What is not listed keeps its name.
const RENAMED: [(&str, &str); 15] = [
    ("image_embedding.shape", "image_embedding"),
    ("prior.steps", "prior_steps"),
    ("prior.guidance_scale", "prior_guidance"),
    ("decoder.steps", "steps"),
    ("decoder.guidance_scale", "guidance"),
    ("decoder.eta", "eta"),
    ("decoder.clamped_epsilon", "unclamped_epsilon"),
    ("upsampler.steps", "upsampler_steps"),
    ("latent.image", "image"),
    ("jpeg_quality", "output_compression"),
    ("webp_quality", "output_compression"),
    ("output_size.width", "size"),
    ("output_size.height", "size"),
    ("format", "output_format"),
    ("preview_every", "partial_images"),
];

/// Parameters that keep the gateway's name.
const SAME: [&str; 11] = [
    "prompt",
    "negative_prompt",
    "n",
    "seed",
    "candidates",
    "image",
    "mask",
    "mask_mode",
    "prior_mode",
    "resample",
    "image_embedding",
];

/// Splits the gateway's message about a field, `field: problem`, and names the field as it is named here. What a stage says of a
/// field comes with the stage's name before it.
pub(super) fn of_field(message: &str) -> Option<(String, &str)> {
    let message = message.strip_prefix("prior: ").unwrap_or(message);
    let (field, problem) = message.split_once(": ")?;
    let field =
        ["generation.", "options."].iter().find_map(|parent| field.strip_prefix(parent)).unwrap_or(field);
    let renamed = RENAMED.iter().find(|(name, _)| *name == field).map(|(_, name)| *name);
    let same = SAME.into_iter().find(|name| *name == field);
    Some((renamed.or(same)?.to_owned(), problem))
}

/// A value as an error repeats it.
pub(super) fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_the_client_sent_them() {
        for (message, expected) in [
            ("generation.prompt: 9000 bytes", ("prompt", "9000 bytes")),
            ("options.decoder.steps: 0 is out of range", ("steps", "0 is out of range")),
            ("generation.prior.guidance_scale: a: b", ("prior_guidance", "a: b")),
            ("latent.image: no readable picture", ("image", "no readable picture")),
            ("mask: 5 x 4 pixels", ("mask", "5 x 4 pixels")),
        ] {
            assert_eq!(of_field(message), Some((expected.0.to_owned(), expected.1)));
        }
        assert_eq!(of_field("decoder: the embedding is damaged"), None);
        assert_eq!(of_field("no field at all"), None);
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(shortened(&"é".repeat(70)), format!("{}...", "é".repeat(64)));
        assert_eq!(shortened("short"), "short");
    }
}
