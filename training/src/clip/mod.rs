//! CLIP (Radford et al., arXiv 2103.00020): the towers of transformers' `CLIPTextModelWithProjection` and
//! `CLIPVisionModelWithProjection` on libtorch, a tokenizer learned from the captions, and their trainer.

mod config;
mod frozen;
mod layers;
mod loss;
mod parts;
mod patches;
mod retrieval;
mod text;
mod tokenizer;
mod trainer;
mod vision;

pub use config::{ClipConfig, PatchInit, Teacher, TextShape, VisionShape};
pub use frozen::{FrozenClip, FrozenTowers, Statistics, TextStates};
pub(crate) use layers::{LayerNorm, Linear};
pub use loss::contrastive;
pub(crate) use loss::{FIRST_SCALE, scale_of, unit};
pub use retrieval::{Recall, recall};
pub use text::{TextOutput, TextTower};
pub use tokenizer::learn_tokenizer;
pub use trainer::ClipTask;
pub use vision::VisionTower;
