//! The upsampler stage: a small picture to a large one, one denoising step at a time.

use tch::{Kind, Tensor};
use unclip_bundle::config::{UNet2DConfig, upsampler_sides};
use unclip_bundle::{Bundle, Component};

use super::{expect_rows, load, row, timestep_rows, to};
use crate::error::expect_shape;
use crate::networks::UNet2DModel;
use crate::rows::to_i64;
use crate::{ModelError, Placement, Report};

/// The two U-Nets of a bundle's upsampler: one for all steps but the last, one for the last.
pub struct UpsamplerModel {
    first: UNet2DModel,
    last: UNet2DModel,
    config: UNet2DConfig,
    sides: [usize; 2],
    placement: Placement,
}

/// The small picture of one row, enlarged.
pub struct UpsamplerContext {
    picture: Tensor,
}

impl UpsamplerModel {
    /// Loads `super_res_first/` and `super_res_last/`.
    ///
    /// # Errors
    /// Files that are missing, damaged, don't fit their config, or don't fit each other.
    pub fn load(bundle: &Bundle, placement: Placement) -> Result<Self, ModelError> {
        let (config, first) = load(bundle, Component::SuperResFirst, placement, UNet2DModel::new)?;
        let (last_config, last) = load(bundle, Component::SuperResLast, placement, UNet2DModel::new)?;
        if let Some(error) = crate::check::upsamplers_fit(&config, &last_config).into_iter().next() {
            return Err(error.into());
        }
        Ok(Self { first, last, config, sides: upsampler_sides(bundle)?, placement })
    }

    /// Checks `super_res_first/` and `super_res_last/`, reading every weight once.
    pub fn check(bundle: &Bundle) -> Report {
        let mut report = super::check(bundle, Component::SuperResFirst, UNet2DModel::new);
        report.extend(super::check(bundle, Component::SuperResLast, UNet2DModel::new));
        report
    }

    /// `[channels, height, width]` of the large picture.
    pub fn sample_shape(&self) -> [usize; 3] {
        let [height, width] = self.sides;
        [self.config.trunk.in_channels / 2, height, width]
    }

    /// Where it computes and in which dtype.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Enlarges a small picture `[channels, height, width]`, values in -1 to 1, to the size of the large one.
    ///
    /// # Errors
    /// [`ModelError::Input`] where the length does not fit the shape, or a side is zero.
    pub fn context(
        &self,
        low_res: &[f32],
        height: usize,
        width: usize,
    ) -> Result<UpsamplerContext, ModelError> {
        if height == 0 || width == 0 {
            let found = format!("shape [{height}, {width}]");
            return Err(ModelError::input("low_res", found, "sides of 1 or more"));
        }
        let [channels, large_height, large_width] = self.sample_shape();
        let full = Placement { device: self.placement.device, kind: Kind::Float };
        let small = row("low_res", low_res, &[channels, height, width], full)?;
        let picture = enlarge(&small, [to_i64(large_height), to_i64(large_width)])?;
        Ok(UpsamplerContext { picture: to(&picture, self.placement)? })
    }

    /// Predicts the noise `[batch, channels, height, width]` in large pictures `x` of the same shape, f32, with a timestep
    /// and a context per row; `last` is for the last step of a schedule. The result is f32 on the network's device.
    ///
    /// # Errors
    /// [`ModelError::Input`] where a shape or a count does not fit.
    pub fn forward(
        &self,
        x: &Tensor,
        timesteps: &[u32],
        contexts: &[&UpsamplerContext],
        last: bool,
    ) -> Result<Tensor, ModelError> {
        let [channels, height, width] = self.sample_shape().map(to_i64);
        expect_shape("x", &x.size(), &[-1, channels, height, width])?;
        expect_rows(x, timesteps.len(), contexts.len())?;
        let network = if last { &self.last } else { &self.first };
        tch::no_grad(|| {
            let pictures: Vec<_> = contexts.iter().map(|context| &context.picture).collect();
            let pictures = Tensor::f_cat(&pictures, 0)?;
            let x = Tensor::f_cat(&[to(x, self.placement)?, pictures], 1)?;
            let out = network.forward(&x, &timestep_rows(timesteps, self.placement)?);
            Ok(out.f_to_kind(Kind::Float)?.f_contiguous()?)
        })
    }
}

/// Antialiased bicubic resampling of `[batch, channels, height, width]` in f32, as `F.interpolate(mode="bicubic",
/// align_corners=False, antialias=True)`. Enlarging, the flag changes the kernel: a = -0.5, and taps beyond the edge are
/// dropped where the plain kernel (a = -0.75) repeats the edge.
fn enlarge(small: &Tensor, size: [i64; 2]) -> Result<Tensor, ModelError> {
    Ok(small.f_internal_upsample_bicubic2d_aa(size, false, None, None)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn a_flat_picture_stays_flat() {
        let small = Tensor::full([1, 3, 5, 4], 0.25, (Kind::Float, Device::Cpu));
        let large = enlarge(&small, [20, 13]).unwrap();
        assert_eq!(large.size(), [1, 3, 20, 13]);
        let difference = f64::try_from((large - 0.25).abs().max()).unwrap();
        assert!(difference < 1e-6, "{difference}");
    }
}
