//! A body's parameters by name, whether it was JSON or a form. Each is taken once; what is left over is an error, so that no
//! typing mistake is lost.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::names::shortened;
use crate::http::near::near;

/// The parameters that were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Fields {
    values: Map<String, Value>,
    files: BTreeMap<String, Vec<Bytes>>,
    /// A form has text alone: its numbers are read, and empty text is as good as absent.
    form: bool,
    /// Every parameter that was asked for so far, for hints.
    known: Vec<String>,
}

impl Fields {
    /// Those of a JSON object. `null` is as good as absent.
    pub(super) fn of_json(values: Map<String, Value>) -> Self {
        Self { values: values.into_iter().filter(|(_, value)| !value.is_null()).collect(), ..Self::default() }
    }

    /// Those of a form, empty at first.
    pub(super) fn form() -> Self {
        Self { form: true, ..Self::default() }
    }

    /// Adds a form's text.
    pub(super) fn add_text(&mut self, name: String, text: String) -> Result<(), ApiError> {
        match self.values.insert(name.clone(), Value::String(text)) {
            Some(_) => Err(ApiError::value(&name, "given twice; send it once")),
            None => Ok(()),
        }
    }

    /// Adds a form's file. `name[]` is another of `name`.
    pub(super) fn add_file(&mut self, name: &str, file: Bytes) {
        let name = name.strip_suffix("[]").unwrap_or(name);
        self.files.entry(name.to_owned()).or_default().push(file);
    }

    /// The files of this name.
    pub(super) fn files(&mut self, name: &str) -> Result<Vec<Bytes>, ApiError> {
        if self.take(name).is_some() {
            return Err(ApiError::value(
                name,
                "must be a file of the form, as curl's -F name=@picture.png sends it",
            ));
        }
        Ok(self.files.remove(name).unwrap_or_default())
    }

    /// The one file of this name.
    pub(super) fn file(&mut self, name: &str) -> Result<Option<Bytes>, ApiError> {
        let mut files = self.files(name)?;
        match files.len() {
            0 | 1 => Ok(files.pop()),
            count => Err(ApiError::several(name, count)),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        if !self.known.iter().any(|known| known == name) {
            self.known.push(name.to_owned());
        }
        self.values.remove(name)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(ApiError::value(name, format!("{} where a text must be", kind(&other)))),
        }
    }

    /// A text that says nothing when it is empty.
    pub(super) fn word(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// A text that is one of a few.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(word) = self.word(name)? else { return Ok(None) };
        let found = choices.iter().find(|(choice, _)| *choice == word);
        found.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let known: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            ApiError::value(name, format!("`{}` is none of {}", shortened(&word), known.join(", ")))
        })
    }

    /// A seed. None: any; where `or_any`, -1 says so too, as other servers have it.
    pub(super) fn seed(&mut self, name: &str, or_any: bool) -> Result<Option<u64>, ApiError> {
        let seed = |value: &Value| match value.as_i64() {
            Some(-1) if or_any => Some(None),
            _ => value.as_u64().map(Some),
        };
        Ok(self.parsed(name, seed, "a whole number, 0 or more")?.flatten())
    }

    /// A small whole number.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u32>, ApiError> {
        let small = |value: &Value| value.as_u64().and_then(|value| u32::try_from(value).ok());
        self.parsed(name, small, "a whole number from 0 to 4294967295")
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<f32>, ApiError> {
        self.parsed(name, finite, "a number")
    }

    /// A list of numbers.
    pub(super) fn numbers(&mut self, name: &str) -> Result<Option<Vec<f32>>, ApiError> {
        let list = |value: &Value| value.as_array()?.iter().map(finite).collect();
        self.parsed(name, list, "a list of numbers")
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        Ok(self.parsed(name, Value::as_bool, "true or false")?.unwrap_or(false))
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Value) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let value = match value {
            Value::String(text) if self.form && text.is_empty() => return Ok(None),
            Value::String(text) if self.form => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            value => value,
        };
        let shown = || shortened(&value.to_string());
        read(&value).map(Some).ok_or_else(|| ApiError::value(name, format!("{} is not {expected}", shown())))
    }

    /// A value of any kind.
    pub(super) fn any(&mut self, name: &str) -> Option<Value> {
        self.take(name)
    }

    /// Drops a parameter that may be anything, unread.
    pub(super) fn ignore(&mut self, name: &str) {
        self.take(name);
    }

    /// Refuses a parameter of the official API that can't be honoured, also as `name[member]`.
    pub(super) fn refuse(&mut self, name: &str, problem: &str) -> Result<(), ApiError> {
        let is_it = |found: &String| found.split('[').next() == Some(name);
        let empty = |value: &Value| self.form && value.as_str() == Some("");
        let given = self.values.iter().any(|(found, value)| is_it(found) && !empty(value))
            || self.files.keys().any(is_it);
        self.values.retain(|found, _| !is_it(found));
        match given {
            true => Err(ApiError::unsupported(name, problem)),
            false => Ok(()),
        }
    }

    /// Holds when nothing is left over.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.values.keys().chain(self.files.keys()).next() {
            Some(name) => Err(ApiError::unknown(&shortened(name), near(name, &self.known).as_deref())),
            None => Ok(()),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is no finite f32 is filtered out")]
fn finite(value: &Value) -> Option<f32> {
    value.as_f64().map(|value| value as f32).filter(|value| value.is_finite())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
