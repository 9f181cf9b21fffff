//! The CLIP towers on ONNX Runtime: tokenizer, image preprocessing, ONNX export from safetensors, inference.
//!
//! [`init`] loads the library once per process, [`export_text_tower`] and [`export_image_tower`] write the graphs
//! beside the weights (`unclip import` does that), and [`TextTower`] and [`ImageTower`] run them.

mod check;
mod error;
mod image_tower;
mod onnx;
mod preprocess;
mod runtime;
mod text_tower;
mod tokenizer;
mod tower;
mod vocabulary;

pub use check::{check_image_tower, check_text_tower, text_tower_warnings};
pub use error::ClipError;
pub use image_tower::ImageTower;
pub use onnx::{MODEL_FILE, export_image_tower, export_text_tower};
pub use preprocess::ClipPreprocessor;
pub use runtime::init;
pub use text_tower::{TextEncoding, TextTower};
pub use tokenizer::{ClipTokenizer, TokenizedText};
