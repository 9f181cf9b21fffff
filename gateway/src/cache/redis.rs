//! The level that gateways share. It may fail, hang or be slow: then it is skipped.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Client, Cmd, FromRedisValue, RedisError};
use unclip_service::{Code, Error};

use super::breaker::{Breaker, Permit};
use super::connection::Connection;
use super::metric_names;

/// Larger values are not stored: they would hold up the small ones on the same connection.
const MAX_VALUE_BYTES: usize = 4 << 20;

/// Replies that concern one command, while Redis itself is well: a key of another type, no memory for a write, a replica,
/// a disk or replicas that are missing.
const REFUSALS: [&str; 5] = ["WRONGTYPE", "OOM", "READONLY", "MISCONF", "NOREPLICAS"];

/// Where Redis is and how much patience it gets.
#[derive(Clone)]
pub struct RedisConfig {
    /// As `redis://[USER:PASSWORD@]HOST:PORT/DB`.
    pub url: String,
    /// How long a call may take, connecting included, before it counts as failed.
    pub timeout: Duration,
    /// What all keys begin with.
    pub prefix: String,
    /// How long Redis is skipped after a failure.
    pub cooldown: Duration,
}

impl RedisConfig {
    /// The defaults: 100 ms a call, 5 s of rest after a failure, keys that begin with `unclip:`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            timeout: Duration::from_millis(100),
            prefix: "unclip:".to_owned(),
            cooldown: Duration::from_secs(5),
        }
    }
}

/// The URL may hold a password, so it is left out.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("timeout", &self.timeout)
            .field("prefix", &self.prefix)
            .field("cooldown", &self.cooldown)
            .finish_non_exhaustive()
    }
}

/// A Redis behind a breaker.
pub(super) struct Redis {
    connection: Connection,
    timeout: Duration,
    prefix: String,
    breaker: Mutex<Breaker>,
    /// Whether the last write was refused, so that a full Redis is one line in the log.
    refuses_writes: AtomicBool,
}

/// Why there is no reply.
enum Failure {
    /// The breaker is open.
    Skipped,
    /// No connection, no answer in time, or a server that can't work.
    Down,
    /// It works, but not for this command.
    Refused(RedisError),
}

impl Redis {
    /// Connects at the first call.
    ///
    /// # Errors
    /// A URL that does not parse.
    pub(super) fn new(config: &RedisConfig) -> Result<Self, Error> {
        let client = Client::open(config.url.as_str()).map_err(|error| bad_url(&error))?;
        metrics::gauge!(metric_names::REDIS_OPEN).set(0.0);
        Ok(Self {
            connection: Connection::new(client),
            timeout: config.timeout,
            prefix: config.prefix.clone(),
            breaker: Mutex::new(Breaker::new(config.cooldown, config.timeout.max(config.cooldown))),
            refuses_writes: AtomicBool::new(false),
        })
    }

    /// The value, if Redis has it and says so in time.
    pub(super) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.call(&Cmd::get(self.full(key))).await {
            Ok(value) => value,
            Err(Failure::Skipped | Failure::Down) => None,
            Err(Failure::Refused(error)) => {
                tracing::warn!(key, %error, "Redis can't read a cached value");
                None
            }
        }
    }

    /// Stores a value, if it is not too large and Redis is there.
    pub(super) async fn set(&self, key: &str, value: Vec<u8>, ttl: Duration) {
        if value.len() > MAX_VALUE_BYTES {
            tracing::debug!(key, bytes = value.len(), limit = MAX_VALUE_BYTES, "too large for Redis");
            return;
        }
        let command = Cmd::set_ex(self.full(key), value, ttl.as_secs());
        match self.call::<()>(&command).await {
            Ok(()) => self.note_write(None),
            Err(Failure::Refused(error)) => self.note_write(Some(error)),
            Err(Failure::Skipped | Failure::Down) => {}
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let permit = self.breaker().admit(Instant::now()).ok_or(Failure::Skipped)?;
        match tokio::time::timeout(self.timeout, self.connection.query(command)).await {
            Ok(Ok(reply)) => {
                self.succeeded(permit);
                Ok(reply)
            }
            Ok(Err(error)) if is_refusal(&error) => {
                metrics::counter!(metric_names::REDIS_ERRORS).increment(1);
                self.succeeded(permit);
                Err(Failure::Refused(error))
            }
            Ok(Err(error)) => Err(self.failed(permit, &error)),
            Err(_) => Err(self.failed(permit, &format_args!("no reply within {:?}", self.timeout))),
        }
    }

    fn succeeded(&self, permit: Permit) {
        if self.breaker().succeeded(permit) {
            metrics::gauge!(metric_names::REDIS_OPEN).set(0.0);
            tracing::info!("Redis is back; the shared cache is in use again");
        }
    }

    fn failed(&self, permit: Permit, error: &dyn fmt::Display) -> Failure {
        metrics::counter!(metric_names::REDIS_ERRORS).increment(1);
        self.connection.drop_link();
        if self.breaker().failed(permit, Instant::now()) {
            metrics::gauge!(metric_names::REDIS_OPEN).set(1.0);
            tracing::warn!(%error, "Redis failed; the shared cache is skipped until it answers");
        } else {
            tracing::debug!(%error, "Redis failed");
        }
        Failure::Down
    }

    /// Logs when refusals of writes begin and end.
    fn note_write(&self, refusal: Option<RedisError>) {
        let refused_before = self.refuses_writes.swap(refusal.is_some(), Ordering::Relaxed);
        match refusal {
            Some(error) if !refused_before => {
                tracing::warn!(%error, "Redis takes no values; only reading goes on");
            }
            None if refused_before => tracing::info!("Redis takes values again"),
            _ => {}
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

fn is_refusal(error: &RedisError) -> bool {
    error.code().is_some_and(|code| REFUSALS.contains(&code))
}

/// The text must not repeat the URL, which may hold a password.
fn bad_url(error: &RedisError) -> Error {
    let message = format!("the Redis URL is no good ({error}); give redis://HOST:PORT/DB");
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_refused_without_being_repeated() {
        for url in [
            "",
            "localhost:6379",
            "http://user:hunter2@host",
            "rediss://:hunter2@host",
            "redis://:hunter2@host:x",
        ] {
            let error = Redis::new(&RedisConfig::new(url)).unwrap_err();
            assert_eq!(error.code, Code::InvalidArgument, "{url}");
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
    }

    #[test]
    fn the_password_is_not_in_the_debug_output() {
        let config = RedisConfig::new("redis://:hunter2@host");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
