//! Text encoder service: captions to CLIP text embeddings.
