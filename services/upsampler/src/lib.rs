//! Upsampler service: small images to larger ones.
