//! Trainable parameters: their layout in memory, initial values, optimiser and averages.

mod adamw;
mod init;
mod kernel;
mod layout;
mod store;

pub use adamw::{AdamW, StepReport};
pub use init::Init;
pub(crate) use layout::to_i64;
pub use layout::{Entry, Layout};
pub use store::{Gradients, Leaves, ParamStore};
