//! Ctrl-C and SIGTERM: a file that is being written is finished first, and nothing half-written stays.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Held while a file is being written.
static WRITING: Mutex<()> = Mutex::new(());

/// A folder in the making, which no signal must leave behind.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// While it lives, a signal removes a folder that is in the making.
pub(crate) struct Unfinished;

impl Unfinished {
    /// Begins with the folder at `path`. There is one at a time.
    pub(crate) fn folder(path: &Path) -> Self {
        *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_path_buf());
        Self
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Removes the folder while another thread may still write into it.
fn remove_unfinished() {
    const TRIES: usize = 8;
    let path = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(path) = path {
        let _ = (0..TRIES).find(|_| std::fs::remove_dir_all(&path).is_ok());
    }
}

/// Delays the end that a signal brings while the guard lives.
pub(super) fn whole_file() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on a first signal ends the program between two files, a second one at once.
///
/// # Errors
/// The system gives no handler or no thread.
pub(crate) fn end_between_files() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listen = move || {
        for (count, signal) in signals.forever().enumerate() {
            // The file's disk may hang, so that the second signal must not wait too.
            let patient = (count == 0).then(|| std::thread::Builder::new().spawn(move || end(signal)));
            if !matches!(patient, Some(Ok(_))) {
                die(signal);
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
}

fn end(signal: i32) {
    let _writing = whole_file();
    remove_unfinished();
    die(signal);
}

/// Ends as if nobody had listened, so that a shell sees a program that was interrupted.
fn die(signal: i32) {
    if emulate_default_handler(signal).is_err() {
        std::process::exit(128 + signal);
    }
}
