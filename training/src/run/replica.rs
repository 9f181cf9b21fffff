//! Threads that each differentiate the loss of a part of every batch.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use tch::{Kind, Tensor};
use unclip_models::{Params, Placement};

use super::{Inputs, Loss, Task};
use crate::TrainError;
use crate::params::{Gradients, Leaves, ParamStore, to_i64};

/// Networks over the shared parameters, with variables of their own.
struct Replica<N> {
    network: N,
    leaves: Leaves,
    placement: Placement,
    /// What the last part of a batch gave to a joint loss, with its graph.
    embedded: Vec<Tensor>,
}

/// What a part of a batch gives: gradients, and the loss with its parts as detached scalars.
pub(super) struct Part {
    pub(super) gradients: Gradients,
    pub(super) losses: Vec<(&'static str, Tensor)>,
}

/// What a replica does next.
enum Order {
    /// The loss of a part of a batch: answers with [`Answer::Part`].
    Loss(Inputs),
    /// A part's share in a joint loss: answers with [`Answer::Embedded`].
    Embed(Inputs),
    /// The joint loss' gradients with respect to that share: answers with [`Answer::Part`].
    Pull(Vec<Tensor>),
}

enum Answer {
    Part(Part),
    Embedded(Vec<Tensor>),
}

impl<N> Replica<N> {
    fn new<T: Task<Network = N>>(task: &T, store: &ParamStore) -> Result<Self, TrainError> {
        let leaves = store.leaves();
        let network = task.build(&Params::root(&leaves))?;
        Ok(Self { network, leaves, placement: store.placement(), embedded: Vec::new() })
    }

    fn obey<T: Task<Network = N>>(&mut self, task: &T, order: Order) -> Result<Answer, TrainError> {
        match order {
            Order::Loss(inputs) => self.run(task, &inputs).map(Answer::Part),
            Order::Embed(inputs) => self.embed(task, &inputs).map(Answer::Embedded),
            Order::Pull(gradients) => self.pull(&gradients).map(Answer::Part),
        }
    }

    fn run<T: Task<Network = N>>(&self, task: &T, inputs: &Inputs) -> Result<Part, TrainError> {
        let loss = task.loss(&self.network, &inputs.to(self.placement.device)?)?;
        let gradients = self.leaves.gradients(&loss.total)?;
        Ok(Part { gradients, losses: losses(loss) })
    }

    fn embed<T: Task<Network = N>>(&mut self, task: &T, inputs: &Inputs) -> Result<Vec<Tensor>, TrainError> {
        self.embedded = task.embed(&self.network, &inputs.to(self.placement.device)?)?;
        Ok(self.embedded.iter().map(Tensor::detach).collect())
    }

    /// The chain rule: the gradient of the sum of products has the joint loss' gradient as its factor.
    fn pull(&mut self, gradients: &[Tensor]) -> Result<Part, TrainError> {
        let products = self.embedded.iter().zip(gradients).map(|(embedded, gradient)| {
            (embedded.to_kind(Kind::Float) * gradient.to_kind(Kind::Float)).sum(Kind::Float)
        });
        let total = products.reduce(|sum, product| sum + product).ok_or(TrainError::Thread("a replica"))?;
        let gradients = self.leaves.gradients(&total)?;
        self.embedded.clear();
        Ok(Part { gradients, losses: Vec::new() })
    }
}

fn losses(loss: Loss) -> Vec<(&'static str, Tensor)> {
    let all = [("loss", loss.total)].into_iter().chain(loss.parts);
    all.map(|(name, loss)| (name, loss.detach().to_kind(Kind::Float))).collect()
}

/// The ends of another replica's channels.
struct Other {
    orders: Sender<Order>,
    answers: Receiver<Result<Answer, TrainError>>,
}

impl Other {
    fn start<'scope, T: Task>(
        scope: &'scope Scope<'scope, '_>,
        task: &'scope T,
        mut replica: Replica<T::Network>,
    ) -> Self
    where
        T::Network: 'scope,
    {
        let (orders, receiver) = channel::<Order>();
        let (sender, answers) = channel();
        scope.spawn(move || {
            unclip_models::set_threads(1);
            for order in receiver {
                if sender.send(replica.obey(task, order)).is_err() {
                    return;
                }
            }
        });
        Self { orders, answers }
    }
}

/// One replica on this thread, the others on threads of their own.
pub(super) struct Replicas<T: Task> {
    own: Replica<T::Network>,
    others: Vec<Other>,
}

fn gone() -> TrainError {
    TrainError::Thread("a replica")
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
        let others = (1..count).map(|_| Ok(Other::start(scope, task, Replica::new(task, store)?)));
        let others = others.collect::<Result<_, TrainError>>()?;
        Ok(Self { own: Replica::new(task, store)?, others })
    }

    /// Runs a batch, a part per replica. The mean of the parts' gradients is the batch's.
    pub(super) fn run(&mut self, task: &T, inputs: Inputs) -> Result<Vec<Part>, TrainError> {
        let shares = inputs.split(self.others.len() + 1)?;
        if self.others.is_empty() || !task.is_joint() {
            return parts(self.give(task, shares.into_iter().map(Order::Loss).collect())?);
        }
        let embedded = self.give(task, shares.into_iter().map(Order::Embed).collect())?;
        self.joint(task, embedded)
    }

    fn joint(&mut self, task: &T, answers: Vec<Answer>) -> Result<Vec<Part>, TrainError> {
        let count = answers.len();
        let shares = answers.into_iter().map(|answer| match answer {
            Answer::Embedded(share) => Ok(share),
            Answer::Part(_) => Err(gone()),
        });
        let all = together(&shares.collect::<Result<Vec<_>, _>>()?)?;
        let loss = task.joint_loss(&self.own.network, &all)?;
        let (own, gradients) = self.own.leaves.gradients_and(&loss.total, &all)?;
        // Every replica contributes to a sum, of which the mean will be taken.
        let scaled = gradients.iter().map(|gradient| gradient * to_i64(count));
        let chunks: Vec<Vec<Tensor>> = scaled.map(|gradient| gradient.chunk(to_i64(count), 0)).collect();
        let share = |index: usize| chunks.iter().map(|parts| parts[index].shallow_clone()).collect();
        let mut parts = parts(self.give(task, (0..count).map(|index| Order::Pull(share(index))).collect())?)?;
        let first = parts.first_mut().ok_or_else(gone)?;
        first.losses = losses(loss);
        add(&mut first.gradients, own, to_i64(count));
        Ok(parts)
    }

    /// An order per replica; the first one's is done here, while the others do theirs.
    fn give(&mut self, task: &T, orders: Vec<Order>) -> Result<Vec<Answer>, TrainError> {
        let mut orders = orders.into_iter();
        let own = orders.next().ok_or_else(gone)?;
        for (other, order) in self.others.iter().zip(orders) {
            other.orders.send(order).map_err(|_| gone())?;
        }
        let mut answers = vec![self.own.obey(task, own)?];
        for other in &self.others {
            answers.push(other.answers.recv().map_err(|_| gone())??);
        }
        Ok(answers)
    }
}

fn parts(answers: Vec<Answer>) -> Result<Vec<Part>, TrainError> {
    let part = |answer| match answer {
        Answer::Part(part) => Ok(part),
        Answer::Embedded(_) => Err(gone()),
    };
    answers.into_iter().map(part).collect()
}

/// The replicas' shares as tensors of the whole batch, which want gradients.
fn together(shares: &[Vec<Tensor>]) -> Result<Vec<Tensor>, TrainError> {
    let kinds = shares.first().map_or(0, Vec::len);
    let one = |kind: usize| {
        let rows: Vec<_> = shares.iter().filter_map(|share| share.get(kind)).collect();
        Ok(Tensor::f_cat(&rows, 0)?.set_requires_grad(true))
    };
    (0..kinds).map(one).collect()
}

/// Adds `factor` times what the joint loss itself gives to some parameters, as the logits' scale.
fn add(sum: &mut Gradients, own: Gradients, factor: i64) {
    for (sum, own) in sum.0.iter_mut().zip(own.0) {
        let Some(own) = own.map(|own| own * factor) else {
            continue;
        };
        *sum = Some(match sum.take() {
            Some(before) => before + own,
            None => own,
        });
    }
}
