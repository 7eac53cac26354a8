//! A cache with bounds on number, bytes and time, in which equal questions at once are one.
//!
//! Whoever uses it puts the login's [`Fingerprint`](crate::Fingerprint) into the key: what one login opened is never
//! the answer for another.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

/// The bounds of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most values.
    pub number: usize,
    /// The most bytes of all values together.
    pub bytes: usize,
}

/// What is kept of a loaded value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// For how long; nothing is kept for no time.
    pub time: Duration,
    /// What it counts in bytes, besides what it shares with others.
    pub bytes: usize,
    /// What it shares with others.
    pub shared: Option<Shared>,
}

/// A part of a value that other values have, too, and that is in memory once. It counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// Which one it is: its address, for example, which nothing else has as long as the value is kept.
    pub id: usize,
    /// What it counts in bytes.
    pub bytes: usize,
}

impl Keep {
    /// For this time, with so many bytes of its own and nothing that it shares.
    #[must_use]
    pub const fn alone(time: Duration, bytes: usize) -> Self {
        Self { time, bytes, shared: None }
    }
}

/// A cache.
#[derive(Debug)]
pub struct Cache<K, V> {
    bounds: Bounds,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    kept: Kept<K, V>,
    /// What is being loaded.
    flights: HashMap<K, Arc<OnceCell<V>>>,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// An empty one.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::new(State { kept: Kept::default(), flights: HashMap::new() }) }
    }

    /// The value of a key, if it is kept.
    pub fn kept(&self, key: &K) -> Option<V> {
        self.state().kept.get(key, Instant::now())
    }

    /// The value of a key, kept or loaded. Of several callers at once one loads and the others wait for it; if it is
    /// cancelled, another one loads. A value may be an error: `keep` says for how long, and whether at all.
    pub async fn get(&self, key: K, load: impl AsyncFnOnce() -> V, keep: impl FnOnce(&V) -> Keep) -> V {
        let flight = {
            let mut state = self.state();
            if let Some(value) = state.kept.get(&key, Instant::now()) {
                return value;
            }
            state.flights.entry(key.clone()).or_default().clone()
        };
        let guard = Flight { cache: self, key, cell: flight };
        let mut is_mine = false;
        let value = guard
            .cell
            .get_or_init(async || {
                is_mine = true;
                load().await
            })
            .await
            .clone();
        if is_mine {
            let kept = keep(&value);
            self.state().kept.insert(guard.key.clone(), value.clone(), kept, self.bounds, Instant::now());
        }
        value
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        // No code that can panic runs while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the callers that wait for a value. When the last one has it or has given up, the flight is over.
struct Flight<'a, K: Hash + Eq, V> {
    cache: &'a Cache<K, V>,
    key: K,
    cell: Arc<OnceCell<V>>,
}

impl<K: Hash + Eq, V> Drop for Flight<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.cache.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this = state.flights.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // The value is there for all who wait; who comes later finds it among those that are kept, or loads it again.
        if is_this && (self.cell.initialized() || Arc::strong_count(&self.cell) == 2) {
            state.flights.remove(&self.key);
        }
    }
}

/// What is kept: the oldest goes first.
#[derive(Debug)]
struct Kept<K, V> {
    values: HashMap<K, Entry<V>>,
    /// The keys by age, with the number of the entry that they were for.
    ages: VecDeque<(K, u64)>,
    /// What entries share, with how many entries have it and what it counts.
    shared: HashMap<usize, (usize, usize)>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    until: Instant,
    bytes: usize,
    /// Which part it shares.
    shared: Option<usize>,
    number: u64,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), ages: VecDeque::new(), shared: HashMap::new(), bytes: 0, next: 0 }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Kept<K, V> {
    fn get(&mut self, key: &K, now: Instant) -> Option<V> {
        let entry = self.values.get(key)?;
        if now < entry.until {
            return Some(entry.value.clone());
        }
        self.remove(key);
        None
    }

    fn insert(&mut self, key: K, value: V, keep: Keep, bounds: Bounds, now: Instant) {
        self.remove(&key);
        let whole = keep.bytes.saturating_add(keep.shared.map_or(0, |shared| shared.bytes));
        if keep.time.is_zero() || whole > bounds.bytes || bounds.number == 0 {
            return;
        }
        while self.values.len() >= bounds.number || self.bytes + self.added(&keep) > bounds.bytes {
            let Some((oldest, number)) = self.ages.pop_front() else { break };
            // A key that has gone or was loaded again since is not the oldest any more.
            if self.values.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.remove(&oldest);
            }
        }
        let number = self.next;
        self.next += 1;
        self.bytes += self.added(&keep);
        if let Some(Shared { id, bytes }) = keep.shared {
            self.shared.entry(id).or_insert((0, bytes)).0 += 1;
        }
        self.ages.push_back((key.clone(), number));
        let shared = keep.shared.map(|shared| shared.id);
        self.values.insert(key, Entry { value, until: now + keep.time, bytes: keep.bytes, shared, number });
        // Keys of entries that have gone do not pile up.
        if self.ages.len() > 2 * self.values.len() + 16 {
            let values = &self.values;
            self.ages.retain(|(key, number)| values.get(key).is_some_and(|entry| entry.number == *number));
        }
    }

    /// By how many bytes this would make it larger.
    fn added(&self, keep: &Keep) -> usize {
        let shared = keep.shared.filter(|shared| !self.shared.contains_key(&shared.id));
        keep.bytes + shared.map_or(0, |shared| shared.bytes)
    }

    fn remove(&mut self, key: &K) {
        let Some(entry) = self.values.remove(key) else { return };
        self.bytes -= entry.bytes;
        let Some(id) = entry.shared else { return };
        if let Some((count, bytes)) = self.shared.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.bytes -= *bytes;
                self.shared.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const BOUNDS: Bounds = Bounds { number: 3, bytes: 100 };

    fn keep(seconds: u64, bytes: usize) -> Keep {
        Keep::alone(Duration::from_secs(seconds), bytes)
    }

    #[test]
    fn number_bytes_and_time_are_bounded() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        for key in 0..5 {
            kept.insert(key, key, keep(60, 10), BOUNDS, now);
        }
        assert_eq!((0..5).filter_map(|key| kept.get(&key, now)).collect::<Vec<_>>(), [2, 3, 4]);
        kept.insert(5, 5, keep(60, 90), BOUNDS, now);
        assert_eq!((0..6).filter_map(|key| kept.get(&key, now)).collect::<Vec<_>>(), [4, 5]);
        kept.insert(6, 6, keep(60, 101), BOUNDS, now);
        assert_eq!(kept.get(&6, now), None);
        assert_eq!(kept.get(&5, now + Duration::from_mins(1)), None);
        assert_eq!(kept.bytes, 10);
    }

    #[test]
    fn what_values_share_counts_once_and_as_long_as_one_of_them_is_kept() {
        let bounds = Bounds { number: 100, bytes: 100 };
        let (mut kept, now) = (Kept::default(), Instant::now());
        let sharing = |id| Keep { shared: Some(Shared { id, bytes: 60 }), ..keep(60, 10) };
        for key in 0..4 {
            kept.insert(key, key, sharing(1), bounds, now);
        }
        assert_eq!((kept.values.len(), kept.bytes), (4, 100));
        // One more: the oldest goes, the part stays.
        kept.insert(4, 4, sharing(1), bounds, now);
        assert_eq!((kept.values.len(), kept.bytes, kept.get(&0, now)), (4, 100, None));
        // Both parts do not fit, so that all that have the first one go.
        kept.insert(5, 5, sharing(2), bounds, now);
        assert_eq!((kept.values.len(), kept.bytes, kept.get(&5, now)), (1, 70, Some(5)));
        // Loaded again with another part.
        kept.insert(5, 5, sharing(3), bounds, now);
        assert_eq!((kept.bytes, kept.shared.len()), (70, 1));
        kept.insert(6, 6, Keep { shared: Some(Shared { id: 4, bytes: 91 }), ..keep(60, 10) }, bounds, now);
        assert_eq!((kept.get(&6, now), kept.get(&5, now)), (None, Some(5)), "it is larger than the cache");
        assert_eq!(kept.get(&5, now + Duration::from_mins(1)), None);
        assert_eq!((kept.bytes, kept.shared.len()), (0, 0));
    }

    #[test]
    fn a_key_that_is_loaded_again_and_again_takes_no_more_memory() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        for _ in 0..10_000 {
            kept.insert(1, 1, keep(60, 1), BOUNDS, now);
        }
        assert!(kept.ages.len() < 20 && kept.bytes == 1);
    }

    #[tokio::test]
    async fn equal_questions_at_once_are_one() {
        let (cache, loads) = (Cache::new(BOUNDS), AtomicUsize::new(0));
        let ask = || {
            cache.get(
                "key",
                async || {
                    tokio::task::yield_now().await;
                    loads.fetch_add(1, Ordering::Relaxed)
                },
                |_| keep(0, 1),
            )
        };
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        assert_eq!([one, two, three], [0, 0, 0]);
        // Nothing was kept.
        assert_eq!(ask().await, 1);
        assert!(cache.state().flights.is_empty());
    }

    #[tokio::test]
    async fn a_cancelled_load_is_taken_over() {
        let cache = Cache::new(BOUNDS);
        let first = cache.get("key", async || std::future::pending::<u8>().await, |_| keep(60, 1));
        let second = cache.get("key", async || 2, |_| keep(60, 1));
        {
            let mut first = std::pin::pin!(first);
            assert!(futures::poll!(first.as_mut()).is_pending());
        }
        assert_eq!(second.await, 2);
        assert!(cache.state().flights.is_empty());
        let third = cache.get("key", async || 3, |_| keep(60, 1));
        assert_eq!(third.await, 2, "it was kept");
    }
}
