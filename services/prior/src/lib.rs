//! Prior service: CLIP text embeddings to CLIP image embeddings.
