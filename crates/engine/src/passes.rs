//! Forwards that several rows may share without feeling each other.

use std::collections::HashMap;

use crate::{DenoiseError, Denoiser, Lane};

/// Takes the forwards of an engine.
///
/// Kernels are picked by the number of lanes, and two kernels sum in two orders: a row would depend, in its last bits, on who
/// else is being served. Where rows must not, a forward of a size that was not seen yet is taken twice, together and row by row.
/// Bits that agree prove it: kernels know shapes, not values. Where they differ, rows of that kind go one at a time from then on.
pub(crate) struct Passes {
    batch_invariant: bool,
    proven: HashMap<Kind, bool>,
}

/// What decides about kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    batch_key: u32,
    /// Lanes of the forward.
    lanes: usize,
    /// Of which the row has so many.
    width: usize,
}

type Outputs = Vec<Vec<f32>>;

impl Passes {
    pub(crate) fn new(batch_invariant: bool) -> Self {
        Self { batch_invariant, proven: HashMap::new() }
    }

    /// The outputs of `lanes`, of which the rows have `widths`, in their order.
    ///
    /// # Errors
    /// The denoiser's.
    pub(crate) fn forward<D: Denoiser>(
        &mut self,
        denoiser: &mut D,
        lanes: &[Lane<'_, D::Context>],
        widths: &[usize],
    ) -> Result<Outputs, DenoiseError> {
        if !self.batch_invariant || widths.len() < 2 {
            return denoiser.forward(lanes);
        }
        let batch_key = lanes.first().map_or(0, |lane| denoiser.batch_key(lane.step));
        let kind = |width: &usize| Kind { batch_key, lanes: lanes.len(), width: *width };
        let known: Vec<_> = widths.iter().map(|width| self.proven.get(&kind(width)).copied()).collect();
        if known.contains(&Some(false)) {
            return alone(denoiser, lanes, widths);
        }
        if known.iter().all(|proven| *proven == Some(true)) {
            return denoiser.forward(lanes);
        }
        let (together, alone) = (denoiser.forward(lanes)?, alone(denoiser, lanes, widths)?);
        let mut start = 0;
        for width in widths {
            let row = start..start + width;
            self.learn(kind(width), together.get(row.clone()), alone.get(row));
            start += width;
        }
        Ok(alone)
    }

    /// Outputs that are not finite, or that are missing, prove nothing.
    fn learn(&mut self, kind: Kind, together: Option<&[Vec<f32>]>, alone: Option<&[Vec<f32>]>) {
        let (Some(together), Some(alone)) = (together, alone) else { return };
        if !alone.iter().flatten().all(|value| value.is_finite()) {
            return;
        }
        let same = is_same(together, alone);
        let before = self.proven.insert(kind, same && self.proven.get(&kind) != Some(&false));
        if !same && before != Some(false) {
            let Kind { lanes, width, .. } = kind;
            tracing::info!(lanes, width, "rounds in another way than alone: rows go one at a time");
        }
    }
}

/// Every row in a forward of its own.
fn alone<D: Denoiser>(
    denoiser: &mut D,
    lanes: &[Lane<'_, D::Context>],
    widths: &[usize],
) -> Result<Outputs, DenoiseError> {
    let mut outputs = Vec::with_capacity(lanes.len());
    let mut rest = lanes;
    for width in widths {
        let (row, others) = rest.split_at((*width).min(rest.len()));
        outputs.extend(denoiser.forward(row)?);
        rest = others;
    }
    Ok(outputs)
}

fn is_same(one: &[Vec<f32>], other: &[Vec<f32>]) -> bool {
    let bits =
        |outputs: &[Vec<f32>]| outputs.iter().flatten().map(|value| value.to_bits()).collect::<Vec<_>>();
    bits(one) == bits(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Branch, StepView};

    /// Rounds in another way from so many lanes on.
    struct Rounding {
        from: usize,
        /// Lanes of every forward so far.
        forwards: Vec<usize>,
    }

    impl Denoiser for Rounding {
        type Condition = ();
        type Context = ();

        fn prepare(&mut self, (): (), _guided: bool) -> Result<(), DenoiseError> {
            Ok(())
        }

        fn batch_key(&self, step: StepView) -> u32 {
            step.index
        }

        fn forward(&mut self, lanes: &[Lane<'_, ()>]) -> Result<Outputs, DenoiseError> {
            self.forwards.push(lanes.len());
            let off = if lanes.len() >= self.from { f32::EPSILON } else { 0.0 };
            Ok(lanes.iter().map(|lane| lane.x_t.iter().map(|x| x * (1.0 + off)).collect()).collect())
        }
    }

    /// The forwards that rows of these widths take, and what they give.
    fn forward(
        passes: &mut Passes,
        denoiser: &mut Rounding,
        widths: &[usize],
        index: u32,
        x: f32,
    ) -> (Vec<usize>, Outputs) {
        let step = StepView { index, steps: 9 };
        let x_t = [x; 3];
        let count = widths.iter().sum();
        let lane = |_| Lane { x_t: &x_t, timestep: 1, context: &(), branch: Branch::Conditional, step };
        let lanes: Vec<_> = (0..count).map(lane).collect();
        denoiser.forwards.clear();
        let outputs = passes.forward(denoiser, &lanes, widths).unwrap();
        assert_eq!(outputs.len(), count);
        (denoiser.forwards.clone(), outputs)
    }

    fn rounding(from: usize) -> Rounding {
        Rounding { from, forwards: Vec::new() }
    }

    #[test]
    fn what_is_proven_goes_together() {
        let (mut passes, mut denoiser) = (Passes::new(true), rounding(99));
        assert_eq!(forward(&mut passes, &mut denoiser, &[2, 2], 0, 1.0).0, [4, 2, 2], "taken twice");
        assert_eq!(forward(&mut passes, &mut denoiser, &[2, 2], 0, 1.0).0, [4]);
        assert_eq!(forward(&mut passes, &mut denoiser, &[2, 1, 1], 0, 1.0).0, [4, 2, 1, 1], "other rows");
        assert_eq!(forward(&mut passes, &mut denoiser, &[1, 1, 2], 0, 1.0).0, [4]);
        assert_eq!(forward(&mut passes, &mut denoiser, &[2, 2], 1, 1.0).0, [4, 2, 2], "another network");
        assert_eq!(forward(&mut passes, &mut denoiser, &[2], 0, 1.0).0, [2], "alone as ever");
    }

    #[test]
    fn what_rounds_in_another_way_goes_alone() {
        let (mut passes, mut denoiser) = (Passes::new(true), rounding(5));
        assert_eq!(forward(&mut passes, &mut denoiser, &[2, 2], 0, 1.0).0, [4, 2, 2]);
        for expected in [vec![6, 2, 2, 2], vec![2, 2, 2], vec![2, 2, 2]] {
            let (forwards, outputs) = forward(&mut passes, &mut denoiser, &[2, 2, 2], 0, 1.0);
            assert_eq!(forwards, expected);
            assert_eq!(outputs, vec![vec![1.0; 3]; 6], "never what others had a part in");
        }
        assert_eq!(forward(&mut passes, &mut denoiser, &[2, 2], 0, 1.0).0, [4], "that size is good");
    }

    #[test]
    fn what_is_not_finite_proves_nothing() {
        let (mut passes, mut denoiser) = (Passes::new(true), rounding(99));
        for x in [f32::NAN, 1.0] {
            assert_eq!(forward(&mut passes, &mut denoiser, &[1, 1], 0, x).0, [2, 1, 1]);
        }
        assert_eq!(forward(&mut passes, &mut denoiser, &[1, 1], 0, 1.0).0, [2]);
    }

    #[test]
    fn where_it_is_not_asked_for_nothing_is_proven() {
        let (mut passes, mut denoiser) = (Passes::new(false), rounding(2));
        assert_eq!(forward(&mut passes, &mut denoiser, &[1, 1], 0, 1.0).0, [2]);
    }
}
