//! What every trainer shares: configuration, the loop, checkpoints, figures and pictures.

mod chart;
mod checkpoint;
mod claim;
mod config;
mod folder;
mod inputs;
mod looping;
mod memory;
mod metrics;
mod prefetch;
mod progress;
mod replica;
mod schedule;
mod sheet;
mod source;
mod task;
mod warm_start;

pub use chart::draw_curves;
pub use checkpoint::{Checkpoint, latest};
pub use claim::Claim;
pub use config::{Cadence, CheckedConfig, DataConfig, Optimisation, Problems, read_config};
pub use folder::{RunFolder, RunInfo};
pub use inputs::Inputs;
pub use looping::{Options, Outcome, train};
pub use memory::keep_pages;
pub use metrics::{Metrics, Record};
pub use schedule::Schedule;
pub use sheet::Sheet;
pub use source::{BatchSource, Sources, open};
pub use task::{Loss, Task};
