//! Serving on the CPU: the same sums in the same order, whatever the number of rows in a pass.
//!
//! libtorch 2.11.0 picks kernels by the number of rows, and two kernels round in two ways: what a row gives would depend on
//! who else is being served. Found so far, each of them measured by `make bench-invariance`:
//!
//! - a convolution of a single small picture goes to a plain loop, one of several to oneDNN;
//! - MKL multiplies a matrix of fewer than 16 rows in f32 in another order than larger ones;
//! - group norm sums pictures of 1024 pixels and more in as many parts as there are threads, across the whole batch;
//! - elementwise functions take whole vectors, and what is left over one by one, with another sine.
//!
//! That these are all is not assumed: the engine proves it for every size of a pass before it relies on it.

use tch::{Device, Kind, Tensor};

/// Rows from which MKL's order of summing no longer changes.
const ROWS: i64 = 16;

/// Pixels from which group norm sums across the batch.
const PIXELS: i64 = 1024;

/// Values in a whole turn of a vectorised loop: two vectors of 512 bits, and twice that for wider ones to come.
const TURN: i64 = 64;

/// Whether a layer with these parameters computes in f32 on the CPU.
fn is_plain(weight: &Tensor) -> bool {
    weight.kind() == Kind::Float && weight.device() == Device::Cpu
}

/// `x W^T + b` over the last dimension.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let size = x.size();
    let inputs = weight.size()[1];
    let rows = size.iter().product::<i64>() / inputs.max(1);
    if !is_plain(weight) || rows >= ROWS {
        return x.linear(weight, Some(bias));
    }
    let filled = x.reshape([rows, inputs]).constant_pad_nd([0, 0, 0, ROWS - rows]);
    let mut size = size;
    if let Some(last) = size.last_mut() {
        *last = weight.size()[0];
    }
    filled.linear(weight, Some(bias)).narrow(0, 0, rows).reshape(size)
}

/// A convolution of stride 1.
pub(super) fn convolution(x: &Tensor, weight: &Tensor, bias: &Tensor, padding: i64) -> Tensor {
    match is_plain(weight) && tch::utils::has_mkldnn() {
        true => x.mkldnn_convolution(weight, Some(bias), [padding; 2], [1_i64; 2], [1_i64; 2], 1),
        false => x.conv2d(weight, Some(bias), 1, padding, 1, 1),
    }
}

/// Runs a norm over `[batch, channels, ...]`, picture by picture where it would mix them up.
pub(super) fn by_picture(x: &Tensor, norm: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let size = x.size();
    let pixels: i64 = size.iter().skip(2).product();
    if size[0] == 1 || pixels < PIXELS || x.device() != Device::Cpu {
        return norm(x);
    }
    let normed: Vec<_> = (0..size[0]).map(|picture| norm(&x.narrow(0, picture, 1))).collect();
    Tensor::cat(&normed, 0)
}

/// The least width of at least `width` that leaves nothing over in a vectorised loop.
pub(super) fn whole_turns(width: i64) -> i64 {
    (width + TURN - 1) / TURN * TURN
}
