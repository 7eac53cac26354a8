//! A metrics registry that starts with `seccomp_profile_build_info`, and the metrics of both programs' watches.

use std::marker::PhantomData;
use std::time::{SystemTime, UNIX_EPOCH};

use link::watch::Observer;
use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

/// A registry for the program `component` at `version`.
///
/// # Errors
/// None in practice: the one metric in it has a fixed, valid name.
pub fn registry(component: &str, version: &str) -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let info = IntGaugeVec::new(
        Opts::new("seccomp_profile_build_info", "Always 1; the labels name the program and its version."),
        &["component", "version"],
    )?;
    info.with_label_values(&[component, version]).set(1);
    registry.register(Box::new(info))?;
    Ok(registry)
}

/// Registers `metric`, and returns it.
///
/// # Errors
/// `registry` already has a metric of this name.
pub fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// The time in seconds since 1970, for gauges that alerts compare with `time()`.
#[must_use]
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A label of a metric. All its values are known at compile time: each has a series from the start, so that a rate does
/// not miss the first event, and no other value can be counted.
pub trait Label: Copy + 'static {
    /// All values.
    const ALL: &'static [Self];

    /// The value in Prometheus.
    fn as_str(self) -> &'static str;
}

/// A counter with one label.
#[derive(Debug, Clone)]
pub struct Counters<L> {
    vector: IntCounterVec,
    label: PhantomData<L>,
}

impl<L: Label> Counters<L> {
    /// New counters in `registry`, with a series for each value of the label `name`.
    ///
    /// # Errors
    /// `registry` holds a metric of this name already.
    pub fn new(registry: &Registry, opts: Opts, name: &str) -> Result<Self, prometheus::Error> {
        let vector = register(registry, IntCounterVec::new(opts, &[name])?)?;
        let counters = Self { vector, label: PhantomData };
        L::ALL.iter().for_each(|value| drop(counters.of(*value)));
        Ok(counters)
    }

    /// The counter with this value of the label.
    #[must_use]
    pub fn of(&self, value: L) -> IntCounter {
        self.vector.with_label_values(&[value.as_str()])
    }
}

/// The metrics of a program's watches, by kind.
#[derive(Debug, Clone)]
pub struct Watches<K> {
    failures: Counters<K>,
    last_answer: GaugeVec,
}

impl<K: Label> Watches<K> {
    /// New metrics in `registry`, with series for each kind.
    ///
    /// # Errors
    /// `registry` already has metrics of these names.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Self::of_kinds(registry, K::ALL)
    }

    /// Like [`Self::new`], with series for these kinds, where the others are not watched.
    ///
    /// # Errors
    /// Like [`Self::new`].
    pub fn of_kinds(registry: &Registry, kinds: &[K]) -> Result<Self, prometheus::Error> {
        let failures = Opts::new(
            "seccomp_profile_watch_failures_total",
            "Lists and watches that failed and were restarted, by kind.",
        );
        let last_answer = Opts::new(
            "seccomp_profile_watch_last_answer_timestamp_seconds",
            "Time of the last readable list or watch event of the kind, or of the last renewal of a watch that had ended \
             normally; at the start, the time of the start. An operator renews a watch every minute, an agent every four: \
             an older time means that events may be missing.",
        );
        let watches = Self {
            failures: Counters::new(registry, failures, "kind")?,
            last_answer: register(registry, GaugeVec::new(last_answer, &["kind"])?)?,
        };
        kinds.iter().for_each(|kind| watches.of(*kind).answered());
        Ok(watches)
    }

    /// The metrics of the watch of one kind.
    #[must_use]
    pub fn of(&self, kind: K) -> Watch {
        Watch {
            failures: self.failures.of(kind),
            last_answer: self.last_answer.with_label_values(&[kind.as_str()]),
        }
    }
}

/// The metrics of one watch.
#[derive(Debug, Clone)]
pub struct Watch {
    failures: IntCounter,
    last_answer: Gauge,
}

impl Observer for Watch {
    fn answered(&self) {
        self.last_answer.set(now());
    }

    fn failed(&self) {
        self.failures.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct Namespace;

    impl Label for Namespace {
        const ALL: &'static [Self] = &[Self];

        fn as_str(self) -> &'static str {
            "Namespace"
        }
    }

    #[test]
    fn a_kind_has_series_from_the_start_and_what_its_watch_shows_goes_into_them() {
        let registry = Registry::new();
        let watch = Watches::new(&registry).unwrap().of(Namespace);
        let values = || {
            let mut families = registry.gather();
            let mut value = |at: usize| families[at].take_metric().swap_remove(0);
            (value(0).get_counter().get_value(), value(1).get_gauge().get_value())
        };
        let (failures, begun) = values();
        assert!(failures == 0.0 && begun > 0.0, "{failures} {begun}");
        watch.failed();
        assert_eq!(values(), (1.0, begun));
        watch.answered();
        assert!(values().1 > begun);
    }
}
