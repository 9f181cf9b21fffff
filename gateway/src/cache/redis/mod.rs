//! The level that gateways share. It may fail, hang or be slow: then it is skipped.

mod address;
mod breaker;
mod connection;
mod reply;
mod servers;
mod tls;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue, SetExpiry, SetOptions};
use unclip_service::{Error, resolve_secret};

use self::address::Address;
use self::breaker::{Breaker, Permit};
use self::connection::{Connection, Fault};
use self::reply::is_refusal;
use self::servers::Servers;
use super::metric_names;

pub use self::tls::RedisTls;

/// Larger values are not stored: they would hold up the small ones on the same connection.
const MAX_VALUE_BYTES: usize = 4 << 20;

/// Where Redis is and how much patience it gets.
#[derive(Clone)]
pub struct RedisConfig {
    /// As `redis://[USER:PASSWORD@]HOST:PORT/DB`, `rediss` for TLS; `redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DB`;
    /// `redis-cluster://HOST:PORT,HOST:PORT`; `redis+unix:///PATH`. User and password are percent-encoded.
    pub url: String,
    /// The certificates for TLS.
    pub tls: RedisTls,
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
            tls: RedisTls::default(),
            timeout: Duration::from_millis(100),
            prefix: "unclip:".to_owned(),
            cooldown: Duration::from_secs(5),
        }
    }
}

/// Reads a flag's value: refuses a URL that leads to no Redis.
pub(crate) fn redis_url(text: &str) -> Result<String, String> {
    let url = resolve_secret(text);
    Address::parse(&url).map(|_| url.clone()).map_err(|error| error.message)
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
    reads: Refusals,
    writes: Refusals,
}

/// Whether Redis refused the last command of a kind, so that a full Redis, say, is one line in the log.
struct Refusals {
    what: &'static str,
    ongoing: AtomicBool,
}

/// Why there is no reply.
enum Failure {
    /// The breaker is open.
    Skipped,
    /// No connection, no answer in time, or a server that can't work.
    Down,
    /// It works, but not for this command.
    Refused(Fault),
}

impl Redis {
    /// Connects at the first call.
    ///
    /// # Errors
    /// A URL that does not parse, or certificates that can't be used.
    pub(super) fn new(config: &RedisConfig) -> Result<Self, Error> {
        let servers = Servers::new(config)?;
        metrics::gauge!(metric_names::REDIS_OPEN).set(0.0);
        metrics::counter!(metric_names::REDIS_ERRORS).increment(0);
        Ok(Self {
            connection: Connection::new(servers, config.cooldown),
            timeout: config.timeout,
            prefix: config.prefix.clone(),
            breaker: Mutex::new(Breaker::new(config.cooldown, config.timeout.max(config.cooldown))),
            reads: Refusals::new("reads"),
            writes: Refusals::new("writes"),
        })
    }

    /// The value, if Redis has it and says so in time.
    pub(super) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.noted(&self.reads, &Cmd::get(self.full(key))).await.flatten()
    }

    /// Stores a value, if it is not too large and Redis is there.
    pub(super) async fn set(&self, key: &str, value: Vec<u8>, ttl: Duration) {
        if value.len() > MAX_VALUE_BYTES {
            tracing::debug!(key, bytes = value.len(), limit = MAX_VALUE_BYTES, "too large for Redis");
            return;
        }
        let expiry = SetOptions::default().with_expiration(SetExpiry::EX(ttl.as_secs()));
        let _: Option<()> = self.noted(&self.writes, &Cmd::set_options(self.full(key), value, expiry)).await;
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// A command's reply. What stands in its way is logged.
    async fn noted<T: FromRedisValue>(&self, refusals: &Refusals, command: &Cmd) -> Option<T> {
        match self.call(command).await {
            Ok(reply) => {
                refusals.note(None);
                Some(reply)
            }
            Err(Failure::Refused(fault)) => {
                refusals.note(Some(&fault));
                None
            }
            Err(Failure::Skipped | Failure::Down) => None,
        }
    }

    async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let permit = self.breaker().admit(Instant::now()).ok_or(Failure::Skipped)?;
        match tokio::time::timeout(self.timeout, self.connection.query(command)).await {
            Ok(Ok(reply)) => {
                self.succeeded(permit);
                Ok(reply)
            }
            Ok(Err(Fault::Reply(error))) if is_refusal(&error) => {
                metrics::counter!(metric_names::REDIS_ERRORS).increment(1);
                self.succeeded(permit);
                Err(Failure::Refused(Fault::Reply(error)))
            }
            Ok(Err(fault)) => Err(self.failed(permit, &fault)),
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

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

impl Refusals {
    fn new(what: &'static str) -> Self {
        Self { what, ongoing: AtomicBool::new(false) }
    }

    /// Logs when refusals begin and end.
    fn note(&self, fault: Option<&Fault>) {
        let ongoing = self.ongoing.swap(fault.is_some(), Ordering::Relaxed);
        match fault {
            Some(error) if !ongoing => {
                tracing::warn!(%error, "Redis refuses {}; the rest goes on", self.what);
            }
            None if ongoing => tracing::info!("Redis takes {} again", self.what),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_in_the_debug_output() {
        let config = RedisConfig::new("redis://:hunter2@host");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
