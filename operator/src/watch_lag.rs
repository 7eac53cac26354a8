//! How late a watch is, measured by the operator's own writes: the answer to a write has the new version of the object,
//! and the watch delivers that version sooner or later.
//!
//! The same measure bounds how fast profiles are written. The API server sends each version to every agent, buffers ten
//! for each, and ends the watch of one that falls behind further, which then has to begin again. The operator's own
//! watch is one of these watches: while it is late, so are the others. So [`WatchLag::room`] lets only so many versions
//! be under way as fit into such a buffer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daemon::metrics::{Label, register};
use link::changes::ObjectId;
use prometheus::{HistogramOpts, HistogramVec, Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::facts::ObjectVersion;
use crate::labels::{KindLabel, WrittenKindLabel};

/// So many versions of profiles may be under way. The API server buffers ten events for each watch of a custom resource
/// (`minWatchChanSize` in k8s.io/apiserver 0.37, `pkg/storage/cacher/watch_cache.go`).
const UNDER_WAY: usize = 8;
/// How long a write waits for room. The watch may be interrupted, and then nothing shows what is under way.
const ROOM_LIMIT: Duration = Duration::from_secs(2);

/// The versions that the operator's writes made and that the watch has not delivered yet.
#[derive(Debug, Clone)]
pub struct WatchLag {
    lag: HistogramVec,
    awaited: Arc<Mutex<Awaited>>,
    room: Arc<Semaphore>,
}

/// Room for one version under way, until the watch has delivered it.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "it only has to be kept")] OwnedSemaphorePermit);

/// A version that a write made.
#[derive(Debug)]
struct Made {
    version: ObjectVersion,
    /// When the answer arrived.
    at: Instant,
    _room: Option<Room>,
}

/// By kind and name, the version that a write made.
type Awaited = HashMap<(WrittenKindLabel, String), Made>;

impl WatchLag {
    /// Measures into a histogram in `registry`.
    ///
    /// # Errors
    /// `registry` holds a metric of its name already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let lag = HistogramOpts::new(
            "seccomp_profile_watch_lag_seconds",
            "Time from the answer to a write of the operator until the watch of the kind brought the new version; \
             0 if the watch was faster.",
        );
        let lag = lag.buckets(vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0]);
        let lag = register(registry, HistogramVec::new(lag, &["kind"])?)?;
        WrittenKindLabel::ALL.iter().for_each(|kind| drop(lag.with_label_values(&[kind.as_str()])));
        Ok(Self { lag, awaited: Arc::default(), room: Arc::new(Semaphore::new(UNDER_WAY)) })
    }

    /// Room for a version under way, if there is some now.
    #[must_use]
    pub fn room_now(&self) -> Option<Room> {
        self.room.clone().try_acquire_owned().ok().map(Room)
    }

    /// Room for a version under way, as soon as there is some; `None` if there was none for two seconds.
    pub async fn room(&self) -> Option<Room> {
        let room = timeout(ROOM_LIMIT, self.room.clone().acquire_owned()).await;
        room.ok()?.ok().map(Room)
    }

    /// The answer to a write has arrived, which made version `made` of an object; the index has version `known`. `room`
    /// is taken until the watch has delivered it.
    pub fn written(
        &self,
        kind: WrittenKindLabel,
        name: &str,
        made: &ObjectVersion,
        known: Option<&ObjectVersion>,
        at: Instant,
        room: Option<Room>,
    ) {
        match known {
            Some(known) if known == made => self.observe(kind, Duration::ZERO),
            // The watch has delivered a newer version, or the object is gone: it will not deliver this version any
            // more.
            Some(known) if !known.is_older_than(made) => {}
            None => {}
            Some(_) => {
                let made = Made { version: made.clone(), at, _room: room };
                self.awaited().insert((kind, name.to_owned()), made);
            }
        }
    }

    /// The watch has delivered a version of an object.
    pub fn watched(&self, kind: KindLabel, name: &str, version: &ObjectVersion, at: Instant) {
        let Some(kind) = WrittenKindLabel::of(kind) else { return };
        let mut awaited = self.awaited();
        let key = (kind, name.to_owned());
        let Some(made) = awaited.get(&key) else { return };
        if made.version == *version {
            self.observe(kind, at.saturating_duration_since(made.at));
        } else if version.is_older_than(&made.version) && version.uid == made.version.uid {
            return;
        }
        awaited.remove(&key);
    }

    /// An object was deleted: the watch will deliver no version of it any more.
    pub fn gone(&self, kind: KindLabel, object: &ObjectId) {
        let Some(kind) = WrittenKindLabel::of(kind) else { return };
        let mut awaited = self.awaited();
        let key = (kind, object.key.name.to_string());
        if awaited.get(&key).is_some_and(|made| *made.version.uid == *object.uid) {
            awaited.remove(&key);
        }
    }

    /// A list of a kind is complete: the watch does not deliver the versions that the list contained.
    pub fn forget(&self, kind: KindLabel) {
        let Some(kind) = WrittenKindLabel::of(kind) else { return };
        self.awaited().retain(|(awaited, _), _| *awaited != kind);
    }

    fn observe(&self, kind: WrittenKindLabel, lag: Duration) {
        self.lag.with_label_values(&[kind.as_str()]).observe(lag.as_secs_f64());
    }

    fn awaited(&self) -> MutexGuard<'_, Awaited> {
        // Each entry is consistent even after a panic.
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: KindLabel = KindLabel::Profile;
    const WRITTEN: WrittenKindLabel = WrittenKindLabel::Profile;

    fn version(number: u32) -> ObjectVersion {
        ObjectVersion { uid: "u".into(), resource_version: number.to_string() }
    }

    /// How often something was measured, and the sum in seconds.
    fn measured(watch_lag: &WatchLag) -> (u64, f64) {
        let lag = watch_lag.lag.with_label_values(&[KIND.as_str()]);
        (lag.get_sample_count(), lag.get_sample_sum())
    }

    #[test]
    fn the_lag_is_from_the_answer_to_the_news_of_the_same_version() {
        let watch_lag = WatchLag::new(&Registry::new()).unwrap();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        watch_lag.written(WRITTEN, "a", &version(5), Some(&version(3)), at(0), None);
        watch_lag.watched(KIND, "a", &version(4), at(1));
        assert_eq!(measured(&watch_lag), (0, 0.0), "that was an earlier version");
        watch_lag.watched(KIND, "b", &version(5), at(1));
        assert_eq!(measured(&watch_lag), (0, 0.0), "that was another object");
        watch_lag.watched(KIND, "a", &version(5), at(2));
        watch_lag.watched(KIND, "a", &version(5), at(3));
        assert_eq!(measured(&watch_lag), (1, 2.0));
        assert!(watch_lag.awaited().is_empty());
    }

    #[test]
    fn a_watch_that_was_faster_than_the_answer_has_no_lag() {
        let watch_lag = WatchLag::new(&Registry::new()).unwrap();
        watch_lag.written(WRITTEN, "a", &version(5), Some(&version(5)), Instant::now(), None);
        assert_eq!(measured(&watch_lag), (1, 0.0));
        assert!(watch_lag.awaited().is_empty());
    }

    #[test]
    fn what_the_watch_will_never_bring_is_not_waited_for() {
        let watch_lag = WatchLag::new(&Registry::new()).unwrap();
        let now = Instant::now();
        watch_lag.written(WRITTEN, "newer", &version(5), Some(&version(6)), now, None);
        watch_lag.written(WRITTEN, "gone", &version(5), None, now, None);
        assert!(watch_lag.awaited().is_empty());
        watch_lag.written(WRITTEN, "passed-over", &version(5), Some(&version(4)), now, None);
        watch_lag.watched(KIND, "passed-over", &version(6), now);
        assert!(watch_lag.awaited().is_empty());
        watch_lag.written(WRITTEN, "listed", &version(5), Some(&version(4)), now, None);
        watch_lag.forget(KIND);
        assert!(watch_lag.awaited().is_empty());
        assert_eq!(measured(&watch_lag), (0, 0.0));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_versions_are_under_way_than_the_api_server_buffers_until_one_is_delivered() {
        let watch_lag = WatchLag::new(&Registry::new()).unwrap();
        for number in 0..8 {
            let room = watch_lag.room().await;
            assert!(room.is_some());
            let name = number.to_string();
            watch_lag.written(WRITTEN, &name, &version(5), Some(&version(4)), Instant::now(), room);
        }
        assert!(watch_lag.room_now().is_none());
        let start = tokio::time::Instant::now();
        assert!(watch_lag.room().await.is_none(), "a watch that is interrupted delivers nothing");
        assert_eq!(start.elapsed(), ROOM_LIMIT);
        watch_lag.watched(KIND, "3", &version(5), Instant::now());
        assert!(watch_lag.room().await.is_some(), "and the room of a write that fails is free at once");
        assert!(watch_lag.room_now().is_some());
        watch_lag.forget(KIND);
        assert_eq!(watch_lag.room.available_permits(), 8);
    }
}
