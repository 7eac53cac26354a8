//! The index against a naive recomputation: any news in any order must give the same counts.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// News that a watch can bring.
#[derive(Debug, Clone)]
enum News {
    Profile { name: u8, uid: u32, content: Option<u8>, approved: bool },
    ProfileGone { name: u8, uid: u32 },
    Node { name: u8, uid: u32, created: i64, selected: bool, reachable: bool },
    NodeGone { name: u8, uid: u32 },
    Report { node: u8, uid: u32, owner: u32, files: Option<Vec<(u8, u8)>>, problems: Vec<u8> },
    ReportGone { node: u8, uid: u32 },
    Agent { node: u8, ready: bool },
    AgentGone { node: u8 },
    Time { seconds: i64 },
}

fn news() -> impl Strategy<Value = News> {
    let (name, uid, content) = (0..4u8, 1..3u32, 0..3u8);
    prop_oneof![
        (name.clone(), uid.clone(), proptest::option::of(content.clone()), proptest::bool::weighted(0.2))
            .prop_map(|(name, uid, content, approved)| News::Profile { name, uid, content, approved }),
        (name.clone(), uid.clone()).prop_map(|(name, uid)| News::ProfileGone { name, uid }),
        (
            name.clone(),
            uid.clone(),
            -200..50i64,
            proptest::bool::weighted(0.8),
            proptest::bool::weighted(0.8)
        )
            .prop_map(|(name, uid, created, selected, reachable)| News::Node {
                name,
                uid,
                created,
                selected,
                reachable
            }),
        (name.clone(), uid.clone()).prop_map(|(name, uid)| News::NodeGone { name, uid }),
        (
            name.clone(),
            uid.clone(),
            uid.clone(),
            proptest::option::weighted(0.9, vec((name.clone(), content), 0..4)),
            vec(name.clone(), 0..2)
        )
            .prop_map(|(node, uid, owner, files, problems)| News::Report {
                node,
                uid,
                owner,
                files,
                problems
            }),
        (name.clone(), uid).prop_map(|(node, uid)| News::ReportGone { node, uid }),
        (name.clone(), any::<bool>()).prop_map(|(node, ready)| News::Agent { node, ready }),
        name.prop_map(|node| News::AgentGone { node }),
        (1..200i64).prop_map(|seconds| News::Time { seconds }),
    ]
}

fn deliver(index: &mut Index, news: &News, now: Timestamp, number: u32) {
    match news.clone() {
        News::Profile { name, uid, content, approved } => {
            let status = approved.then(|| SeccompProfileStatus {
                removal: Some(Removal::Approved.into()),
                ..Default::default()
            });
            let content = content.map(hash).ok_or_else(|| "bad".to_owned());
            let facts = ProfileFacts {
                version: version(uid, number),
                content,
                removal_approved: approved,
                status,
                ..profile(&format!("p{name}"), 0)
            };
            index.apply_profile(facts, Source::Watch, now);
        }
        News::ProfileGone { name, uid } => {
            index.delete_profile(&format!("p{name}"), &format!("uid-{uid}"), now)
        }
        News::Node { name, uid, created, selected, reachable } => {
            let name = format!("n{name}");
            let uid = format!("{name}-{uid}");
            index.apply_node(
                NodeFacts { name, uid, created: at(created), selected, reachable, answers: reachable },
                now,
            );
        }
        News::NodeGone { name, uid } => {
            index.delete_node(&format!("n{name}"), &format!("n{name}-{uid}"), now)
        }
        News::Report { node, uid, owner, files, problems } => {
            let node = format!("n{node}");
            let problem = |name: &u8| {
                let name = format!("p{name}");
                let (reason, message) = ("Io".to_owned(), format!("{number}"));
                (name.clone(), FileProblem { name, state: FileState::Failed.into(), reason, message })
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
                    ..report(&node, &[])
                },
                Source::Watch,
                now,
            );
        }
        News::ReportGone { node, uid } => {
            index.delete_report(&format!("n{node}"), &format!("uid-{uid}"), now)
        }
        News::Agent { node, ready } => index.apply_pod(agent(&format!("n{node}"), ready), now),
        News::AgentGone { node } => index.delete_pod(&format!("agent-n{node}"), now),
        News::Time { .. } => {
            for node in index.nodes.keys().cloned().collect::<Vec<_>>() {
                index.pass_time(&node, now);
            }
        }
    }
}

/// The counts from nothing but the facts.
fn recount(index: &Index, now: Timestamp) -> (BTreeMap<String, Tally>, BTreeMap<String, u32>) {
    let mut tallies = BTreeMap::new();
    let mut lacking: BTreeMap<_, _> = index.nodes.keys().map(|name| (name.clone(), 0)).collect();
    for (name, profile) in &index.profiles {
        let mut tally = Tally::default();
        for (node_name, node) in &index.nodes {
            let Some(object) = node.object.as_ref().filter(|object| object.selected) else { continue };
            let report = node.report.as_ref().filter(|report| report.owner.as_ref() == Some(&object.uid));
            let files = report.and_then(|report| report.files.as_ref());
            let held = files.and_then(|files| files.get(name));
            let want = profile.facts.content.as_ref().ok().map(ContentHash::short);
            let same = want.is_some() && held == want.as_ref();
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
            *count += 1;
            let stuck = report.is_some_and(|report| report.problems.contains_key(name));
            tally.holding += u32::from(!unreachable && (held.is_some() || stuck));
            *lacking.get_mut(node_name).unwrap() +=
                u32::from(want.is_some() && !profile.facts.removal_approved && !same);
        }
        tallies.insert(name.clone(), tally);
    }
    (tallies, lacking)
}

proptest! {
    #[test]
    fn any_news_in_any_order_gives_the_counts_of_a_naive_recomputation(news in vec(news(), 1..60)) {
        let mut index = Index::new("profiles");
        let mut second = 0;
        for (number, news) in (1u32..).zip(&news) {
            if let News::Time { seconds } = news {
                second += seconds;
            }
            deliver(&mut index, news, at(second), number);
            // Time may have passed since a node's class was last looked at; a look brings it up to date.
            deliver(&mut index, &News::Time { seconds: 0 }, at(second), number);
            let (tallies, lacking) = recount(&index, at(second));
            let counted: BTreeMap<_, _> = index.profiles().map(|(name, tally, ..)| (name.to_owned(), *tally)).collect();
            prop_assert_eq!(counted, tallies);
            for profile in index.profiles.values() {
                let named = (profile.pending.len(), profile.failed.len());
                prop_assert_eq!(named, (profile.tally.pending as usize, profile.tally.failed as usize));
            }
            let counted: BTreeMap<_, _> = index.nodes.iter().map(|(name, node)| (name.clone(), node.lacking())).collect();
            prop_assert_eq!(counted, lacking);
        }
    }

    #[test]
    fn what_is_to_be_written_is_due_and_what_may_wait_is_planned(news in vec((news(), any::<bool>()), 1..60)) {
        let mut index = Index::new("profiles");
        let (mut due, mut planned) = (BTreeSet::new(), BTreeMap::<String, Timestamp>::new());
        let mut second = 0;
        for (number, (news, look)) in (1u32..).step_by(2).zip(&news) {
            if let News::Time { seconds } = news {
                second += seconds % 10;
            }
            let now = at(second);
            deliver(&mut index, news, now, number);
            due.extend(index.take_dirty().profiles);
            planned.retain(|name, time| *time > now || {
                due.insert(name.clone());
                false
            });
            for name in if *look { std::mem::take(&mut due) } else { BTreeSet::new() } {
                planned.remove(&name);
                let Some(verdict) = index.verdict_on_profile(&name, now) else { continue };
                planned.extend(verdict.requeue_at.map(|time| (name.clone(), time)));
                if let ProfileOperation::WriteStatus { status, .. } = verdict.step {
                    let mut facts = index.profiles[&name].facts.clone();
                    facts.version.resource_version = (number + 1).to_string();
                    facts.removal_approved = status.removal.is_some();
                    facts.status = Some((*status).clone());
                    index.apply_profile(facts, Source::Answer, now);
                    index.status_written(&name, &status, now);
                }
            }
            due.extend(index.take_dirty().profiles);
            for name in super::profile_uids(&index).into_keys().filter(|name| !due.contains(name)) {
                let verdict = index.judge_profile(&name, now).unwrap();
                prop_assert!(matches!(verdict.step, ProfileOperation::Nothing | ProfileOperation::HoldBack), "{name}: {verdict:?}");
                let planned = planned.get(&name);
                prop_assert!(verdict.requeue_at.is_none_or(|time| planned.is_some_and(|planned| *planned <= time)), "{name}: {verdict:?}, {planned:?}");
            }
        }
    }
}
