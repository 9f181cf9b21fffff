//! Threads that each differentiate the loss of a part of every batch.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use tch::{Kind, Tensor};
use unclip_models::Params;

use super::{Inputs, Task};
use crate::TrainError;
use crate::params::{Gradients, Leaves, ParamStore};

/// Networks over the shared parameters, with variables of their own.
pub(super) struct Replica<N> {
    network: N,
    leaves: Leaves,
    placement: unclip_models::Placement,
}

/// What a part of a batch gives: gradients, and the loss with its parts as detached scalars.
pub(super) struct Part {
    pub(super) gradients: Gradients,
    pub(super) losses: Vec<(&'static str, Tensor)>,
}

impl<N> Replica<N> {
    pub(super) fn new<T: Task<Network = N>>(task: &T, store: &ParamStore) -> Result<Self, TrainError> {
        let leaves = store.leaves();
        let network = task.build(&Params::root(&leaves))?;
        Ok(Self { network, leaves, placement: store.placement() })
    }

    pub(super) fn run<T: Task<Network = N>>(&self, task: &T, inputs: &Inputs) -> Result<Part, TrainError> {
        let inputs = inputs.to(self.placement.device)?;
        let loss = task.loss(&self.network, &inputs)?;
        let gradients = self.leaves.gradients(&loss.total)?;
        let parts = [("loss", loss.total)].into_iter().chain(loss.parts);
        let losses = parts.map(|(name, loss)| (name, loss.detach().to_kind(Kind::Float))).collect();
        Ok(Part { gradients, losses })
    }
}

/// The ends of another replica's channels.
type Other = (Sender<Inputs>, Receiver<Result<Part, TrainError>>);

/// One replica on this thread, the others on threads of their own.
pub(super) struct Replicas<T: Task> {
    own: Replica<T::Network>,
    others: Vec<Other>,
}

impl<T: Task> Replicas<T> {
    /// Builds the networks. With several replicas each works on one thread.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        task: &'scope T,
        store: &ParamStore,
        count: usize,
    ) -> Result<Self, TrainError>
    where
        T::Network: 'scope,
    {
        if count > 1 {
            unclip_models::set_threads(1);
        }
        let mut others = Vec::new();
        for _ in 1..count {
            let replica = Replica::new(task, store)?;
            let (send_inputs, inputs) = channel::<Inputs>();
            let (send_part, parts) = channel();
            scope.spawn(move || {
                unclip_models::set_threads(1);
                for inputs in inputs {
                    if send_part.send(replica.run(task, &inputs)).is_err() {
                        return;
                    }
                }
            });
            others.push((send_inputs, parts));
        }
        Ok(Self { own: Replica::new(task, store)?, others })
    }

    /// Runs a batch, a part per replica.
    pub(super) fn run(&self, task: &T, inputs: Inputs) -> Result<Vec<Part>, TrainError> {
        let gone = || TrainError::Thread("a replica");
        let mut shares = inputs.split(self.others.len() + 1)?.into_iter();
        let own = shares.next().ok_or_else(gone)?;
        for ((sender, _), share) in self.others.iter().zip(shares) {
            sender.send(share).map_err(|_| gone())?;
        }
        let mut parts = vec![self.own.run(task, &own)?];
        for (_, receiver) in &self.others {
            parts.push(receiver.recv().map_err(|_| gone())??);
        }
        Ok(parts)
    }
}
