//! How a program ends.

use std::process::ExitCode;

use crate::redacted;

/// Prints an error for a person, causes included and without a backtrace or passwords, and makes it the exit code.
#[expect(clippy::print_stderr, reason = "the last words of a program")]
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", redacted(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
