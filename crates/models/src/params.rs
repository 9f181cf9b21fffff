//! Where a network's parameters come from.

use tch::Tensor;

use crate::ModelError;

/// Hands out the parameters of a network by name. Networks are built from nothing else, so the same network loads a
/// file, checks one, or registers variables for training.
pub trait ParamSource {
    /// The parameter `name` of shape `shape`.
    ///
    /// # Errors
    /// There is no such parameter, or it has another shape.
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError>;

    /// Whether the values never change again, so that layers may keep joined copies. False for training and checking.
    fn frozen(&self) -> bool {
        false
    }

    /// Whether layers ask for the same kernels whatever the number of rows (`layers/steady.rs`): where the network serves.
    fn steady(&self) -> bool {
        self.frozen()
    }
}

/// A source and the part of the network that is being built: names are relative to it.
#[derive(Clone)]
pub struct Params<'a> {
    source: &'a dyn ParamSource,
    prefix: String,
}

impl<'a> Params<'a> {
    /// The whole of a source.
    pub fn root(source: &'a dyn ParamSource) -> Self {
        Self { source, prefix: String::new() }
    }

    /// A part: `name` may be a path such as `down_blocks.0.resnets.1`.
    #[must_use]
    pub fn sub(&self, name: &str) -> Self {
        Self { source: self.source, prefix: self.full(name) }
    }

    /// The parameter `name` of this part.
    ///
    /// # Errors
    /// See [`ParamSource::tensor`].
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        self.source.tensor(&self.full(name), shape)
    }

    /// See [`ParamSource::frozen`].
    pub fn frozen(&self) -> bool {
        self.source.frozen()
    }

    /// See [`ParamSource::steady`].
    pub fn steady(&self) -> bool {
        self.source.steady()
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}
