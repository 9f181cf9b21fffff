//! One module per command.

pub(crate) mod basis;
pub(crate) mod classify;
pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod encode;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod interpolate;
pub(crate) mod invert;
pub(crate) mod mix;
pub(crate) mod prior;
pub(crate) mod reconstruct;
pub(crate) mod replay;
pub(crate) mod serve;
pub(crate) mod train;
pub(crate) mod vary;
