//! The series that are computed from the index at each scrape, as a deleted profile leaves no label behind: gauges, and the
//! counts of refused calls, which the index keeps.
//!
//! Only the leader exports profiles and nodes, and only once every kind has been listed. An operator that does not
//! reconcile does not update their states as time passes, and a sum over operators would count them twice.

use std::sync::{Mutex, PoisonError, Weak};

use api::{State, Vocabulary};
use k8s_openapi::jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::findings::Findings;
use crate::index::{AgentState, Index};
use crate::shared::SharedState;

/// The state of a profile that was never reconciled.
const UNKNOWN: &str = "Unknown";

/// The gauges of the operator's state, as long as that exists.
#[derive(Debug)]
pub struct Gauges {
    shared: Weak<SharedState>,
    /// Each scrape empties and fills them: one at a time.
    families: Mutex<Families>,
    descriptions: Vec<Desc>,
}

#[derive(Debug)]
struct Families {
    leader: IntGauge,
    profiles: IntGaugeVec,
    nodes: IntGaugeVec,
    pods: IntGaugeVec,
    outdated: IntGaugeVec,
    unknown_filter: IntGaugeVec,
    without_profile: IntGauge,
    not_ready: GaugeVec,
    deletion: GaugeVec,
    findings: IntGaugeVec,
    agents: IntGaugeVec,
    denials: IntCounterVec,
}

impl Gauges {
    /// Gauges of `shared`.
    ///
    /// # Errors
    /// None in practice: the names are fixed and valid.
    pub fn new(shared: Weak<SharedState>) -> Result<Self, prometheus::Error> {
        let families = Families::new()?;
        let descriptions = families.all().iter().flat_map(|family| family.desc()).cloned().collect();
        Ok(Self { shared, families: Mutex::new(families), descriptions })
    }
}

impl Families {
    fn new() -> Result<Self, prometheus::Error> {
        let whole = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let time = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &["profile"]);
        Ok(Self {
            leader: IntGauge::new(
                "seccomp_profile_leader",
                "1 if this operator leads, that is, if it writes.",
            )?,
            profiles: whole("seccomp_profile_profiles", "Profiles, by state.", &["state"])?,
            nodes: whole(
                "seccomp_profile_nodes",
                "Nodes that should hold a profile, by their state for it.",
                &["profile", "state"],
            )?,
            pods: whole(
                "seccomp_profile_pods",
                "Pods that name a profile and have not ended.",
                &["profile"],
            )?,
            outdated: whole(
                "seccomp_profile_outdated_containers",
                "Running containers that may be under an earlier filter of a profile: they are older than its file on their \
                 node, or the node does not hold its present contents.",
                &["profile"],
            )?,
            unknown_filter: whole(
                "seccomp_profile_unknown_filter_containers",
                "Running containers under a profile of which nobody can tell whether the filter is an earlier one: the agent \
                 on their node has not reported, or does not state since when a file has its contents.",
                &["profile"],
            )?,
            // Without a label, because whoever creates pods could create series.
            without_profile: IntGauge::new(
                "seccomp_profile_pods_without_profile",
                "Pods that may run, name a profile that does not exist, and have not ended.",
            )?,
            not_ready: time(
                "seccomp_profile_not_ready_since_timestamp_seconds",
                "Since when a profile has not been Ready; absent while it is Ready.",
            )?,
            deletion: time(
                "seccomp_profile_deletion_timestamp_seconds",
                "When the deletion of a profile was requested; absent unless the profile is being deleted.",
            )?,
            findings: whole(
                "seccomp_profile_findings",
                "What the rules of kubectl seccomp lint find in a profile, by severity.",
                &["profile", "severity"],
            )?,
            agents: whole(
                "seccomp_profile_agents",
                "Nodes that should have an agent, by its state: down means not ready for 5 minutes, silent means that \
                 it has never reported although the node is not new.",
                &["state"],
            )?,
            denials: IntCounterVec::new(
                Opts::new(
                    "seccomp_profile_denials_total",
                    "System calls that the filter of a profile refused or logged, by action, as the nodes' observers have \
                     counted them since this operator began. Only where the chart installs observers.",
                ),
                &["profile", "action"],
            )?,
        })
    }

    fn all(&self) -> [&dyn Collector; 12] {
        [
            &self.leader,
            &self.profiles,
            &self.nodes,
            &self.pods,
            &self.outdated,
            &self.unknown_filter,
            &self.without_profile,
            &self.not_ready,
            &self.deletion,
            &self.findings,
            &self.agents,
            &self.denials,
        ]
    }

    fn clear(&self) {
        self.leader.set(0);
        self.without_profile.set(0);
        for family in [
            &self.profiles,
            &self.nodes,
            &self.pods,
            &self.outdated,
            &self.unknown_filter,
            &self.findings,
            &self.agents,
        ] {
            family.reset();
        }
        self.not_ready.reset();
        self.deletion.reset();
        self.denials.reset();
    }

    fn fill(&self, index: &Index, now: Timestamp) {
        for state in State::ALL.iter().map(|state| state.as_str()).chain([UNKNOWN]) {
            self.profiles.with_label_values(&[state]).set(0);
        }
        for state in AgentState::ALL {
            self.agents.with_label_values(&[state.as_str()]).set(0);
        }
        for state in index.agent_states(now) {
            self.agents.with_label_values(&[state.as_str()]).inc();
        }
        let without = index.pods_without_profile(now);
        self.without_profile.set(i64::try_from(without).unwrap_or(i64::MAX));
        for (name, tally, facts, not_ready_since) in index.profiles() {
            let state = facts.status.as_ref().and_then(|status| status.state.as_ref()?.known());
            self.profiles.with_label_values(&[state.map_or(UNKNOWN, State::as_str)]).inc();
            for (state, count) in [
                ("ready", tally.ready),
                ("pending", tally.pending),
                ("failed", tally.failed),
                ("joining", tally.joining),
                ("unreachable", tally.unreachable),
            ] {
                self.nodes.with_label_values(&[name, state]).set(i64::from(count));
            }
            let pods = i64::try_from(index.pods_naming(name)).unwrap_or(i64::MAX);
            self.pods.with_label_values(&[name]).set(pods);
            let outdated = index.outdated(name);
            self.outdated.with_label_values(&[name]).set(outdated.containers.into());
            self.unknown_filter.with_label_values(&[name]).set(outdated.unknown_containers.into());
            for (severity, count) in index.findings(name).into_iter().flat_map(Findings::by_severity) {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.findings.with_label_values(&[name, severity.name()]).set(count);
            }
            for (action, count) in index.denials(name).into_iter().flatten() {
                self.denials.with_label_values(&[name, action.name()]).inc_by(count);
            }
            if let Some(since) = not_ready_since {
                self.not_ready.with_label_values(&[name]).set(seconds(since));
            }
            if let Some(deletion) = facts.deletion {
                self.deletion.with_label_values(&[name]).set(seconds(deletion));
            }
        }
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Emptied first, because an earlier call may have panicked half-way.
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.clear();
        if let Some(shared) = self.shared.upgrade() {
            let leads = shared.leads();
            families.leader.set(i64::from(leads));
            if leads && shared.is_complete() {
                shared.read(|index| families.fill(index, Timestamp::now()));
            }
        }
        families.all().iter().flat_map(|family| family.collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use prometheus::{Encoder, Registry, TextEncoder};
    use tokio::time::Instant;

    use super::*;
    use crate::facts::{ObjectVersion, PodFacts, PodKind, ProfileFacts, UpdateSource};
    use crate::metrics::Metrics;

    fn shared() -> (Arc<SharedState>, Registry) {
        let shared =
            SharedState::new(Index::new("profiles"), ["Pod"], Metrics::new(&Registry::new()).unwrap());
        let (shared, registry) = (Arc::new(shared), Registry::new());
        registry.register(Box::new(Gauges::new(Arc::downgrade(&shared)).unwrap())).unwrap();
        (shared, registry)
    }

    fn apply(shared: &SharedState, name: &str, status: serde_json::Value) {
        let object = serde_json::json!({
            "metadata": { "name": name, "uid": "u1", "resourceVersion": "1" },
            "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
            "status": status,
        });
        let facts = ProfileFacts::of(&serde_json::from_value(object).unwrap());
        shared.change(|index| index.apply_profile(facts, UpdateSource::List, Timestamp::now()));
    }

    fn scraped(registry: &Registry) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_profile_that_is_gone_leaves_no_series_and_a_state_that_is_over_counts_zero() {
        let (shared, registry) = shared();
        shared.listed("Pod");
        let not_ready = serde_json::json!({ "state": "Progressing", "conditions": [
            { "type": "Ready", "status": "False", "reason": "RollingOut", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" },
        ] });
        apply(&shared, "audit", not_ready);
        let user = |uid: &str, profile: &str| PodFacts {
            uid: uid.to_owned(),
            namespaced_name: format!("ns/{uid}"),
            node: None,
            created: Timestamp::now(),
            kind: PodKind::User(BTreeSet::from([profile.to_owned()])),
            failed_starts: Vec::new(),
            running: Vec::new(),
        };
        shared.change(|index| index.apply_pod(user("p1", "audit"), Timestamp::now()));
        shared.change(|index| index.apply_pod(user("p2", "no-such-profile"), Timestamp::now()));
        let text = scraped(&registry);
        for line in [
            r#"seccomp_profile_profiles{state="Progressing"} 1"#,
            r#"seccomp_profile_profiles{state="Ready"} 0"#,
            r#"seccomp_profile_nodes{profile="audit",state="ready"} 0"#,
            r#"seccomp_profile_pods{profile="audit"} 1"#,
            "seccomp_profile_pods_without_profile 1",
            r#"seccomp_profile_not_ready_since_timestamp_seconds{profile="audit"} 1767225600"#,
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(!text.contains("no-such-profile"), "whoever creates pods creates no series:\n{text}");

        let ready = serde_json::json!({ "state": "Ready", "conditions": [
            { "type": "Ready", "status": "True", "reason": "AllNodesReady", "message": "", "lastTransitionTime": "2026-01-01T00:00:01Z" },
        ] });
        apply(&shared, "audit", ready);
        let text = scraped(&registry);
        assert!(!text.contains("not_ready_since"), "{text}");
        assert!(text.contains(r#"seccomp_profile_profiles{state="Progressing"} 0"#), "{text}");

        shared.change(|index| index.delete_profile("audit", "u1", Timestamp::now()));
        let text = scraped(&registry);
        assert!(!text.contains("audit"), "{text}");
        assert!(text.contains(r#"seccomp_profile_profiles{state="Ready"} 0"#), "{text}");
    }

    #[test]
    fn a_profile_has_a_count_of_its_errors_and_warnings_from_its_check_until_it_is_gone() {
        let (shared, registry) = shared();
        shared.listed("Pod");
        apply(&shared, "audit", serde_json::Value::Null);
        assert!(!scraped(&registry).contains("seccomp_profile_findings"));
        shared.change(|index| {
            let check = index.check("audit").unwrap();
            let findings = Findings::in_spec(check.spec.as_ref().unwrap(), &check.architectures);
            index.checked("audit", check, crate::findings::Checked::Findings(findings));
        });
        let text = scraped(&registry);
        for line in [
            r#"seccomp_profile_findings{profile="audit",severity="error"} 0"#,
            r#"seccomp_profile_findings{profile="audit",severity="warning"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        shared.change(|index| index.delete_profile("audit", "u1", Timestamp::now()));
        assert!(!scraped(&registry).contains("seccomp_profile_findings"));
    }

    #[test]
    fn where_nodes_have_observers_a_profile_has_a_count_of_each_action_before_any_call_is_refused() {
        let (without, registry) = shared();
        without.listed("Pod");
        apply(&without, "audit", serde_json::Value::Null);
        assert!(!scraped(&registry).contains("seccomp_profile_denials_total"));
        without.change(|index| *index = Index::new("profiles").counting_denials(true));
        apply(&without, "audit", serde_json::Value::Null);
        let text = scraped(&registry);
        let line = r#"seccomp_profile_denials_total{action="SCMP_ACT_ERRNO",profile="audit"} 0"#;
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        assert_eq!(text.matches("\nseccomp_profile_denials_total{").count(), 7);
    }

    #[test]
    fn contents_that_were_never_reconciled_are_not_ready_since_they_were_first_seen() {
        let (shared, registry) = shared();
        shared.listed("Pod");
        let change = |version: &str, action: &str, generation: i64, status: serde_json::Value, at: i64| {
            let object = serde_json::json!({
                "metadata": { "name": "audit", "uid": "u1", "resourceVersion": version, "generation": generation },
                "spec": { "contents": { "defaultAction": action } },
                "status": status,
            });
            let facts = ProfileFacts::of(&serde_json::from_value(object).unwrap());
            let at = Timestamp::from_second(at).unwrap();
            shared.change(|index| index.apply_profile(facts, UpdateSource::List, at));
            let text = scraped(&registry);
            let since = text
                .lines()
                .find(|line| line.starts_with("seccomp_profile_not_ready_since_timestamp_seconds"));
            since.map(|line| line.rsplit(' ').next().unwrap().to_owned())
        };
        let status = |observed: i64, ready: &str| {
            serde_json::json!({ "observedGeneration": observed, "conditions": [
                { "type": "Ready", "status": ready, "reason": "R", "message": "", "lastTransitionTime": "1970-01-01T00:05:00Z" },
            ] })
        };
        let since = |at: &str| Some(at.to_owned());
        assert_eq!(change("1", "SCMP_ACT_LOG", 1, serde_json::Value::Null, 100), since("100"));
        assert_eq!(change("2", "SCMP_ACT_LOG", 1, status(1, "True"), 400), None);
        assert_eq!(change("3", "SCMP_ACT_ERRNO", 2, status(1, "True"), 500), since("500"));
        assert_eq!(change("4", "SCMP_ACT_ERRNO", 2, status(2, "True"), 600), None);
        // Where the profile was not Ready before, the earlier time counts.
        assert_eq!(change("5", "SCMP_ACT_LOG", 3, status(2, "False"), 700), since("300"));
    }

    #[test]
    fn a_profile_that_is_being_deleted_has_the_time_of_its_deletion() {
        let (shared, registry) = shared();
        shared.listed("Pod");
        let version = ObjectVersion { uid: "u1".into(), resource_version: "1".into() };
        apply(&shared, "audit", serde_json::Value::Null);
        assert!(!scraped(&registry).contains("deletion"));
        shared.change(|index| {
            let (_, _, facts, _) = index.profiles().next().unwrap();
            let deletion = Some(Timestamp::from_second(1_800_000_000).unwrap());
            let facts = ProfileFacts { version, deletion, ..facts.clone() };
            index.apply_profile(facts, UpdateSource::List, Timestamp::now());
        });
        let text = scraped(&registry);
        assert!(
            text.contains(r#"seccomp_profile_deletion_timestamp_seconds{profile="audit"} 1800000000"#),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_leader_exports_profiles_and_only_once_every_kind_has_been_listed() {
        let (shared, registry) = shared();
        apply(&shared, "audit", serde_json::Value::Null);
        assert!(!scraped(&registry).contains("audit"), "not every kind has been listed");
        shared.listed("Pod");
        assert!(scraped(&registry).contains("audit"));
        shared.lead_until(None);
        let text = scraped(&registry);
        assert!(!text.contains("audit") && text.contains("seccomp_profile_leader 0"), "{text}");
        shared.lead_until(Some(Instant::now() + std::time::Duration::from_secs(10)));
        let text = scraped(&registry);
        assert!(text.contains("audit") && text.contains("seccomp_profile_leader 1"), "{text}");
        // Where the leader hangs, its time is up although it has not noticed.
        tokio::time::advance(std::time::Duration::from_secs(11)).await;
        assert!(scraped(&registry).contains("seccomp_profile_leader 0"));
    }
}
