//! What attention sees of the context: one request's, and a batch of several.

use tch::{Device, Kind, Tensor};

/// Added to the scores of keys that must not be seen (diffusers' `UNet2DConditionModel` and `PriorTransformer`).
pub(crate) const MASKED: f64 = -10_000.0;

/// Keys and values of one row's context per attention layer, `[1, tokens, 2 * width]` each, keys first. A token that must
/// not be seen would get a weight of exactly zero, so it need not even be here.
pub struct KeyValues(pub Vec<Tensor>);

impl KeyValues {
    fn tokens(&self) -> i64 {
        self.0.first().map_or(0, |layer| layer.size()[1])
    }
}

/// What attention sees of the context, for rows that attend together: a whole batch, or a part of one.
pub struct ContextBatch {
    /// Keys and values per attention layer, in the order of the network: `[batch, tokens, 2 * width]`.
    pub key_values: Vec<Tensor>,
    /// What is added to the scores of the context's keys, `[batch, 1, 1, tokens]` in the network's dtype; none where every
    /// row may see all of them.
    pub bias: Option<Tensor>,
}

impl ContextBatch {
    /// The contexts of a batch's rows, as parts that add up to the batch: on a GPU one, whose rows attend in one kernel; on
    /// the CPU one a row, so that what attention rounds depends on that row alone, and nothing has to be filled up.
    pub fn parts(rows: &[&KeyValues], device: Device) -> Vec<Self> {
        match device {
            Device::Cpu => rows.iter().map(|row| Self::stack(&[row])).collect(),
            _ => vec![Self::stack(rows)],
        }
    }

    /// Stacks the contexts of a batch's rows. Shorter ones are filled with zeros, which the bias hides.
    pub fn stack(rows: &[&KeyValues]) -> Self {
        let longest = rows.iter().map(|row| row.tokens()).max().unwrap_or_default();
        let layers = rows.iter().map(|row| row.0.len()).min().unwrap_or_default();
        let layer = |layer: usize| {
            let padded: Vec<_> =
                rows.iter().map(|row| lengthen(&row.0[layer], longest - row.tokens())).collect();
            Tensor::cat(&padded, 0)
        };
        Self { key_values: (0..layers).map(layer).collect(), bias: length_bias(rows, longest) }
    }
}

/// The bias for a mask `[batch, tokens]` of booleans, true where a token may be seen: `[batch, 1, 1, tokens]`.
pub fn mask_bias(mask: &Tensor, kind: Kind) -> Tensor {
    let hidden = mask.logical_not().to_kind(kind) * MASKED;
    hidden.unsqueeze(1).unsqueeze(1)
}

fn lengthen(key_values: &Tensor, missing: i64) -> Tensor {
    match missing {
        0 => key_values.shallow_clone(),
        missing => key_values.constant_pad_nd([0, 0, 0, missing]),
    }
}

/// The bias that hides what was filled up; none where nothing was.
fn length_bias(rows: &[&KeyValues], longest: i64) -> Option<Tensor> {
    let like = rows.first()?.0.first()?;
    if rows.iter().all(|row| row.tokens() == longest) {
        return None;
    }
    let lengths: Vec<_> = rows.iter().map(|row| row.tokens()).collect();
    let lengths = Tensor::from_slice(&lengths).to_device(like.device()).unsqueeze(1);
    let positions = Tensor::arange(longest, (Kind::Int64, like.device())).unsqueeze(0);
    Some(mask_bias(&positions.lt_tensor(&lengths), like.kind()))
}
