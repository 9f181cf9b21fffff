//! `scheduler_config.json` of each stage: diffusers' `UnCLIPScheduler`, with the values of Karlo's conversion.

use serde_json::{Value, json};

/// The training timesteps of every stage, Karlo's.
pub const TIMESTEPS: u32 = 1000;

fn scheduler(variance: &str, prediction: &str, range: f64) -> Value {
    json!({
        "_class_name": "UnCLIPScheduler",
        "_diffusers_version": super::export::DIFFUSERS_VERSION,
        "clip_sample": true,
        "clip_sample_range": range,
        "num_train_timesteps": TIMESTEPS,
        "prediction_type": prediction,
        "variance_type": variance,
    })
}

/// The prior predicts x_0 (arXiv 2204.06125, section 2.2), which is clamped.
pub fn prior_scheduler() -> Value {
    scheduler("fixed_small_log", "sample", 5.0)
}

/// The decoder predicts noise or x_0, and its own variance (arXiv 2102.09672, equation 15).
pub fn decoder_scheduler(prediction: &str) -> Value {
    scheduler("learned_range", prediction, 1.0)
}

/// The upsampler predicts noise or x_0.
pub fn super_res_scheduler(prediction: &str) -> Value {
    scheduler("fixed_small_log", prediction, 1.0)
}
