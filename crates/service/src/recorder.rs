//! What counts in a process, in Prometheus' text format.

use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::metric_names::{self, BUCKETS};

/// How often samples of histograms are moved into their buckets when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of this process.
#[derive(Clone)]
pub(crate) struct Recorder {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Recorder {
    /// Makes it the process's recorder. Call it once, inside a tokio runtime, before anything counts.
    ///
    /// # Errors
    /// There is one already.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let with_buckets = |builder: PrometheusBuilder, (suffix, buckets): (&str, &[f64])| {
            builder.set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), buckets)
        };
        let builder = BUCKETS.into_iter().try_fold(PrometheusBuilder::new(), with_buckets);
        let handle = builder.and_then(PrometheusBuilder::install_recorder).context("metrics can't start")?;
        let recorder = Self { handle, process: metrics_process::Collector::default() };
        metric_names::describe();
        recorder.process.describe();
        tell_build();
        tokio::spawn(upkeep(recorder.handle.clone()));
        Ok(recorder)
    }

    /// One scrape.
    pub(crate) fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }
}

/// What is running.
fn tell_build() {
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", env!("UNCLIP_REVISION")),
        ("profile", env!("UNCLIP_PROFILE")),
    ];
    metrics::gauge!(metric_names::BUILD_INFO, &labels).set(1.0);
}

async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}
