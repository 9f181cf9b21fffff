//! One module per command.

pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod serve;
pub(crate) mod train;
