//! Operations on a picture's two latents (arXiv 2204.06125, section 3): its embedding z_i and its noise x_T.

mod classify;
mod diff;
mod edit;
mod frames;
mod interpolate;
mod invert;
mod latent;
mod options;
mod stream;
mod vary;

pub(crate) use classify::{classify, encode_images, encode_texts};
pub(crate) use diff::diff;
pub(crate) use edit::edit;
pub(crate) use interpolate::interpolate;
pub(crate) use invert::invert;
pub(crate) use stream::EventStream;
pub(crate) use vary::vary;
