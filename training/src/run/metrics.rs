//! A line of JSON every few steps.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::TrainError;

/// A line of the metrics file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps taken.
    pub step: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Everything else, by name: losses, learning rate, gradient norm, rate, figures of an evaluation.
    #[serde(flatten)]
    pub values: Map<String, Value>,
}

impl Record {
    /// Adds a figure.
    pub fn push(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), Value::from(value));
    }

    /// A figure by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name)?.as_f64()
    }
}

/// The metrics file of a run.
pub struct Metrics {
    path: PathBuf,
    records: Vec<Record>,
}

impl Metrics {
    /// Opens the file of a run that has come to `step`; what it says about later steps is removed.
    ///
    /// # Errors
    /// A file that can't be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self, TrainError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(TrainError::io(path)(error)),
        };
        // A line that was cut off when a run was killed is none.
        let records = text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
        let metrics = Self {
            path: path.to_path_buf(),
            records: records.filter(|record| record.step <= step).collect(),
        };
        let kept: String = metrics.records.iter().map(line).collect();
        unclip_bundle::write_atomically(path, kept.as_bytes())?;
        Ok(metrics)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn push(&mut self, record: Record) -> Result<(), TrainError> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(TrainError::io(&self.path))?;
        file.write_all(line(&record).as_bytes()).map_err(TrainError::io(&self.path))?;
        self.records.push(record);
        Ok(())
    }

    /// A figure over the steps, where it was noted.
    pub fn series(&self, name: &str) -> Vec<(u64, f64)> {
        let point = |record: &Record| Some((record.step, record.get(name)?));
        self.records.iter().filter_map(point).collect()
    }
}

fn line(record: &Record) -> String {
    format!("{}\n", serde_json::to_string(record).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resuming_forgets_what_came_after_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut metrics = Metrics::open(&path, 0).unwrap();
        for step in [10, 20, 30] {
            let mut record = Record { step, ..Record::default() };
            record.push("loss", 0.5);
            metrics.push(record).unwrap();
        }
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"step\": 4").unwrap();
        let metrics = Metrics::open(&path, 20).unwrap();
        assert_eq!(metrics.series("loss"), [(10, 0.5), (20, 0.5)]);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
