//! Model directories: layout, configs, weights and fingerprints.
