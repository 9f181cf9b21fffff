//! Connections: accepted, limited, watched, and drained.

mod activity;
mod serve;
mod socket;
mod table;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use activity::{Activity, OpenRequest, Waiting};
pub(crate) use serve::App;

use crate::limits::Limits;
use table::Table;

/// How long nothing is accepted after a failure, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long the last words to clients may take whose requests did not finish in time.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often a failure that goes on is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A port that is being served.
pub(crate) struct Acceptor {
    draining: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Acceptor {
    /// Serves what connects, in tasks. `draining` stops it.
    pub(crate) fn start(
        listener: TcpListener,
        app: App,
        limits: Arc<Limits>,
        draining: CancellationToken,
    ) -> Self {
        let acceptor = Self { draining, cut: CancellationToken::new(), tasks: TaskTracker::new() };
        let door = Door {
            app,
            table: Table::new(limits.connections),
            limits,
            draining: acceptor.draining.clone(),
            cut: acceptor.cut.clone(),
            tasks: acceptor.tasks.clone(),
        };
        acceptor.tasks.spawn(door.accept(listener));
        acceptor
    }

    /// Accepts no more, and waits for what is under way: at most `patience`, then `farewell` ends what it can, and the rest is
    /// cut off. False when something was left.
    pub(crate) async fn drain(self, patience: Duration, farewell: impl FnOnce()) -> bool {
        self.draining.cancel();
        self.tasks.close();
        let finished = tokio::time::timeout(patience, self.tasks.wait()).await.is_ok();
        if !finished {
            farewell();
            // Whether it is heard or not.
            let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
        }
        self.cut.cancel();
        self.tasks.wait().await;
        finished
    }
}

struct Door {
    app: App,
    table: Arc<Table>,
    limits: Arc<Limits>,
    draining: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Door {
    async fn accept(self, listener: TcpListener) {
        let mut failures = Failures::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.draining.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    failures.pause = None;
                    tokio::select! {
                        () = self.draining.cancelled() => return,
                        () = self.admit(stream) => {}
                    }
                }
                // The client gave up before it was its turn.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Mostly there is no descriptor left.
                    let made_room = self.table.make_room();
                    failures.back_off(&error, made_room).await;
                }
            }
        }
    }

    async fn admit(&self, stream: tokio::net::TcpStream) {
        let Some(place) = self.table.place(self.limits.header).await else {
            tracing::warn!(
                max_connections = self.limits.connections,
                "a connection was refused: all others are at work"
            );
            return;
        };
        let (app, limits) = (self.app.clone(), Arc::clone(&self.limits));
        let served = serve::serve(stream, place, app, limits, self.draining.clone());
        let cut = self.cut.clone().cancelled_owned();
        self.tasks.spawn(async move {
            tokio::select! {
                () = served => {}
                () = cut => {}
            }
        });
    }
}

/// Failures to accept, one after another.
#[derive(Default)]
struct Failures {
    pause: Option<Duration>,
    told: Option<Instant>,
}

impl Failures {
    /// Waits, longer each time, and says why now and then.
    async fn back_off(&mut self, error: &io::Error, made_room: bool) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(%error, made_room, "connections can't be accepted; trying again");
        }
        let pause = self.pause.map_or(BACK_OFF.0, |pause| (pause * 2).min(BACK_OFF.1));
        self.pause = Some(pause);
        tokio::time::sleep(pause).await;
    }
}
