//! Parsing and mapping.
