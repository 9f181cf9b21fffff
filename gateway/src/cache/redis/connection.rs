//! The one link to Redis, made when it is first needed and again after a loss.
//!
//! The client's own `ConnectionManager` does not do here: it holds on to a server that answers READONLY or nothing at all,
//! and it knows no Sentinels.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use redis::{Cmd, FromRedisValue, RedisError};

use super::reply::{describe, is_read_only};
use super::servers::{Link, Servers};

type Linking = Shared<BoxFuture<'static, Result<Link, RedisError>>>;

/// Why there is no reply to read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// There is no link.
    #[error("{}", describe(.0))]
    Link(RedisError),
    /// The link was lost, or Redis replied with an error.
    #[error("{}", describe(.0))]
    Reply(RedisError),
}

pub(super) struct Connection {
    servers: Servers,
    /// The least time between two new links for READONLY: a URL may name a replica for good.
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<Linking>,
    /// When READONLY last led to a new link.
    moved: Option<Instant>,
}

impl Connection {
    /// Nothing is connected yet.
    pub(super) fn new(servers: Servers, pause: Duration) -> Self {
        Self { servers, pause, state: Mutex::default() }
    }

    /// Sends a command and reads the reply. The caller bounds the time.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        let link = self.link();
        let was_up = is_up(&link);
        match send(link.clone(), command).await {
            // No failure, if a new link works.
            Err(Fault::Reply(error)) if was_up && self.leads_elsewhere(&error) => {
                self.forget(|current| current.ptr_eq(&link));
                send(self.link(), command).await
            }
            result => result,
        }
    }

    /// Forgets the link, so that the next call makes a new one: after a call without a reply the server's host may be gone
    /// without a word. Connecting that is under way goes on.
    pub(super) fn drop_link(&self) {
        self.forget(|current| current.peek().is_some());
    }

    /// Whether a new link may be better. Servers close connections that are idle for long. After a failover the old master
    /// keeps its connections and answers READONLY to every write for ever, while the name leads to the new one.
    fn leads_elsewhere(&self, error: &RedisError) -> bool {
        error.is_unrecoverable_error() || is_read_only(error) && self.servers.can_move() && self.may_move()
    }

    fn may_move(&self) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        let may = state.moved.is_none_or(|moved| now.saturating_duration_since(moved) >= self.pause);
        if may {
            state.moved = Some(now);
        }
        may
    }

    fn forget(&self, which: impl FnOnce(&Linking) -> bool) {
        let mut state = self.lock();
        if state.link.as_ref().is_some_and(which) {
            state.link = None;
        }
    }

    /// The link, or one that is being made.
    fn link(&self) -> Linking {
        let mut state = self.lock();
        let usable = state.link.take().filter(|link| !has_failed(link));
        state.link.insert(usable.unwrap_or_else(|| connect(self.servers.clone()))).clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send<T: FromRedisValue>(link: Linking, command: &Cmd) -> Result<T, Fault> {
    link.await.map_err(Fault::Link)?.send(command).await.map_err(Fault::Reply)
}

fn connect(servers: Servers) -> Linking {
    tokio::spawn(servers.connect())
        .map(|joined| joined.unwrap_or_else(|error| Err(io::Error::other(error).into())))
        .boxed()
        .shared()
}

fn is_up(link: &Linking) -> bool {
    matches!(link.peek(), Some(Ok(_)))
}

fn has_failed(link: &Linking) -> bool {
    matches!(link.peek(), Some(Err(_)))
}
