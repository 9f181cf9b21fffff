//! Ctrl-C and SIGTERM.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::SigSet;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Keeps Ctrl-C and SIGTERM waiting until [`Signals::install`], if this process has the id 1: starting a program anew and loading
/// its libraries takes a second, in which such a process would lose them.
pub(crate) fn hold() {
    if std::process::id() == 1 {
        // When it is refused, they are lost as they were before.
        let _ = both().thread_block();
    }
}

fn both() -> SigSet {
    [nix::sys::signal::SIGINT, nix::sys::signal::SIGTERM].into_iter().collect()
}

/// The handlers of Ctrl-C and SIGTERM.
///
/// Without a handler, a process with the id 1 (the first of a container) would ignore SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Whether the next signal ends the process in its handler, whatever its threads do.
    at_once: Arc<AtomicBool>,
}

impl Signals {
    /// Sets the handlers. Until [`Signals::graceful`] a signal ends the process at once: there is nothing to drain.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(crate) fn install() -> io::Result<Self> {
        let at_once = Arc::new(AtomicBool::new(true));
        for number in [SIGINT, SIGTERM] {
            // In this order: what a first signal sets, only the second one finds. 128 + n is the shells' code for a signal.
            flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&at_once))?;
            flag::register(number, Arc::clone(&at_once))?;
        }
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        both().thread_unblock()?;
        Ok(Self { interrupt, terminate, at_once })
    }

    /// From now on the first signal asks for a drain, and the second ends the process at once.
    pub(crate) fn graceful(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// Waits for the first signal.
    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
