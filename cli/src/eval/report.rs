//! `report.json` and `report.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use unclip_training::eval::Interval;

use crate::output::write;

/// One number.
#[derive(Debug, Serialize)]
struct Row {
    measure: String,
    /// Nothing where it could not be measured.
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<[f64; 2]>,
    samples: usize,
}

/// Numbers that belong together, and how they came about.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    title: String,
    note: String,
    rows: Vec<Row>,
    sheets: Vec<String>,
}

impl Section {
    pub(super) fn new(title: &str, note: impl Into<String>) -> Self {
        Self { title: title.to_owned(), note: note.into(), rows: Vec::new(), sheets: Vec::new() }
    }

    /// A number without an interval.
    pub(super) fn number(&mut self, measure: impl Into<String>, value: f64, samples: usize) {
        let value = Some(value).filter(|value| value.is_finite());
        self.rows.push(Row { measure: measure.into(), value, interval: None, samples });
    }

    /// A number with its interval.
    pub(super) fn interval(&mut self, measure: impl Into<String>, interval: Interval, samples: usize) {
        let Interval { value, low, high } = interval;
        self.number(measure, value, samples);
        if let Some(row) = self.rows.last_mut().filter(|_| low.is_finite() && high.is_finite()) {
            row.interval = Some([low, high]);
        }
    }

    /// A sheet of pictures.
    pub(super) fn sheet(&mut self, file: String) {
        self.sheets.push(file);
    }

    fn markdown(&self) -> String {
        let mut text = format!("\n## {}\n\n{}\n", self.title, self.note);
        if !self.rows.is_empty() {
            text += "\n| measure | value | 95 % interval | samples |\n|---|---:|---:|---:|\n";
        }
        for Row { measure, value, interval, samples } in &self.rows {
            let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
            let interval = interval.map(|[low, high]| format!("{low:.3} to {high:.3}")).unwrap_or_default();
            let _ = writeln!(text, "| {measure} | {value} | {interval} | {samples} |");
        }
        for sheet in &self.sheets {
            let _ = write!(text, "\n![{sheet}]({sheet})\n");
        }
        text
    }
}

/// The whole of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip)]
    folder: PathBuf,
    facts: Vec<(String, String)>,
    sections: Vec<Section>,
}

impl Report {
    /// A report in `folder` whose head is `facts`.
    pub(super) fn new(folder: &Path, facts: Vec<(String, String)>) -> Self {
        Self { folder: folder.to_path_buf(), facts, sections: Vec::new() }
    }

    /// Adds a section and writes both files, so that what is measured stays if something later fails.
    pub(super) fn add(&mut self, section: Section) -> anyhow::Result<()> {
        self.sections.push(section);
        let json = format!("{}\n", serde_json::to_string_pretty(self)?);
        write(&self.folder.join("report.json"), json.as_bytes())?;
        write(&self.folder.join("report.md"), self.markdown().as_bytes())
    }

    fn markdown(&self) -> String {
        let mut text = "# Evaluation\n\nIntervals are percentile bootstraps with 2,000 resamples; differences and ratios are paired.\n\n| | |\n|---|---|\n".to_owned();
        for (name, value) in &self.facts {
            let _ = writeln!(text, "| {name} | `{value}` |");
        }
        text + &self.sections.iter().map(Section::markdown).collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_intervals_and_gaps_a_dash() {
        let mut section = Section::new("Colours", "By pixels.");
        section.interval("right", Interval { value: 0.5, low: 0.25, high: 0.75 }, 8);
        section.number("seams", f64::NAN, 2);
        let facts = vec![("store".to_owned(), "abc".to_owned())];
        let report = Report { folder: PathBuf::new(), facts, sections: vec![section] };
        let text = report.markdown();
        for line in ["| store | `abc` |", "| right | 0.500 | 0.250 to 0.750 | 8 |", "| seams | - |  | 2 |"] {
            assert!(text.contains(line), "{text}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["sections"][0]["rows"][0]["interval"][1], 0.75);
        assert!(json["sections"][0]["rows"][1]["value"].is_null());
    }
}
