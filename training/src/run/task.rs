//! What a trainer tells the loop.

use image::RgbImage;
use tch::Tensor;
use unclip_bundle::Component;
use unclip_models::{ModelError, Params};

use super::{Inputs, RunFolder};
use crate::TrainError;
use crate::params::{Init, ParamStore};

/// A loss and its parts.
pub struct Loss {
    /// What is differentiated: a scalar.
    pub total: Tensor,
    /// Scalars for the metrics, under their names there.
    pub parts: Vec<(&'static str, Tensor)>,
}

/// One kind of training. Batches are made on other threads ahead of time, losses on one thread per replica.
pub trait Task: Sync {
    /// The networks, those that stay as they are included.
    type Network: Send;

    /// The name in file names and titles, as `decoder`.
    fn name(&self) -> &'static str;

    /// Builds the networks. Parameters carry the bundle's folder in their names, as `decoder.conv_in.weight`; what is in no
    /// folder is not exported.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape; files of networks that stay as they are.
    fn build(&self, params: &Params) -> Result<Self::Network, ModelError>;

    /// How a parameter starts; `weight` is the shape of the weight beside a bias.
    fn initialise(&self, name: &str, shape: &[i64], weight: Option<&[i64]>) -> Init {
        Init::layer(name, shape, weight)
    }

    /// Sets parameters that come from the data; called once, on a fresh training.
    ///
    /// # Errors
    /// Whatever reading the data gives.
    fn prepare(&self, _store: &mut ParamStore) -> Result<(), TrainError> {
        Ok(())
    }

    /// The batch of a step, on the CPU: a function of the configuration and the step alone.
    ///
    /// # Errors
    /// Whatever reading the data gives.
    fn inputs(&self, step: u64) -> Result<Inputs, TrainError>;

    /// The mean loss of a batch, or of a part of one.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    fn loss(&self, network: &Self::Network, inputs: &Inputs) -> Result<Loss, TrainError>;

    /// Whether the loss compares rows with each other, so that parts of a batch can't have one each. Then [`Task::embed`]
    /// and [`Task::joint_loss`] count instead of [`Task::loss`].
    fn is_joint(&self) -> bool {
        false
    }

    /// What a part of a batch gives to a joint loss: tensors whose first dimension is the batch.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    fn embed(&self, _network: &Self::Network, _inputs: &Inputs) -> Result<Vec<Tensor>, TrainError> {
        Ok(Vec::new())
    }

    /// The loss of what all parts of a batch gave, put together again.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    fn joint_loss(&self, _network: &Self::Network, _embedded: &[Tensor]) -> Result<Loss, TrainError> {
        Err(TrainError::shape("joint loss", "none", "one, where is_joint says so"))
    }

    /// Figures of averaged networks on held-out data.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    fn evaluate(&self, _network: &Self::Network) -> Result<Vec<(&'static str, f64)>, TrainError> {
        Ok(Vec::new())
    }

    /// Pictures of averaged networks for people to look at.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    fn sheet(&self, _network: &Self::Network) -> Result<Option<RgbImage>, TrainError> {
        Ok(None)
    }

    /// Changes the parameters of a bundle that a new training starts from into those that it trains, where these differ.
    ///
    /// # Errors
    /// A parameter of another shape.
    fn adopt(&self, _store: &mut ParamStore) -> Result<(), TrainError> {
        Ok(())
    }

    /// The averaged parameters as a bundle has them, where these differ from what is trained.
    ///
    /// # Errors
    /// A parameter that is missing.
    fn exported(&self, averages: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, TrainError> {
        Ok(averages)
    }

    /// Writes averaged parameters that are no part of a bundle, with every checkpoint.
    ///
    /// # Errors
    /// A folder that can't be written.
    fn save(&self, _folder: &RunFolder, _averages: &[(String, Tensor)]) -> Result<(), TrainError> {
        Ok(())
    }

    /// A folder of the bundle whose weights go into another folder as well.
    fn also_exported(&self) -> Option<(Component, Component)> {
        None
    }
}
