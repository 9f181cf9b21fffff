//! Spherical interpolation.

use crate::error::check_len;
use crate::{Error, Result};

/// Below this sine the angle of two directions is taken as 0 or pi: what the projection leaves is then
/// rounding error, with no direction of its own.
const PARALLEL: f64 = 1e-9;

/// Spherical interpolation from `a` (`t` = 0) to `b` (`t` = 1), as unCLIP interpolates image embeddings
/// (arXiv 2204.06125, section 3.2).
///
/// The direction turns at constant speed along the great circle; the norm goes linearly from `|a|` to `|b|`.
/// The angle is `atan2` of the components of `b` across and along `a`, which stays accurate where `acos` of
/// a dot product doesn't. For opposite vectors, where every great circle is one, the plane is spanned with
/// the coordinate axis nearest to perpendicular. A zero vector has no direction: then it's linear.
/// Computed in `f64`; `a`, `b` and the result have one length.
///
/// # Errors
/// When the lengths differ or `t` is outside 0 to 1.
pub fn slerp(a: &[f32], b: &[f32], t: f32) -> Result<Vec<f32>> {
    check_len("b", b, a.len())?;
    if !(0.0..=1.0).contains(&t) {
        return Err(Error::out_of_range("t", t, "0 to 1"));
    }
    let (a, b, t) = (widen(a), widen(b), f64::from(t));
    let (norm_a, norm_b) = (norm(&a), norm(&b));
    if norm_a == 0.0 || norm_b == 0.0 {
        return Ok(sum(&a, 1.0 - t, &b, t));
    }
    let (u, v) = (scaled(&a, 1.0 / norm_a), scaled(&b, 1.0 / norm_b));
    let (angle, across) = plane(&u, &v);
    let length = (1.0 - t) * norm_a + t * norm_b;
    Ok(sum(&u, length * (t * angle).cos(), &across, length * (t * angle).sin()))
}

/// The angle between the unit vectors `u` and `v`, and the unit vector across `u` on the way to `v`.
fn plane(u: &[f64], v: &[f64]) -> (f64, Vec<f64>) {
    let along = dot(u, v);
    let across = reject(v, u);
    let sine = norm(&across);
    if sine > PARALLEL {
        return (sine.atan2(along), scaled(&across, 1.0 / sine));
    }
    if along > 0.0 {
        return (0.0, vec![0.0; u.len()]);
    }
    (std::f64::consts::PI, perpendicular(u))
}

/// A unit vector perpendicular to the unit vector `u`; in one dimension there is none, and it's zero.
fn perpendicular(u: &[f64]) -> Vec<f64> {
    let smallest = (0..u.len()).min_by(|i, j| u[*i].abs().total_cmp(&u[*j].abs()));
    let axis: Vec<f64> = (0..u.len()).map(|i| f64::from(Some(i) == smallest)).collect();
    let across = reject(&axis, u);
    match norm(&across) {
        0.0 => across,
        length => scaled(&across, 1.0 / length),
    }
}

/// The part of `v` perpendicular to the unit vector `u`.
fn reject(v: &[f64], u: &[f64]) -> Vec<f64> {
    let along = dot(v, u);
    v.iter().zip(u).map(|(v, u)| v - along * u).collect()
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(values: &[f64]) -> f64 {
    dot(values, values).sqrt()
}

fn scaled(values: &[f64], factor: f64) -> Vec<f64> {
    values.iter().map(|value| value * factor).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the result is f32 like the inputs")]
fn sum(a: &[f64], weight_a: f64, b: &[f64], weight_b: f64) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| (weight_a * a + weight_b * b) as f32).collect()
}
