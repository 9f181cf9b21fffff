//! How a program ends.

use std::io::Write as _;
use std::process::ExitCode;

use crate::redacted;

/// Prints an error for a person, causes included and without a backtrace or passwords, and makes it the exit code.
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A reader that is gone is no reason to panic.
            let _ = writeln!(std::io::stderr(), "error: {}", redacted(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
