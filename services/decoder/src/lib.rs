//! Decoder service: CLIP image embeddings to small images.
