//! `verify`: compares every node's report with the contents in the spec.
//!
//! The operator's status is checked too: the hash is computed here. The agents' reports are trusted, because only the
//! agents can read the nodes' disks.

use std::fmt;

use api::conditions::node as reasons;
use profile::{ContentHash, ShortHash};
use serde::Serialize;

use crate::facts::{Agents, NodeFacts, ProfileSummary, Snapshot};
use crate::show::{NO_PROFILES, Paint, Table, Tone, count};

/// The result of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyView {
    /// Whether there is no difference.
    pub verified: bool,
    /// Profiles that were compared.
    pub profiles: usize,
    /// Nodes that should hold them.
    pub nodes: usize,
    /// Files of these profiles that these nodes should hold.
    pub wanted: usize,
    /// The number of these files that are right.
    pub right: usize,
    /// The differences.
    pub differences: Vec<Difference>,
    /// Names of `NodeProfileStatuses` that were not checked, because no such Node exists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

/// A difference from the spec.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The profile; absent if the difference is about a whole node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The node; absent if the difference is not about a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The kind of difference.
    pub kind: DifferenceKind,
    /// What was found instead, as readable text.
    pub message: String,
}

/// The kind of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum DifferenceKind {
    /// The contents are not a valid profile.
    InvalidProfile,
    /// The operator's status is about other contents, or missing.
    StatusDiffers,
    /// The node has no file of the profile.
    Missing,
    /// The node's file has other contents.
    OtherContents,
    /// The node has a file of a profile that does not exist, or whose removal is approved.
    Leftover,
    /// The node's agent has never reported.
    NoReport,
    /// The node has reported, but nothing watches its files now.
    Unwatched,
    /// No node has a report.
    NoNodes,
}

impl DifferenceKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::InvalidProfile,
        Self::StatusDiffers,
        Self::Missing,
        Self::OtherContents,
        Self::Leftover,
        Self::NoReport,
        Self::Unwatched,
        Self::NoNodes,
    ];
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl VerifyView {
    /// Compares all profiles, or the one of this name, with every node's report.
    #[must_use]
    pub fn of(snapshot: &Snapshot, only: Option<&str>) -> Self {
        let profiles: Vec<_> = snapshot
            .profiles
            .values()
            .filter(|profile| only.is_none_or(|only| only == profile.name))
            .collect();
        let mut differences: Vec<_> = profiles.iter().filter_map(|profile| of_object(profile)).collect();
        let is_wanted = |profile: &&&ProfileSummary| profile.wanted().is_some();
        let (mut right, mut wanted) = (0, 0);
        let (gone, nodes): (Vec<_>, Vec<_>) =
            snapshot.nodes.values().partition(|node| snapshot.is_gone(&node.name));
        for node in &nodes {
            let meant: Vec<_> = profiles.iter().copied().filter(|profile| !node.excludes(profile)).collect();
            let found = of_node(node, &meant, snapshot, only);
            wanted += meant.iter().filter(is_wanted).count();
            right += meant
                .iter()
                .filter(|profile| {
                    profile.wanted().is_some_and(|wanted| node.file_hash(&profile.name) == Some(wanted))
                })
                .count();
            differences.extend(found);
        }
        let unreported: Vec<_> = snapshot.unreported().collect();
        differences.extend(unreported.iter().map(|(node, pod)| Difference {
            profile: None,
            node: Some((*node).to_owned()),
            kind: DifferenceKind::NoReport,
            message: format!(
                "its agent is {pod}, and the operator has not created its report: does the operator run?"
            ),
        }));
        wanted += profiles.iter().filter(is_wanted).count() * unreported.len();
        let nodes = nodes.len() + unreported.len();
        if nodes == 0 {
            differences.push(Difference {
                profile: None,
                node: None,
                kind: DifferenceKind::NoNodes,
                message: "no node has a report: does the operator run?".to_owned(),
            });
        }
        Self {
            verified: differences.is_empty(),
            profiles: profiles.len(),
            nodes,
            wanted,
            right,
            differences,
            gone: gone.into_iter().map(|node| node.name.clone()).collect(),
        }
    }

    /// What the result does not cover.
    #[must_use]
    pub fn remarks(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.profiles == 0 {
            remarks.push(NO_PROFILES.to_owned());
        }
        if matches!(snapshot.agents, Agents::Unknown) {
            remarks
                .push("you may not list the agents' pods: only nodes with a report were checked".to_owned());
        }
        remarks.extend(self.gone.iter().map(|node| {
            format!("not checked: the NodeProfileStatus {node}, because no such Node exists; the operator removes it")
        }));
        // A node that does not exist has no agent.
        let of_nodes = self.differences.iter().any(|difference| {
            let node = difference.node.as_ref().filter(|node| snapshot.nodes.contains_key(*node));
            node.is_some() && matches!(difference.kind, DifferenceKind::NoReport | DifferenceKind::Unwatched)
        });
        if of_nodes && snapshot.existing.is_none() {
            remarks.push(
                "you may not list Nodes: a Node that no longer exists looks like one that is behind"
                    .to_owned(),
            );
        }
        remarks
    }

    /// The view as text.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let compared = format!(
            "{} on {}: {} of {} as the spec says",
            count(self.profiles, "profile"),
            count(self.nodes, "node"),
            self.right,
            count(self.wanted, "file"),
        );
        if self.verified {
            return format!("{}: {compared}\n", paint.text("Verified", Tone::Good));
        }
        let mut table = Table::new(["PROFILE", "NODE", "DIFFERENCE", "WHAT IS THERE"]);
        for difference in &self.differences {
            table.row([
                difference.profile.as_deref().unwrap_or("").into(),
                difference.node.as_deref().unwrap_or("").into(),
                crate::show::Cell::toned(difference.kind, Tone::Bad),
                (&difference.message).into(),
            ]);
        }
        let differ = paint.text("Not verified", Tone::Bad);
        format!(
            "{}\n{differ}: {compared}, {}\n",
            table.render(paint),
            count(self.differences.len(), "difference")
        )
    }
}

/// A problem of the profile itself.
fn of_object(profile: &ProfileSummary) -> Option<Difference> {
    let differs =
        |kind, message| Some(Difference { profile: Some(profile.name.clone()), node: None, kind, message });
    let hash = match &profile.content {
        Ok(hash) => hash,
        Err(error) => return differs(DifferenceKind::InvalidProfile, error.clone()),
    };
    match profile.status.as_ref().and_then(|status| status.content_hash.as_deref()) {
        Some(said) if said.parse::<ContentHash>().as_ref() == Ok(hash) => None,
        Some(said) => {
            differs(DifferenceKind::StatusDiffers, format!("the status has {said}, the contents have {hash}"))
        }
        None => differs(
            DifferenceKind::StatusDiffers,
            "the status has no hash: does the operator run?".to_owned(),
        ),
    }
}

fn of_node(
    node: &NodeFacts,
    profiles: &[&ProfileSummary],
    snapshot: &Snapshot,
    only: Option<&str>,
) -> Vec<Difference> {
    let differs = |profile: Option<&str>, kind, message: String| Difference {
        profile: profile.map(str::to_owned),
        node: Some(node.name.clone()),
        kind,
        message,
    };
    let Some(report) = &node.report else {
        return vec![differs(None, DifferenceKind::NoReport, "its agent has never reported".to_owned())];
    };
    let mut found = Vec::new();
    let unwatched = match node.reason() {
        Some(reasons::UNREACHABLE) => {
            Some("the node is not Ready in the cluster: its report may be old".to_owned())
        }
        Some(reasons::AGENT_DOWN) => Some("no agent is ready on it: its report may be old".to_owned()),
        _ => snapshot
            .agents
            .trouble(&node.name)
            .map(|(trouble, _)| format!("{trouble}: its report may be old")),
    };
    found.extend(unwatched.map(|message| differs(None, DifferenceKind::Unwatched, message)));
    for profile in profiles {
        let (held, wanted) = (node.file_hash(&profile.name), profile.wanted());
        let problem = report.problems.iter().find(|problem| problem.name == profile.name);
        let why = problem.map(|it| format!("; {}: {}", it.reason, it.message)).unwrap_or_default();
        let difference = match (held, wanted) {
            (Some(held), Some(wanted)) if held != wanted => {
                let message = format!("a file with {held} instead of {wanted}{why}");
                Some((DifferenceKind::OtherContents, message))
            }
            (None, Some(_)) => Some((DifferenceKind::Missing, format!("no file of the agent{why}"))),
            (Some(held), None) if profile.removal_approved => {
                Some((DifferenceKind::Leftover, leftover(held, "a profile whose removal is approved")))
            }
            _ => None,
        };
        found.extend(difference.map(|(kind, message)| differs(Some(&profile.name), kind, message)));
    }
    if only.is_none() {
        let nobodys = report.files.keys().filter(|name| !snapshot.profiles.contains_key(*name));
        found.extend(nobodys.filter_map(|name| {
            let message = leftover(node.file_hash(name)?, "a profile that does not exist");
            Some(differs(Some(name), DifferenceKind::Leftover, message))
        }));
    }
    found
}

fn leftover(held: ShortHash, of: &str) -> String {
    format!("a file with {held} of {of}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agents, node, profile, profile_with, report, snapshot};
    use serde_json::json;

    const HASH: &str = "ada4d9a50895dd58cd1fd2a2deb4d6c9";

    fn good(name: &str) -> NodeFacts {
        node(name, Some(("True", reasons::ALL_PROFILES, 10)), report(json!({ "audit": HASH }), json!([])))
    }

    fn audit() -> ProfileSummary {
        profile_with("audit", "Ready", ("True", "AllNodesReady", ""), 40)
    }

    #[test]
    fn every_file_as_the_spec_says_is_verified() {
        let mut snapshot = snapshot(vec![audit()], vec![good("node-1"), good("node-2")]);
        snapshot.agents = agents(&[("node-1", true, 1), ("node-2", true, 1)]);
        let view = VerifyView::of(&snapshot, None);
        assert!(view.verified);
        assert_eq!(
            view.render(Paint::Plain),
            "Verified: 1 profile on 2 nodes: 2 of 2 files as the spec says\n"
        );
    }

    #[test]
    fn every_difference_is_named() {
        let mut other = audit();
        other.status.as_mut().unwrap().content_hash = Some(format!("sha256:{}", "0".repeat(64)));
        let mut invalid = profile("invalid", 50);
        invalid.content = Err("spec.contents.defaultAction: is required".into());
        let mut going = profile("going", 50);
        (going.deleted, going.removal_approved) = (true, true);
        let conflict =
            json!([{ "name": "audit", "state": "Conflict", "reason": "NotOurs", "message": "somebody's" }]);
        let mut snapshot = snapshot(
            vec![other, invalid, going],
            vec![
                node("node-1", Some(("False", reasons::BEHIND, 88)), report(json!({}), conflict)),
                node(
                    "node-2",
                    None,
                    report(json!({ "audit": "0".repeat(32), "gone": HASH, "going": HASH }), json!([])),
                ),
                node(
                    "node-3",
                    Some(("False", reasons::AGENT_DOWN, 88)),
                    report(json!({ "audit": HASH }), json!([])),
                ),
                node(
                    "node-4",
                    Some(("Unknown", reasons::UNREACHABLE, 88)),
                    report(json!({ "audit": HASH }), json!([])),
                ),
                node("node-5", None, None),
                good("node-6"),
            ],
        );
        snapshot.agents =
            agents(&[("node-1", true, 1), ("node-2", true, 1), ("node-4", true, 1), ("node-6", false, 1)]);
        let view = VerifyView::of(&snapshot, None);
        assert!(!view.verified);
        insta::assert_snapshot!(view.render(Paint::Plain));
        insta::assert_snapshot!("one_profile", VerifyView::of(&snapshot, Some("going")).render(Paint::Plain));
    }

    #[test]
    fn a_node_with_an_agents_pod_and_without_a_report_is_not_verified() {
        let mut snapshot = snapshot(vec![audit()], vec![good("node-1")]);
        snapshot.agents = agents(&[("node-1", true, 1), ("node-2", true, 1)]);
        let view = VerifyView::of(&snapshot, None);
        assert!(!view.verified);
        assert_eq!((view.nodes, view.wanted, view.right), (2, 2, 1));
        let [difference] = &view.differences[..] else { panic!("{view:?}") };
        assert_eq!((difference.node.as_deref(), difference.kind), (Some("node-2"), DifferenceKind::NoReport));
        assert_eq!(view.remarks(&snapshot), Vec::<String>::new());
    }

    #[test]
    fn kinds_that_could_not_be_listed_are_named() {
        let unseen = snapshot(vec![audit()], vec![good("node-1")]);
        let view = VerifyView::of(&unseen, None);
        assert!(view.verified);
        insta::assert_snapshot!(view.remarks(&unseen).join("\n"), @"you may not list the agents' pods: only nodes with a report were checked");
        let mut empty = snapshot(vec![], vec![good("node-1")]);
        empty.agents = agents(&[("node-1", true, 1)]);
        assert_eq!(VerifyView::of(&empty, None).remarks(&empty), ["there are no profiles"]);
    }

    /// From a restored backup or a copied manifest: no agent will ever report for it.
    #[test]
    fn a_report_of_a_node_that_does_not_exist_does_not_fail_the_verification() {
        let mut snapshot = snapshot(
            vec![audit()],
            vec![
                good("node-1"),
                node("node-2", Some(("False", reasons::NO_REPORT, 88)), None),
                node("node-3", None, report(json!({ "audit": "0".repeat(32), "gone": HASH }), json!([]))),
            ],
        );
        snapshot.agents = agents(&[("node-1", true, 1)]);
        let unknown = VerifyView::of(&snapshot, None);
        assert!(!unknown.verified);
        insta::assert_snapshot!(unknown.remarks(&snapshot).join("\n"), @"you may not list Nodes: a Node that no longer exists looks like one that is behind");
        snapshot.existing = Some(["node-1".to_owned()].into());
        let view = VerifyView::of(&snapshot, None);
        assert_eq!((view.verified, view.nodes, view.wanted, view.right), (true, 1, 1, 1));
        assert_eq!(view.gone, ["node-2", "node-3"]);
        insta::assert_snapshot!(view.remarks(&snapshot).join("\n"), @r"
        not checked: the NodeProfileStatus node-2, because no such Node exists; the operator removes it
        not checked: the NodeProfileStatus node-3, because no such Node exists; the operator removes it
        ");
        snapshot.existing = Some(["node-9".to_owned()].into());
        assert_eq!(VerifyView::of(&snapshot, None).differences[0].kind, DifferenceKind::NoNodes);
    }

    #[test]
    fn without_reports_nothing_is_verified() {
        let view = VerifyView::of(&snapshot(vec![audit()], vec![]), None);
        assert!(!view.verified);
        assert_eq!(view.differences[0].kind, DifferenceKind::NoNodes);
    }
}
