//! Image encoder service: pictures to CLIP image embeddings.
