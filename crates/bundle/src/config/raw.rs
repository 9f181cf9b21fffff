//! A config file as it stands, and its keys read one by one.
//!
//! diffusers and transformers hand the keys of a file to a constructor. So an absent key has the constructor's default,
//! and a null is a value of its own: it counts where the constructor takes `None`, and is refused elsewhere.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::read_json;
use crate::BundleError;

/// The most of a bad value that an error shows, in characters.
const SHOWN: usize = 120;

/// The object in a config file. Every reader names file, key, value and what would do in its error, which is always
/// [`BundleError::Unsupported`].
#[derive(Clone, Debug)]
pub struct RawConfig {
    path: PathBuf,
    map: Map<String, Value>,
}

impl RawConfig {
    pub(super) fn read(path: &Path) -> Result<Self, BundleError> {
        Ok(Self { path: path.to_path_buf(), map: read_json(path)? })
    }

    /// The object under `key`, where there is one, or else the file's own: a tower's config may lie in that of a whole CLIP.
    pub(super) fn section(&self, key: &str) -> Self {
        let map = self.map.get(key).and_then(Value::as_object).unwrap_or(&self.map);
        Self { path: self.path.clone(), map: map.clone() }
    }

    /// The value, unless the key is absent.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// A whole number in `range`.
    ///
    /// # Errors
    /// Another value.
    pub fn size(
        &self,
        key: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, BundleError> {
        self.get(key).map_or(Ok(default), |value| self.whole(key, value, &range))
    }

    /// A whole number in `range` that the reference has no default for.
    ///
    /// # Errors
    /// Another value, or none.
    pub fn required_size(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize, BundleError> {
        self.whole(key, self.get(key).unwrap_or(&Value::Null), &range)
    }

    /// A whole number in `range`, or null.
    ///
    /// # Errors
    /// Another value.
    pub fn size_or_null(
        &self,
        key: &str,
        default: Option<usize>,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, BundleError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(value) => self.whole(key, value, &range).map(Some),
        }
    }

    /// A list of 1 to `most` whole numbers in `range`.
    ///
    /// # Errors
    /// Another value.
    pub fn sizes(
        &self,
        key: &str,
        default: &[usize],
        most: usize,
        range: RangeInclusive<usize>,
    ) -> Result<Vec<usize>, BundleError> {
        match self.get(key) {
            None => Ok(default.to_vec()),
            Some(Value::Array(values)) if (1..=most).contains(&values.len()) => {
                values.iter().map(|value| self.whole(key, value, &range)).collect()
            }
            _ => Err(self.refused(key, format!("a list of 1 to {most} whole numbers"))),
        }
    }

    /// A number that `accepts` takes; `supported` says in words which those are.
    ///
    /// # Errors
    /// Another value.
    pub fn number(
        &self,
        key: &str,
        default: f64,
        supported: &str,
        accepts: impl Fn(f64) -> bool,
    ) -> Result<f64, BundleError> {
        let value = self.get(key).map_or(Some(default), Value::as_f64);
        value.filter(|number| accepts(*number)).ok_or_else(|| self.refused(key, supported))
    }

    /// True or false; null is false, as Python has it.
    ///
    /// # Errors
    /// Another value.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, BundleError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.refused(key, "true, false")),
        }
    }

    /// One of the words that are the names of `T`s.
    ///
    /// # Errors
    /// Another value.
    pub fn word<T: Copy>(&self, key: &str, default: T, words: &[(&str, T)]) -> Result<T, BundleError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => self.named(key, value, words),
        }
    }

    /// A list of such words.
    ///
    /// # Errors
    /// Another value, or none.
    pub fn words<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Vec<T>, BundleError> {
        match self.get(key) {
            Some(Value::Array(values)) => values.iter().map(|value| self.named(key, value, words)).collect(),
            _ => Err(self.refused(key, format!("a list of {}", names(words)))),
        }
    }

    /// Whatever serde reads as a `T`; `supported` says in words what that is.
    ///
    /// # Errors
    /// Another value.
    pub fn parsed<T: DeserializeOwned>(
        &self,
        key: &str,
        default: T,
        supported: &str,
    ) -> Result<T, BundleError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => T::deserialize(value).map_err(|_| self.refused(key, supported)),
        }
    }

    /// Refuses the file when `key` has another value than one of `supported`; absent, it has the value `default`.
    ///
    /// # Errors
    /// Another value.
    pub fn only(&self, key: &str, default: &Value, supported: &[Value]) -> Result<(), BundleError> {
        let value = self.get(key).unwrap_or(default);
        if supported.iter().any(|known| same(known, value)) {
            return Ok(());
        }
        let supported: Vec<_> = supported.iter().map(Value::to_string).collect();
        let found = match self.get(key) {
            Some(value) => shown(value),
            None => format!("absent, which means {default}"),
        };
        Err(self.unsupported(key, found, supported.join(", ")))
    }

    /// Refuses the file when `key` is anything but null or false, or a list of those; absent means the same.
    ///
    /// # Errors
    /// Another value.
    pub fn off(&self, key: &str) -> Result<(), BundleError> {
        let is_off = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        match self.get(key) {
            None => Ok(()),
            Some(Value::Array(values)) if values.iter().all(is_off) => Ok(()),
            Some(value) if is_off(value) => Ok(()),
            Some(_) => Err(self.refused(key, "false, null")),
        }
    }

    /// The error for the value of a key as it stands in the file.
    pub fn refused(&self, key: &str, supported: impl ToString) -> BundleError {
        self.unsupported(key, self.get(key).map_or("absent".to_owned(), shown), supported)
    }

    /// The error for a key with an unsupported value.
    pub fn unsupported(&self, key: &str, found: impl ToString, supported: impl ToString) -> BundleError {
        BundleError::Unsupported {
            path: self.path.clone(),
            key: key.to_owned(),
            found: found.to_string(),
            supported: supported.to_string(),
        }
    }

    fn whole(&self, key: &str, value: &Value, range: &RangeInclusive<usize>) -> Result<usize, BundleError> {
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            self.refused(key, format!("a whole number from {} to {}", range.start(), range.end()))
        })
    }

    fn named<T: Copy>(&self, key: &str, value: &Value, words: &[(&str, T)]) -> Result<T, BundleError> {
        let known = words.iter().find(|(word, _)| value.as_str() == Some(word));
        known.map(|(_, meaning)| *meaning).ok_or_else(|| self.refused(key, names(words)))
    }
}

/// 1 and 1.0 are one number to Python.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

fn names<T>(words: &[(&str, T)]) -> String {
    let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    names.join(", ")
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}
