//! The judge: a CLIP of another architecture than the one that pictures are conditioned on, trained on real pictures only.
//! Evaluations score with it what the bundle's own CLIP can't be asked about.

mod config;
mod open;
mod text;
mod trainer;

pub use crate::picture_tower::PictureShape;
pub use config::{JudgeConfig, TextShape};
pub use open::Judge;
pub use trainer::JudgeTask;
