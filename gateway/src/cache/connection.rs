//! The one connection to Redis, made when it is first needed and again after a loss.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError};

/// How long connecting may take. It goes on in the background when a call's own time is over, so that a network where
/// connecting is slow has a cache too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

type Link = Shared<BoxFuture<'static, Result<MultiplexedConnection, RedisError>>>;

pub(super) struct Connection {
    client: Client,
    link: Mutex<Option<Link>>,
}

impl Connection {
    /// Nothing is connected yet.
    pub(super) fn new(client: Client) -> Self {
        let link = Mutex::new(None);
        Self { client, link }
    }

    /// Sends a command and reads the reply. The caller bounds the time.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let link = self.link();
        let was_up = is_up(&link);
        match send(link.clone(), command).await {
            // The server closes connections that are idle for long: no failure, if a new one works.
            Err(error) if was_up && error.is_unrecoverable_error() => {
                self.forget(|current| current.ptr_eq(&link));
                send(self.link(), command).await
            }
            result => result,
        }
    }

    /// Forgets the connection, so that the next call makes a new one: after a call without a reply the server's host may
    /// be gone without a word. Connecting that is under way goes on.
    pub(super) fn drop_link(&self) {
        self.forget(|current| current.peek().is_some());
    }

    fn forget(&self, which: impl FnOnce(&Link) -> bool) {
        let mut link = self.lock();
        if link.as_ref().is_some_and(which) {
            *link = None;
        }
    }

    /// The connection, or one that is being made.
    fn link(&self) -> Link {
        let mut link = self.lock();
        let usable = link.take().filter(|link| !has_failed(link));
        link.insert(usable.unwrap_or_else(|| connect(self.client.clone()))).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send<T: FromRedisValue>(link: Link, command: &Cmd) -> Result<T, RedisError> {
    let mut connection = link.await?;
    command.query_async(&mut connection).await
}

fn connect(client: Client) -> Link {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        // Every call has its own bound.
        .set_response_timeout(None);
    let connecting = async move { client.get_multiplexed_async_connection_with_config(&config).await };
    tokio::spawn(connecting)
        .map(|joined| joined.unwrap_or_else(|error| Err(io::Error::other(error).into())))
        .boxed()
        .shared()
}

fn is_up(link: &Link) -> bool {
    matches!(link.peek(), Some(Ok(_)))
}

fn has_failed(link: &Link) -> bool {
    matches!(link.peek(), Some(Err(_)))
}
