//! A thread that is waited for when its owner goes.

use std::thread::JoinHandle;

use tokio::runtime::Handle;

/// A thread that computes, and that ends by itself once its owner is dropped.
///
/// Dropping this waits for it; inside a tokio runtime the wait goes to the runtime's blocking threads. A process must not
/// end under such a thread: at exit the native libraries tear down what the thread still works on, and it crashes.
#[derive(Debug)]
pub struct OwnedThread(Option<Joining>);

impl OwnedThread {
    /// Starts it.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let thread = std::thread::Builder::new().name(name.replace('\0', "")).spawn(run)?;
        Ok(Self(Some(Joining(Some(thread)))))
    }
}

impl Drop for OwnedThread {
    fn drop(&mut self) {
        let joining = self.0.take();
        // A runtime that is shutting down drops the closure instead of running it; that waits as well.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(joining)));
        }
    }
}

#[derive(Debug)]
struct Joining(Option<JoinHandle<()>>);

impl Drop for Joining {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // The thread's panic has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A thread that ends some while after `Sender` is dropped, and whether it has.
    fn thread() -> (Sender<()>, OwnedThread, Arc<AtomicBool>) {
        let (owner, orders): (Sender<()>, Receiver<()>) = channel();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let run = move || {
            while orders.recv().is_ok() {}
            (0..1000).for_each(|_| std::thread::yield_now());
            end.store(true, Ordering::SeqCst);
        };
        (owner, OwnedThread::spawn("test", run).unwrap(), ended)
    }

    #[test]
    fn without_a_runtime_the_drop_waits() {
        let (owner, thread, ended) = thread();
        drop((owner, thread));
        assert!(ended.load(Ordering::SeqCst));
    }

    #[test]
    fn a_runtime_does_not_end_before_the_thread() {
        let (owner, thread, ended) = thread();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        // The task is never done: the runtime drops it, and the thread's owner with it, while it shuts down.
        runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop((owner, thread));
        });
        drop(runtime);
        assert!(ended.load(Ordering::SeqCst));
    }
}
