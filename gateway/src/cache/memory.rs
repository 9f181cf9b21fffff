//! The level in this process: encoded messages, bounded by their size and age.

use std::time::Duration;

use bytes::Bytes;
use moka::future::Cache;

use super::Slot;

/// What an entry costs beside its value: the key, twice, and moka's nodes. A generous guess.
const ENTRY_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct Memory(Option<Cache<Slot, Bytes>>);

impl Memory {
    /// Holds at most `max_bytes`, each entry for at most `ttl`. Without room it holds nothing.
    pub(super) fn new(max_bytes: u64, ttl: Duration) -> Self {
        let cache = (max_bytes > 0).then(|| {
            Cache::builder()
                .max_capacity(max_bytes)
                .weigher(|_, value: &Bytes| weight(value))
                .time_to_live(ttl)
                .build()
        });
        Self(cache)
    }

    pub(super) async fn get(&self, slot: &Slot) -> Option<Bytes> {
        self.0.as_ref()?.get(slot).await
    }

    pub(super) async fn insert(&self, slot: Slot, value: Bytes) {
        if let Some(cache) = &self.0 {
            cache.insert(slot, value).await;
        }
    }
}

fn weight(value: &Bytes) -> u32 {
    u32::try_from(value.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheKey;

    const TTL: Duration = Duration::from_secs(3600);

    fn slot(number: u32) -> Slot {
        Slot { kind: "test", key: CacheKey::builder().field("number", number.to_le_bytes()).finish() }
    }

    /// The bytes held after `count` entries of 1000 bytes came in.
    async fn held_after(memory: &Memory, count: u32) -> u64 {
        for number in 0..count {
            memory.insert(slot(number), Bytes::from(vec![0; 1000])).await;
        }
        let cache = memory.0.as_ref().unwrap();
        cache.run_pending_tasks().await;
        cache.weighted_size()
    }

    #[tokio::test]
    async fn the_size_stays_within_its_bound() {
        let memory = Memory::new(100_000, TTL);
        let held = held_after(&memory, 1000).await;
        assert!((50_000..=100_000).contains(&held), "{held}");
    }

    #[tokio::test]
    async fn a_value_larger_than_the_bound_is_not_held() {
        let memory = Memory::new(1000, TTL);
        assert_eq!(held_after(&memory, 1).await, 0);
        assert_eq!(memory.get(&slot(0)).await, None);
    }

    #[tokio::test]
    async fn kinds_are_apart() {
        let memory = Memory::new(100_000, TTL);
        let other = Slot { kind: "other", ..slot(0) };
        memory.insert(slot(0), Bytes::from_static(b"value")).await;
        assert_eq!(memory.get(&slot(0)).await, Some(Bytes::from_static(b"value")));
        assert_eq!(memory.get(&other).await, None);
    }

    #[tokio::test]
    async fn without_room_nothing_is_held() {
        let memory = Memory::new(0, TTL);
        memory.insert(slot(0), Bytes::from_static(b"value")).await;
        assert_eq!(memory.get(&slot(0)).await, None);
    }
}
