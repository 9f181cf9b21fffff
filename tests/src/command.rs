//! The `unclip` command, run to its end.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::process::clean_command;

/// What a command did.
#[derive(Debug)]
pub struct Run {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it wrote to standard error.
    pub errors: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    /// Holds when the command succeeded without a word on standard error.
    pub fn assert_done(&self) {
        assert!(self.code == Some(0) && self.errors.is_empty(), "{self:?}");
    }

    /// Holds when the command failed and its error has all these texts.
    pub fn assert_failed(&self, texts: &[&str]) {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        for text in texts {
            assert!(self.errors.contains(text), "{}\nshould contain\n{text}", self.errors);
        }
        assert!(!self.errors.contains("panicked"), "{}", self.errors);
    }
}

/// Runs a program in `folder`.
pub fn run_in(folder: &Path, program: &str, arguments: &[&str]) -> Run {
    let mut command: Command = clean_command(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().unwrap().into()
}
