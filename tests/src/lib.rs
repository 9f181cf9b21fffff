//! End-to-end tests of unclip.
