//! What a bundle is good for, by the stages that it has.

use unclip_bundle::{Bundle, Stage};

/// An operation, and whether a bundle has what it takes.
pub(crate) struct Ability {
    /// Its name for people.
    pub(crate) name: &'static str,
    /// What is missing, by the first stage that is, with what to do.
    pub(crate) missing: Option<String>,
}

/// Operations and the stages that they run on.
const OPERATIONS: [(&str, &[Stage]); 3] = [
    ("embed captions", &[Stage::TextEncoder, Stage::Prior]),
    ("generate", &[Stage::TextEncoder, Stage::Prior, Stage::Decoder, Stage::Upsampler]),
    ("vary, edit", &[Stage::ImageEncoder, Stage::TextEncoder, Stage::Decoder, Stage::Upsampler]),
];

/// What the bundle can and what it can't.
pub(crate) fn abilities(bundle: &Bundle) -> Vec<Ability> {
    let ability = |(name, stages): (&'static str, &[Stage])| {
        let missing = stages.iter().find_map(|stage| bundle.require(*stage).err());
        Ability { name, missing: missing.map(|error| error.to_string()) }
    };
    OPERATIONS.into_iter().map(ability).collect()
}
