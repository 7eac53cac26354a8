//! `verify`: every node's report against the contents as they stand in the spec.
//!
//! The operator's status is not believed but checked, too: the hash is made here. What the agents report is believed,
//! as nobody else can read the nodes' disks.

use std::fmt;

use api::conditions::node as reasons;
use profile::{ContentHash, ShortHash};
use serde::Serialize;

use crate::facts::{Agents, NodeFacts, ProfileSummary, Snapshot};
use crate::show::{NO_PROFILES, Paint, Table, Tone, count};

/// What was compared, and what differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyView {
    /// Whether nothing differs.
    pub verified: bool,
    /// Profiles that were compared.
    pub profiles: usize,
    /// Nodes that should hold them.
    pub nodes: usize,
    /// Files that these nodes should hold of these profiles.
    pub wanted: usize,
    /// Files of these that are as they should be.
    pub right: usize,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Names of `NodeProfileStatuses` that were not looked at, because there is no such Node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

/// Something that is not as the spec says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The profile; absent where a node as a whole differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The node; absent where it is not about a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What kind of difference it is.
    pub kind: Kind,
    /// What is there instead, for a person.
    pub message: String,
}

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// The contents are no valid profile.
    InvalidProfile,
    /// The operator's status is about other contents.
    StatusDiffers,
    /// The node has no file of the profile.
    Missing,
    /// The node's file has other contents.
    OtherContents,
    /// The node has a file of a profile that there is not, or that may go.
    Leftover,
    /// The node's agent has never reported.
    NoReport,
    /// The node's report is there, but nobody watches its files now.
    Unwatched,
    /// There is no node to ask.
    NoNodes,
}

impl Kind {
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

impl fmt::Display for Kind {
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
        let mut differences: Vec<_> = profiles.iter().flat_map(|profile| of_object(profile)).collect();
        let mut right = 0;
        let (gone, nodes): (Vec<_>, Vec<_>) =
            snapshot.nodes.values().partition(|node| snapshot.is_gone(&node.name));
        for node in &nodes {
            let found = of_node(node, &profiles, snapshot, only);
            right += profiles
                .iter()
                .filter(|profile| {
                    profile.wanted().is_some_and(|wanted| node.held(&profile.name) == Some(wanted))
                })
                .count();
            differences.extend(found);
        }
        let unreported: Vec<_> = snapshot.unreported().collect();
        differences.extend(unreported.iter().map(|(node, pod)| Difference {
            profile: None,
            node: Some((*node).to_owned()),
            kind: Kind::NoReport,
            message: format!("its agent is {pod}, and nobody waits for its report: does the operator run?"),
        }));
        let nodes = nodes.len() + unreported.len();
        if nodes == 0 {
            differences.push(Difference {
                profile: None,
                node: None,
                kind: Kind::NoNodes,
                message: "no node has a report: does the operator run?".to_owned(),
            });
        }
        Self {
            verified: differences.is_empty(),
            profiles: profiles.len(),
            nodes,
            wanted: profiles.iter().filter(|profile| profile.wanted().is_some()).count() * nodes,
            right,
            differences,
            gone: gone.into_iter().map(|node| node.name.clone()).collect(),
        }
    }

    /// What an answer about this snapshot leaves out.
    #[must_use]
    pub fn remarks(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.profiles == 0 {
            remarks.push(NO_PROFILES.to_owned());
        }
        if matches!(snapshot.agents, Agents::Unknown) {
            remarks.push(
                "the agents' pods may not be listed: only nodes with a report were looked at".to_owned(),
            );
        }
        remarks.extend(self.gone.iter().map(|node| {
            format!("not looked at: the NodeProfileStatus {node}, because there is no such Node; the operator removes it")
        }));
        // Of a node that there is not no agent lives.
        let of_nodes = self.differences.iter().any(|difference| {
            let node = difference.node.as_ref().filter(|node| snapshot.nodes.contains_key(*node));
            node.is_some() && matches!(difference.kind, Kind::NoReport | Kind::Unwatched)
        });
        if of_nodes && snapshot.existing.is_none() {
            remarks.push(
                "the Nodes may not be listed: one that no longer exists cannot be told from one that is behind"
                    .to_owned(),
            );
        }
        remarks
    }

    /// The view for a person.
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

/// What is wrong with a profile itself.
fn of_object(profile: &ProfileSummary) -> Option<Difference> {
    let differs =
        |kind, message| Some(Difference { profile: Some(profile.name.clone()), node: None, kind, message });
    let hash = match &profile.content {
        Ok(hash) => hash,
        Err(error) => return differs(Kind::InvalidProfile, error.clone()),
    };
    match profile.status.as_ref().and_then(|status| status.content_hash.as_deref()) {
        Some(said) if said.parse::<ContentHash>().as_ref() == Ok(hash) => None,
        Some(said) => {
            differs(Kind::StatusDiffers, format!("the status says {said}, the contents have {hash}"))
        }
        None => differs(Kind::StatusDiffers, "the status says no hash: does the operator run?".to_owned()),
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
        return vec![differs(None, Kind::NoReport, "its agent has never reported".to_owned())];
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
    found.extend(unwatched.map(|message| differs(None, Kind::Unwatched, message)));
    for profile in profiles {
        let (held, wanted) = (node.held(&profile.name), profile.wanted());
        let problem = report.problems.iter().find(|problem| problem.name == profile.name);
        let why = problem.map(|it| format!("; {}: {}", it.reason, it.message)).unwrap_or_default();
        let difference = match (held, wanted) {
            (Some(held), Some(wanted)) if held != wanted => {
                let message = format!("a file with {held}, wanted is {wanted}{why}");
                Some((Kind::OtherContents, message))
            }
            (None, Some(_)) => Some((Kind::Missing, format!("no file of ours{why}"))),
            (Some(held), None) if profile.removal_approved => {
                Some((Kind::Leftover, leftover(held, "a profile that may go")))
            }
            _ => None,
        };
        found.extend(difference.map(|(kind, message)| differs(Some(&profile.name), kind, message)));
    }
    if only.is_none() {
        let nobodys = report.files.keys().filter(|name| !snapshot.profiles.contains_key(*name));
        found.extend(nobodys.filter_map(|name| {
            let message = leftover(node.held(name)?, "a profile that there is not");
            Some(differs(Some(name), Kind::Leftover, message))
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
    fn whatever_differs_is_named() {
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
    fn a_node_that_only_its_agents_pod_tells_of_is_not_verified() {
        let mut snapshot = snapshot(vec![audit()], vec![good("node-1")]);
        snapshot.agents = agents(&[("node-1", true, 1), ("node-2", true, 1)]);
        let view = VerifyView::of(&snapshot, None);
        assert!(!view.verified);
        assert_eq!((view.nodes, view.wanted, view.right), (2, 2, 1));
        let [difference] = &view.differences[..] else { panic!("{view:?}") };
        assert_eq!((difference.node.as_deref(), difference.kind), (Some("node-2"), Kind::NoReport));
        assert_eq!(view.remarks(&snapshot), Vec::<String>::new());
    }

    #[test]
    fn what_was_not_looked_at_is_said() {
        let unseen = snapshot(vec![audit()], vec![good("node-1")]);
        let view = VerifyView::of(&unseen, None);
        assert!(view.verified);
        insta::assert_snapshot!(view.remarks(&unseen).join("\n"), @"the agents' pods may not be listed: only nodes with a report were looked at");
        let mut empty = snapshot(vec![], vec![good("node-1")]);
        empty.agents = agents(&[("node-1", true, 1)]);
        assert_eq!(VerifyView::of(&empty, None).remarks(&empty), ["there are no profiles"]);
    }

    /// What a backup brings back, or a copied manifest: no agent will ever report for it.
    #[test]
    fn what_is_kept_of_a_node_that_there_is_not_makes_nothing_unverified() {
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
        insta::assert_snapshot!(unknown.remarks(&snapshot).join("\n"), @"the Nodes may not be listed: one that no longer exists cannot be told from one that is behind");
        snapshot.existing = Some(["node-1".to_owned()].into());
        let view = VerifyView::of(&snapshot, None);
        assert_eq!((view.verified, view.nodes, view.wanted, view.right), (true, 1, 1, 1));
        assert_eq!(view.gone, ["node-2", "node-3"]);
        insta::assert_snapshot!(view.remarks(&snapshot).join("\n"), @r"
        not looked at: the NodeProfileStatus node-2, because there is no such Node; the operator removes it
        not looked at: the NodeProfileStatus node-3, because there is no such Node; the operator removes it
        ");
        snapshot.existing = Some(["node-9".to_owned()].into());
        assert_eq!(VerifyView::of(&snapshot, None).differences[0].kind, Kind::NoNodes);
    }

    #[test]
    fn nobody_to_ask_is_no_proof() {
        let view = VerifyView::of(&snapshot(vec![audit()], vec![]), None);
        assert!(!view.verified);
        assert_eq!(view.differences[0].kind, Kind::NoNodes);
    }
}
