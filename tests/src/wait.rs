//! Bounded waiting: the only place where a test lets time pass.

use std::time::{Duration, Instant};

/// The longest a test waits for anything. Far above what is needed, for machines that are busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

const TICK: Duration = Duration::from_millis(10);

/// Asks `check` until it answers.
///
/// # Panics
/// After [`PATIENCE`], saying that it waited for `what`.
pub async fn wait_for<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = check().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(TICK).await;
    }
}
