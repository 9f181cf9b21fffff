//! CLIP towers on ONNX Runtime: tokenizer, preprocessing, ONNX export.
