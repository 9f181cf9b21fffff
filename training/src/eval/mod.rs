//! Measures of generated pictures, `[n, 3, side, side]` in -1 to 1 unless said otherwise. `unclip eval` puts them together.

mod bootstrap;
mod colours;
mod detail;
mod frechet;
mod nearest;
mod retrieval;
mod set;

pub use crate::pictures::{bicubic, resize};
pub use bootstrap::{Interval, bootstrap};
pub use colours::{ColourCounts, ColourTask, colour_tasks};
pub use detail::{psnr, seam_ratio, sharpness};
pub use frechet::frechet_distance;
pub use nearest::{Neighbour, centred, cosines, nearest_by_cosine, nearest_by_pixels, paired_cosines};
pub use retrieval::{ranks, within};
pub use set::PictureSet;
