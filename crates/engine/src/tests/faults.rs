//! A model that fails, and a thread that lives on.

use super::rig::{Act, LEN, Rig, config, guided, job};
use crate::*;

/// After a fault the engine still serves.
async fn still_serves(mut rig: Rig) {
    let [handle] = rig.submit([job(9.0, 1)]).await;
    assert_eq!(rig.conditions().await, [9.0]);
    rig.end(Act::Answer);
    handle.finish().await.unwrap();
    rig.engine.drain().await;
    assert_eq!(rig.engine.load(), Load::default());
}

#[tokio::test]
async fn a_panic_fails_the_batch() {
    let mut rig = Rig::new(2, 8, 8).await;
    let [first, second, third] = rig.submit([job(1.0, 1), job(2.0, 1), job(3.0, 1)]).await;
    assert_eq!(rig.conditions().await, [1.0, 2.0]);
    rig.end(Act::Panic);
    for handle in [first, second] {
        let error = handle.finish().await.unwrap_err();
        assert_eq!(error.to_string(), "the model panicked: the fake's forward");
    }
    assert_eq!(rig.conditions().await, [3.0]);
    rig.end(Act::Answer);
    third.finish().await.unwrap();
    still_serves(rig).await;
}

#[tokio::test]
async fn an_error_fails_the_batch() {
    let mut rig = Rig::new(8, 8, 8).await;
    let handles = rig.submit([job(1.0, 1), job(2.0, 1)]).await;
    rig.forward().await;
    rig.end(Act::Fail);
    for handle in handles {
        assert_eq!(handle.finish().await.unwrap_err().to_string(), "the model failed: out of memory");
    }
    still_serves(rig).await;
}

#[tokio::test]
async fn a_missing_output_fails_the_batch() {
    let mut rig = Rig::new(8, 8, 8).await;
    let handles = rig.submit([job(1.0, 1), guided(2.0, 1)]).await;
    rig.forward().await;
    rig.end(Act::Missing);
    for handle in handles {
        let error = handle.finish().await.unwrap_err();
        assert!(matches!(error, JobError::OutputCount { actual: 2, expected: 3 }), "{error}");
    }
    still_serves(rig).await;
}

#[tokio::test]
async fn a_nan_fails_its_row_alone() {
    for lane in [1, 2] {
        let mut rig = Rig::new(8, 8, 8).await;
        let [before, hit, after] = rig.submit([job(1.0, 1), guided(2.0, 1), job(3.0, 1)]).await;
        rig.forward().await;
        rig.end(Act::Nan(lane));
        before.finish().await.unwrap();
        after.finish().await.unwrap();
        let error = hit.finish().await.unwrap_err().to_string();
        assert_eq!(error, "1 values of the model output aren't finite at step 0, timestep 999");
        still_serves(rig).await;
    }
}

#[tokio::test]
async fn a_short_output_fails_its_row_alone() {
    let mut rig = Rig::new(8, 8, 8).await;
    let [hit, other] = rig.submit([guided(1.0, 1), job(2.0, 1)]).await;
    rig.forward().await;
    rig.end(Act::Short(1));
    other.finish().await.unwrap();
    let (actual, expected) = (2 * LEN - 1, 2 * LEN);
    let error = hit.finish().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the model's output has {actual} values; the sampler needs {expected}")
    );
    still_serves(rig).await;
}

#[tokio::test]
async fn guidance_that_overflows_fails() {
    let mut rig = Rig::new(8, 8, 8).await;
    let [handle] = rig.submit([Job { guidance_scale: f32::MAX, ..job(2.0, 3) }]).await;
    rig.forward().await;
    rig.end(Act::Answer);
    let error = handle.finish().await.unwrap_err();
    assert!(
        matches!(error, JobError::NonFinite { what: "model output", count: LEN, step: 0, .. }),
        "{error}"
    );
    still_serves(rig).await;
}

#[tokio::test]
async fn a_condition_that_is_refused_fails_alone() {
    let mut rig = Rig::new(8, 8, 8).await;
    let [refused, panics, fine] = rig.submit([job(-1.0, 1), job(1000.0, 1), job(1.0, 1)]).await;
    let error = refused.finish().await.unwrap_err();
    assert!(matches!(&error, JobError::Denoise(DenoiseError::Condition(_))), "{error}");
    assert_eq!(error.to_string(), "`condition` is -1; it must be at least 0");
    assert!(matches!(panics.finish().await, Err(JobError::Panicked(_))));
    assert_eq!(rig.conditions().await, [1.0]);
    rig.end(Act::Answer);
    fine.finish().await.unwrap();
    still_serves(rig).await;
}

#[tokio::test]
async fn a_stream_of_refused_conditions_holds_nobody_up() {
    let mut rig = Rig::new(8, 2, 8).await;
    let [_row] = rig.submit([job(1.0, 2)]).await;
    assert_eq!(rig.conditions().await, [1.0]);
    let refused: Vec<_> = (0..4).map(|_| rig.engine.submit(job(-1.0, 1)).unwrap()).collect();
    rig.end(Act::Answer);
    assert_eq!(rig.conditions().await, [1.0]);
    assert_eq!(rig.engine.load().queued, 3, "one place was free");
    rig.end(Act::Answer);
    for handle in refused {
        assert!(handle.finish().await.is_err());
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_built_is_an_error() {
    async fn start(build: fn() -> Result<super::rig::Fake, DenoiseError>) -> String {
        Engine::start(config(1, 1, 1), build).await.err().unwrap().to_string()
    }
    let missing = start(|| Err(DenoiseError::model("no weights"))).await;
    assert_eq!(missing, "can't build the model: the model failed: no weights");
    assert_eq!(start(|| panic!("bad weights")).await, "building the model panicked: bad weights");
}

#[tokio::test]
async fn limits_of_zero_are_refused() {
    let build = || Err::<super::rig::Fake, _>(DenoiseError::model("isn't reached"));
    let error = Engine::start(config(1, 0, 1), build).await.err().unwrap();
    assert_eq!(error.to_string(), "engine config: `max_rows` is 0; it must be at least 1");
}
