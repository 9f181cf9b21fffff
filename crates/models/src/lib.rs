//! The unCLIP networks on libtorch and their loading from safetensors.
