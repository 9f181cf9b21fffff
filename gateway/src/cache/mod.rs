//! The gateway's cache of what is a function of its inputs: first in this process, then in a Redis that gateways share.
//!
//! - A miss is computed once in this process, however many requests wait for it. A request that goes away takes nothing
//!   from the others; when the last one goes, the computation is dropped, down to the stage it runs at.
//! - Errors are not cached; every request that waited gets the error. So a computation must not end with the deadline of
//!   the request that happened to come first: give it none, and put the deadline around [`Cache::get_or_compute`].
//! - Redis can fail, hang or hold garbage: that costs the hit and at most one timeout, never the request.

mod envelope;
mod flight;
mod key;
mod memory;
mod metric_names;
mod redis;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use prost::Message;
use tracing::Instrument;
use unclip_service::{Code, Error};

use self::flight::{Flights, Landed};
use self::memory::Memory;
use self::redis::Redis;

pub use self::key::{CacheKey, CacheKeyBuilder};
pub(crate) use self::redis::redis_url;
pub use self::redis::{RedisConfig, RedisTls};

/// Redis counts in seconds, and moka takes no time without end.
const MIN_TTL: Duration = Duration::from_secs(1);
const MAX_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What is kept where, and for how long.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// The most that the level in this process holds, in bytes. 0 turns it off.
    pub memory_bytes: u64,
    /// How long an entry lives, from 1 second to 10 years.
    pub ttl: Duration,
    /// The level that gateways share, if any.
    pub redis: Option<RedisConfig>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The level in this process.
    Memory,
    /// The level that gateways share.
    Redis,
    /// Another request was computing it, and this one waited.
    Joined,
    /// This request computed it.
    Computed,
}

impl Source {
    fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Joined => "joined",
            Self::Computed => "computed",
        }
    }
}

/// The two-level cache. A clone is the same cache.
#[derive(Clone, Debug)]
pub struct Cache {
    levels: Arc<Levels>,
    flights: Arc<Flights<Slot, Result<Found, Error>>>,
}

/// What names an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Slot {
    kind: &'static str,
    key: CacheKey,
}

/// An encoded message and where it was.
type Found = (Bytes, Source);

/// A look into the levels that ends in a computation.
type Load = BoxFuture<'static, Result<Found, Error>>;

#[derive(Debug)]
struct Levels {
    memory: Memory,
    redis: Option<Redis>,
    ttl: Duration,
}

impl Cache {
    /// An empty cache. Redis is connected to when it is first needed, so it may be down.
    ///
    /// # Errors
    /// A URL that does not parse, or a time to live out of bounds.
    pub fn new(config: CacheConfig) -> Result<Self, Error> {
        if !(MIN_TTL..=MAX_TTL).contains(&config.ttl) {
            return Err(bad_ttl(config.ttl));
        }
        metric_names::describe();
        let levels = Levels {
            memory: Memory::new(config.memory_bytes, config.ttl),
            redis: config.redis.as_ref().map(Redis::new).transpose()?,
            ttl: config.ttl,
        };
        Ok(Self { levels: Arc::new(levels), flights: Arc::new(Flights::new()) })
    }

    /// The message for `key`, from the cache or else from `compute`. `kind` names the type of the message in keys and
    /// metrics: one kind, one type.
    ///
    /// `compute` says under which key its message belongs: another one than `key` where another model answered than was
    /// expected. Nothing is then kept under `key`.
    ///
    /// # Errors
    /// Those of `compute`.
    pub fn get_or_compute<M, F>(
        &self,
        kind: &'static str,
        key: CacheKey,
        compute: F,
    ) -> impl Future<Output = Result<(M, Source), Error>> + Send
    where
        M: Message + Default + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(M, CacheKey), Error>> + Send + 'static,
    {
        let slot = Slot { kind, key };
        // On the heap at once: a call of a stage is tens of kilobytes, and the caller's future would hold them.
        let load = Arc::clone(&self.levels).load(slot, compute).boxed();
        async move {
            let (result, source) = self.find(slot, load).await;
            metrics::counter!(metric_names::REQUESTS, "kind" => kind, "source" => source.label())
                .increment(1);
            let message = M::decode(result?).map_err(|error| wrong_type(kind, &error))?;
            Ok((message, source))
        }
    }

    async fn find(&self, slot: Slot, load: Load) -> (Result<Bytes, Error>, Source) {
        if let Some(bytes) = self.levels.memory.get(&slot).await {
            return (Ok(bytes), Source::Memory);
        }
        let Landed { value, own } = self.flights.run(slot, load).await;
        let source = match &value {
            _ if !own => Source::Joined,
            Some(Ok((_, source))) => *source,
            Some(Err(_)) | None => Source::Computed,
        };
        let found = value.unwrap_or_else(|| Err(ended_early(slot.kind)));
        (found.map(|(bytes, _)| bytes), source)
    }
}

impl Levels {
    /// Looks in the levels in turn, computes at last, and stores what it has in those above.
    async fn load<M, F>(self: Arc<Self>, slot: Slot, compute: F) -> Result<Found, Error>
    where
        M: Message + Default,
        F: Future<Output = Result<(M, CacheKey), Error>>,
    {
        // Between the caller's look and this one another computation may have ended.
        if let Some(bytes) = self.memory.get(&slot).await {
            return Ok((bytes, Source::Memory));
        }
        if let Some(bytes) = self.read_shared::<M>(slot).await {
            self.memory.insert(slot, bytes.clone()).await;
            return Ok((bytes, Source::Redis));
        }
        let (message, key) = compute.await?;
        let (bytes, slot) = (Bytes::from(message.encode_to_vec()), Slot { key, ..slot });
        self.memory.insert(slot, bytes.clone()).await;
        self.write_shared(slot, bytes.clone());
        Ok((bytes, Source::Computed))
    }

    /// Garbage counts as a miss; the value that is computed then takes its place.
    async fn read_shared<M: Message + Default>(&self, slot: Slot) -> Option<Bytes> {
        let sealed = self.redis.as_ref()?.get(&slot.name()).await?;
        let checked = envelope::open(&Bytes::from(sealed))
            .map_err(|error| error.to_string())
            .and_then(|bytes| M::decode(bytes.clone()).map(|_| bytes).map_err(|error| error.to_string()));
        checked
            .inspect_err(|error| tracing::warn!(key = slot.name(), error, "a value in Redis can't be used"))
            .ok()
    }

    /// Stores in the background: the answer does not wait for it.
    fn write_shared(self: Arc<Self>, slot: Slot, bytes: Bytes) {
        let write = async move {
            if let Some(redis) = &self.redis {
                redis.set(&slot.name(), envelope::seal(&bytes), self.ttl).await;
            }
        };
        tokio::spawn(write.in_current_span());
    }
}

impl Slot {
    /// The key in Redis, after the prefix.
    fn name(&self) -> String {
        format!("{}:{}", self.kind, self.key)
    }
}

fn bad_ttl(ttl: Duration) -> Error {
    let message = format!("the cache's time to live is {ttl:?}; give 1 second to 10 years");
    Error::new(Code::InvalidArgument, message)
}

fn ended_early(kind: &str) -> Error {
    Error::internal("the request failed; try again", format!("the computation of a `{kind}` panicked"))
}

fn wrong_type(kind: &str, error: &prost::DecodeError) -> Error {
    Error::internal("the request failed", format!("cache: `{kind}` names two types of messages: {error}"))
}
