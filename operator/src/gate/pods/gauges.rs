//! Gauges that are computed from the index at each scrape.

use std::sync::{Mutex, PoisonError, Weak};

use daemon::metrics::Label;
use k8s_openapi::jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts};

use super::notice::WaitReason;
use super::state::PodGateState;

/// The label of a pod whose gate is about to be lifted.
const READY: &str = "ready";

/// The gauges, as long as the state exists.
#[derive(Debug)]
pub struct Gauges {
    state: Weak<PodGateState>,
    families: Mutex<Families>,
    descriptions: Vec<Desc>,
}

#[derive(Debug)]
struct Families {
    leader: IntGauge,
    pods: IntGaugeVec,
    oldest: Gauge,
}

impl Gauges {
    /// Gauges of `state`.
    ///
    /// # Errors
    /// None in practice: the names are fixed and valid.
    pub fn new(state: Weak<PodGateState>) -> Result<Self, prometheus::Error> {
        let pods = Opts::new(
            "seccomp_profile_gate_pods",
            "Pods with our scheduling gate, by what they wait for: every gate exports them, so use max.",
        );
        let families = Families {
            leader: IntGauge::new("seccomp_profile_gate_leader", "1 if this gate leads.")?,
            pods: IntGaugeVec::new(pods, &["waits_for"])?,
            oldest: Gauge::new(
                "seccomp_profile_gate_oldest_pod_seconds",
                "Age of the oldest pod with our scheduling gate; 0 if there is none.",
            )?,
        };
        let all: [&dyn Collector; 3] = [&families.leader, &families.pods, &families.oldest];
        let descriptions = all.iter().flat_map(|family| family.desc()).cloned().collect();
        Ok(Self { state, families: Mutex::new(families), descriptions })
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = self.state.upgrade() else { return Vec::new() };
        let now = Timestamp::now();
        let summary = state.read(|index| index.summary(now));
        families.leader.set(i64::from(state.lead.holds()));
        for (reason, pods) in summary.pods {
            let label = reason.map_or(READY, WaitReason::as_str);
            families.pods.with_label_values(&[label]).set(i64::try_from(pods).unwrap_or(i64::MAX));
        }
        let age = summary.oldest.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0));
        families.oldest.set(age);
        let all: [&dyn Collector; 3] = [&families.leader, &families.pods, &families.oldest];
        all.iter().flat_map(|family| family.collect()).collect()
    }
}
