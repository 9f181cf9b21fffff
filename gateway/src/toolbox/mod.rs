//! Operations on a picture's two latents (arXiv 2204.06125, section 3): its embedding z_i and its noise x_T.

mod basis;
mod canvas;
mod classify;
mod diff;
mod edit;
mod frames;
mod interpolate;
mod invert;
mod latent;
mod mix;
mod options;
mod reconstruct;
mod stream;
mod vary;

pub(crate) use basis::compute_basis;
pub(crate) use classify::{classify, encode_images, encode_texts};
pub(crate) use diff::diff;
pub(crate) use edit::edit;
pub(crate) use interpolate::interpolate;
pub(crate) use invert::invert;
pub(crate) use reconstruct::reconstruct;
pub(crate) use stream::{EventStream, run};
pub(crate) use vary::vary;
