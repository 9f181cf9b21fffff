//! The `unclip` command, run to its end.

use std::io::Write as _;
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
    run_with(folder, program, &[], arguments)
}

/// As [`run_in`] with these variables in the environment.
pub fn run_with(folder: &Path, program: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    command_in(folder, program, arguments).envs(variables.iter().copied()).output().unwrap().into()
}

/// A command as [`run_in`] runs it.
pub fn command_in(folder: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command: Command = clean_command(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

/// What a command makes of `input`: its exit code, what it wrote to standard output, and to standard error.
pub fn pipe(mut command: Command, input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that refuses its arguments reads nothing.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}
