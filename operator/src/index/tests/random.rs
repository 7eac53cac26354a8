//! The index against a naive recomputation: any updates in any order must give the same counts.

use api::NodeLabelSelector;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// An update that a watch can deliver, or an advance of time.
#[derive(Debug, Clone)]
enum Update {
    Profile {
        name: u8,
        uid: u32,
        content: Option<u8>,
        approved: bool,
        /// The value of the label of the nodes that must have it.
        only: Option<u8>,
    },
    ProfileGone {
        name: u8,
        uid: u32,
    },
    Node {
        name: u8,
        uid: u32,
        created: i64,
        selected: bool,
        reachable: bool,
        label: u8,
    },
    NodeGone {
        name: u8,
        uid: u32,
    },
    Report {
        node: u8,
        uid: u32,
        owner: u32,
        files: Option<Vec<(u8, u8)>>,
        problems: Vec<u8>,
        changed: Option<Vec<(u8, i64)>>,
    },
    User {
        pod: u8,
        node: Option<u8>,
        containers: Vec<(u8, i64, i64)>,
    },
    UserGone {
        pod: u8,
    },
    ReportGone {
        node: u8,
        uid: u32,
    },
    Agent {
        node: u8,
        ready: bool,
    },
    AgentGone {
        node: u8,
    },
    Time {
        seconds: i64,
    },
}

fn update() -> impl Strategy<Value = Update> {
    let (name, uid, content) = (0..4u8, 1..3u32, 0..3u8);
    prop_oneof![
        (
            name.clone(),
            uid.clone(),
            proptest::option::of(content.clone()),
            proptest::bool::weighted(0.2),
            proptest::option::weighted(0.4, 0..2u8)
        )
            .prop_map(|(name, uid, content, approved, only)| Update::Profile {
                name,
                uid,
                content,
                approved,
                only
            }),
        (name.clone(), uid.clone()).prop_map(|(name, uid)| Update::ProfileGone { name, uid }),
        (
            name.clone(),
            uid.clone(),
            -200..50i64,
            proptest::bool::weighted(0.8),
            proptest::bool::weighted(0.8),
            0..2u8
        )
            .prop_map(|(name, uid, created, selected, reachable, label)| Update::Node {
                name,
                uid,
                created,
                selected,
                reachable,
                label
            }),
        (name.clone(), uid.clone()).prop_map(|(name, uid)| Update::NodeGone { name, uid }),
        (
            name.clone(),
            uid.clone(),
            uid.clone(),
            proptest::option::weighted(0.9, vec((name.clone(), content), 0..4)),
            vec(name.clone(), 0..2),
            proptest::option::weighted(0.9, vec((name.clone(), 0..9i64), 0..4)),
        )
            .prop_map(|(node, uid, owner, files, problems, changed)| Update::Report {
                node,
                uid,
                owner,
                files,
                problems,
                changed
            }),
        (
            name.clone(),
            proptest::option::weighted(0.9, name.clone()),
            vec((name.clone(), 0..9i64, 0..3i64), 0..4)
        )
            .prop_map(|(pod, node, containers)| Update::User { pod, node, containers }),
        name.clone().prop_map(|pod| Update::UserGone { pod }),
        (name.clone(), uid).prop_map(|(node, uid)| Update::ReportGone { node, uid }),
        (name.clone(), any::<bool>()).prop_map(|(node, ready)| Update::Agent { node, ready }),
        name.prop_map(|node| Update::AgentGone { node }),
        (1..200i64).prop_map(|seconds| Update::Time { seconds }),
    ]
}

/// The uid and the new state of the pod that an update is about.
fn user_pod(update: &Update) -> Option<(String, Option<PodFacts>)> {
    match update {
        Update::User { pod, node, containers } => {
            let (uid, node) = (format!("web{pod}"), node.map(|node| format!("n{node}")));
            let running = containers.iter().map(|(name, second, later)| RunningUnder {
                profile: format!("p{name}"),
                created_after: (*second > 0).then(|| at(*second)),
                started: at(second + later),
            });
            let running: Vec<_> = running.collect();
            let kind = PodKind::User(running.iter().map(|it| it.profile.clone()).collect());
            Some((uid.clone(), Some(PodFacts { kind, running, ..user(&uid, node.as_deref(), "p0") })))
        }
        Update::UserGone { pod } => Some((format!("web{pod}"), None)),
        _ => None,
    }
}

/// The label by which profiles select nodes.
fn label(value: u8) -> BTreeMap<String, String> {
    BTreeMap::from([("pool".to_owned(), value.to_string())])
}

fn deliver(index: &mut Index, update: &Update, now: Timestamp, number: u32) {
    match update.clone() {
        Update::Profile { name, uid, content, approved, only } => {
            let status = approved.then(|| SeccompProfileStatus {
                removal: Some(Removal::Approved.into()),
                ..Default::default()
            });
            let content = content.map(hash).ok_or_else(|| "bad".to_owned());
            let facts = ProfileFacts {
                version: version(uid, number),
                content,
                removal_approved: approved,
                node_selector: only.map(|value| NodeLabelSelector {
                    match_labels: label(value),
                    match_expressions: Vec::new(),
                }),
                status,
                ..profile(&format!("p{name}"), 0)
            };
            index.apply_profile(facts, UpdateSource::Watch, now);
        }
        Update::ProfileGone { name, uid } => {
            index.delete_profile(&format!("p{name}"), &format!("uid-{uid}"), now);
        }
        Update::Node { name, uid, created, selected, reachable, label: value } => {
            let name = format!("n{name}");
            let uid = format!("{name}-{uid}");
            index.apply_node(
                NodeFacts {
                    name,
                    uid,
                    created: at(created),
                    selected,
                    reachable,
                    answers: reachable,
                    architecture: None,
                    labels: label(value),
                },
                now,
            );
        }
        Update::NodeGone { name, uid } => {
            index.delete_node(&format!("n{name}"), &format!("n{name}-{uid}"), now);
        }
        Update::Report { node, uid, owner, files, problems, changed } => {
            let node = format!("n{node}");
            let problem = |name: &u8| {
                let name = format!("p{name}");
                let (reason, message) = ("Io".to_owned(), format!("{number}"));
                (name.clone(), FileProblem { name, state: ProblemKind::Failed.into(), reason, message })
            };
            index.apply_report(
                ReportFacts {
                    version: version(uid, number),
                    owner: Some(format!("{node}-{owner}")),
                    files: files.map(|files| {
                        files
                            .iter()
                            .map(|(name, content)| (format!("p{name}"), hash(*content).short()))
                            .collect()
                    }),
                    problems: problems.iter().map(problem).collect(),
                    changed: changed.map(|all| {
                        all.iter().map(|(name, second)| (format!("p{name}"), at(*second))).collect()
                    }),
                    ..report(&node, &[])
                },
                UpdateSource::Watch,
                now,
            );
        }
        Update::ReportGone { node, uid } => {
            index.delete_report(&format!("n{node}"), &format!("uid-{uid}"), now);
        }
        Update::User { .. } | Update::UserGone { .. } => match user_pod(update) {
            Some((_, Some(pod))) => index.apply_pod(pod, now),
            Some((uid, None)) => index.delete_pod(&uid, now),
            None => {}
        },
        Update::Agent { node, ready } => index.apply_pod(agent(&format!("n{node}"), ready), now),
        Update::AgentGone { node } => index.delete_pod(&format!("agent-n{node}"), now),
        Update::Time { .. } => {
            for node in index.nodes.keys().cloned().collect::<Vec<_>>() {
                index.advance_time(&node, now);
            }
        }
    }
}

/// The counts, computed from nothing but the facts.
fn recount(index: &Index, now: Timestamp) -> (BTreeMap<String, Tally>, BTreeMap<String, u32>) {
    let mut tallies = BTreeMap::new();
    let mut lacking: BTreeMap<_, _> = index.nodes.keys().map(|name| (name.clone(), 0)).collect();
    for (name, profile) in &index.profiles {
        let mut tally = Tally::default();
        for (node_name, node) in &index.nodes {
            let Some(object) = node.object.as_ref().filter(|object| object.selected) else { continue };
            let report = node.report.as_ref().filter(|report| report.owner.as_ref() == Some(&object.uid));
            let files = report.and_then(|report| report.files.as_ref());
            let reported = files.and_then(|files| files.get(name));
            let want = profile.facts.content.as_ref().ok().map(ContentHash::short);
            let same = want.is_some() && reported == want.as_ref();
            let down =
                node.agents_down_since().is_some_and(|since| since.as_second() + 300 <= now.as_second());
            let young = now.as_second() < object.created.min(node.first_seen()).as_second() + 120;
            let unreachable = (files.is_some() || !young) && !object.reachable;
            let count = if files.is_none() && young {
                &mut tally.joining
            } else if unreachable {
                &mut tally.unreachable
            } else if down || files.is_none() {
                &mut tally.pending
            } else if same {
                &mut tally.ready
            } else if want.is_some() && report.is_some_and(|report| report.problems.contains_key(name)) {
                &mut tally.failed
            } else {
                &mut tally.pending
            };
            let only = profile.facts.node_selector.as_ref().map(|selector| &selector.match_labels["pool"]);
            let meant = only.is_none_or(|only| object.labels["pool"] == *only);
            *count += u32::from(meant);
            let stuck = report.is_some_and(|report| report.problems.contains_key(name));
            tally.holding += u32::from(!unreachable && (reported.is_some() || stuck));
            *lacking.get_mut(node_name).unwrap() +=
                u32::from(meant && want.is_some() && !profile.facts.removal_approved && !same);
        }
        tallies.insert(name.clone(), tally);
    }
    (tallies, lacking)
}

/// How many pods and containers are older than the file of each profile, computed from nothing but the facts.
fn recount_outdated(index: &Index, pods: &BTreeMap<String, PodFacts>) -> BTreeMap<String, Outdated> {
    let mut all = BTreeMap::new();
    for (name, profile) in &index.profiles {
        let mut outdated = Outdated::default();
        for pod in pods.values() {
            if profile.facts.removal_approved {
                continue;
            }
            let node = pod.node.as_ref().and_then(|node| index.nodes.get(node));
            let uid = node.and_then(|node| Some(&node.object.as_ref()?.uid));
            let report = node.and_then(|node| node.report.as_ref());
            let report = report.filter(|it| uid.is_some() && it.owner.as_ref() == uid);
            let report = report.and_then(|report| Some((report, report.files.as_ref()?)));
            let want = profile.facts.content.as_ref().ok().map(ContentHash::short);
            // `None` if nobody can tell.
            let is_older = |it: &RunningUnder| {
                let (report, files) = report?;
                match (want, files.get(name)) {
                    (Some(want), has) if has != Some(&want) => Some(true),
                    (None, None) => None,
                    _ => Some(report.changed.as_ref()?.get(name).is_some_and(|changed| {
                        it.created_after.is_none_or(|after| after < *changed)
                            && it.started.as_second() <= changed.as_second() + 240
                    })),
                }
            };
            let under = pod.running.iter().filter(|it| it.profile == *name);
            let judged: Vec<_> = under.map(is_older).collect();
            let count = |verdict| judged.iter().filter(|it| **it == verdict).count() as u32;
            outdated.containers += count(Some(true));
            outdated.pods += count(Some(true)).min(1);
            outdated.unknown_containers += count(None);
            outdated.unknown_pods += count(None).min(1);
        }
        all.insert(name.clone(), outdated);
    }
    all
}

proptest! {
    #[test]
    fn any_updates_in_any_order_give_the_counts_of_a_naive_recomputation(updates in vec(update(), 1..60)) {
        let mut index = Index::new("profiles");
        let mut pods = BTreeMap::new();
        let mut second = 0;
        for (number, update) in (1u32..).zip(&updates) {
            match user_pod(update) {
                Some((uid, Some(pod))) => _ = pods.insert(uid, pod),
                Some((uid, None)) => _ = pods.remove(&uid),
                None => {}
            }
            if let Update::Time { seconds } = update {
                second += seconds;
            }
            deliver(&mut index, update, at(second), number);
            // A reconciliation updates the states of the nodes to the present time.
            deliver(&mut index, &Update::Time { seconds: 0 }, at(second), number);
            let (tallies, lacking) = recount(&index, at(second));
            let counted: BTreeMap<_, _> = index.profiles().map(|(name, tally, ..)| (name.to_owned(), *tally)).collect();
            prop_assert_eq!(counted, tallies);
            let counted: BTreeMap<_, _> =
                index.profiles.keys().map(|name| (name.clone(), index.outdated(name))).collect();
            prop_assert_eq!(counted, recount_outdated(&index, &pods));
            for profile in index.profiles.values() {
                let named = (profile.pending.len(), profile.failed.len());
                prop_assert_eq!(named, (profile.tally.pending as usize, profile.tally.failed as usize));
            }
            let counted: BTreeMap<_, _> = index.nodes.iter().map(|(name, node)| (name.clone(), node.lacking())).collect();
            prop_assert_eq!(counted, lacking);
        }
    }

    #[test]
    fn a_profile_with_a_status_to_write_is_queued_and_a_deferred_one_has_a_timer(updates in vec((update(), any::<bool>()), 1..60)) {
        let mut index = Index::new("profiles");
        let (mut due, mut planned) = (BTreeSet::new(), BTreeMap::<String, Timestamp>::new());
        let mut second = 0;
        for (number, (update, reconcile)) in (1u32..).step_by(2).zip(&updates) {
            if let Update::Time { seconds } = update {
                second += seconds % 10;
            }
            let now = at(second);
            deliver(&mut index, update, now, number);
            due.extend(index.take_dirty().profiles);
            planned.retain(|name, time| *time > now || {
                due.insert(name.clone());
                false
            });
            for name in if *reconcile { std::mem::take(&mut due) } else { BTreeSet::new() } {
                planned.remove(&name);
                let Some(decision) = index.decide_profile(&name, now) else { continue };
                planned.extend(decision.requeue_at.map(|time| (name.clone(), time)));
                if let ProfileOperation::WriteStatus { status, .. } = decision.operation {
                    let mut facts = index.profiles[&name].facts.clone();
                    facts.version.resource_version = (number + 1).to_string();
                    facts.removal_approved = status.removal.is_some();
                    facts.status = Some((*status).clone());
                    index.apply_profile(facts, UpdateSource::Answer, now);
                    index.status_written(&name, &status, now);
                }
            }
            due.extend(index.take_dirty().profiles);
            for name in super::profile_uids(&index).into_keys().filter(|name| !due.contains(name)) {
                let decision = index.profile_decision(&name, now).unwrap();
                prop_assert!(matches!(decision.operation, ProfileOperation::Nothing | ProfileOperation::Defer), "{name}: {decision:?}");
                let planned = planned.get(&name);
                prop_assert!(decision.requeue_at.is_none_or(|time| planned.is_some_and(|planned| *planned <= time)), "{name}: {decision:?}, {planned:?}");
            }
        }
    }
}
