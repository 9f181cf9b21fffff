//! The layers that networks are made of.

mod attention;
mod basic;
mod resnet;
mod steady;
mod timestep;

pub(crate) use attention::{AddedKvAttention, SelfAttention2d, attend, attend_parts};
pub(crate) use basic::{Conv2d, GroupNorm, JointLinear, LayerNorm, Linear, add, channels_last, silu};
pub(crate) use resnet::{Resample, Resnet, ResnetConfig};
pub(crate) use timestep::{Sinusoid, TimestepEmbedding};
