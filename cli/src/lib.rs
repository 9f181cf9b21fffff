//! The unclip command.
