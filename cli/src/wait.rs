//! `wait`: whether the goal is reached.

use std::fmt::Write;

use api::conditions;
use clap::ValueEnum;

use crate::facts::{ProfileSummary, Snapshot};
use crate::show::escaped;
use crate::status::because;

/// The maximum number of nodes to name for one profile.
const MAX_NAMED: usize = 10;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// Every node that must hold the current contents does
    Ready,
    /// The profile no longer exists, and no reachable node has its file
    Deleted,
}

/// The progress towards the goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The goal is reached.
    Reached(String),
    /// Not yet, and why, in one or several lines, in which control characters are escaped.
    NotYet(String),
    /// The goal cannot be reached unless somebody changes something.
    Never(String),
}

impl Progress {
    /// The progress of a profile.
    #[must_use]
    pub fn of(snapshot: &Snapshot, name: &str, goal: WaitFor) -> Self {
        match (snapshot.profiles.get(name), goal) {
            (None, WaitFor::Deleted) => Self::Reached(format!("{name} is gone")),
            (None, WaitFor::Ready) => Self::Never(format!("{name} is gone: somebody deleted it")),
            (Some(profile), WaitFor::Ready) => ready(profile, snapshot),
            (Some(profile), WaitFor::Deleted) => deleted(profile, snapshot),
        }
    }
}

fn ready(profile: &ProfileSummary, snapshot: &Snapshot) -> Progress {
    let name = &profile.name;
    if profile.deleted {
        return Progress::Never(format!("{name} is being deleted"));
    }
    if let Err(error) = &profile.content {
        return Progress::Never(format!("{name} is not a valid profile: {error}"));
    }
    let said = profile.condition(conditions::READY);
    if profile.is_ready() {
        let message = said.map(|ready| ready.message.as_str()).unwrap_or_default();
        return Progress::Reached(format!("{name} is ready: {message}"));
    }
    let why = match said {
        Some(ready) if profile.is_current() => {
            escaped(format!("{name} is not ready: {}: {}", ready.reason, ready.message))
        }
        _ => {
            format!("{name} is not ready: the operator has not reconciled its present contents; does it run?")
        }
    };
    Progress::NotYet(why + &nodes(profile, snapshot))
}

fn deleted(profile: &ProfileSummary, snapshot: &Snapshot) -> Progress {
    let name = &profile.name;
    if !profile.deleted {
        return Progress::NotYet(format!(
            "{name} is there, and nobody has deleted it: kubectl delete seccompprofiles.seccomp.imjasonh.dev {name}"
        ));
    }
    match profile.condition(conditions::DELETING) {
        Some(deleting) => {
            let nodes = if profile.removal_approved { nodes(profile, snapshot) } else { String::new() };
            let why = format!("{name} is being deleted: {}: {}", deleting.reason, deleting.message);
            Progress::NotYet(escaped(why) + &nodes)
        }
        None => Progress::NotYet(format!(
            "{name} is being deleted, and the operator has not written what the deletion waits for; does it run?"
        )),
    }
}

/// A line for each of the first nodes that are behind.
fn nodes(profile: &ProfileSummary, snapshot: &Snapshot) -> String {
    let node_states = snapshot.node_states(profile);
    let behind: Vec<_> = node_states.iter().filter(|node_state| !node_state.state.is_right()).collect();
    let mut lines = String::new();
    for node_state in behind.iter().take(MAX_NAMED) {
        // Writing to memory does not fail.
        let state = format!("{}: {}, {}", node_state.node, node_state.state, because(node_state));
        let _ = write!(lines, "\n  {}", escaped(state));
    }
    if behind.len() > MAX_NAMED {
        let _ = write!(lines, "\n  and {} more", behind.len() - MAX_NAMED);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, profile, profile_with, report, snapshot};
    use serde_json::json;

    fn of(profile: ProfileSummary, goal: WaitFor) -> Progress {
        let node = node("node-1", None, report(json!({}), json!([])));
        Progress::of(&snapshot(vec![profile], vec![node]), "audit", goal)
    }

    #[test]
    fn ready_is_about_the_present_contents_alone() {
        let ready = || profile_with("audit", "Ready", ("True", "AllNodesReady", "2 of 2 nodes hold it"), 40);
        assert_eq!(
            of(ready(), WaitFor::Ready),
            Progress::Reached("audit is ready: 2 of 2 nodes hold it".into())
        );
        let mut changed = ready();
        changed.generation = Some(2);
        insta::assert_snapshot!(format!("{:?}", of(changed, WaitFor::Ready)),
            @r#"NotYet("audit is not ready: the operator has not reconciled its present contents; does it run?\n  node-1: Pending, NoFile: it has no file yet")"#);
    }

    #[test]
    fn waiting_names_the_nodes_that_are_behind_and_why() {
        insta::assert_snapshot!(format!("{:?}", of(profile("audit", 50), WaitFor::Ready)),
            @r#"NotYet("audit is not ready: RollingOut: 0 of 1 nodes hold it\n  node-1: Pending, NoFile: it has no file yet")"#);
        let forged = profile_with("audit", "Progressing", ("False", "RollingOut", "x\naudit is ready"), 50);
        let Progress::NotYet(why) = of(forged, WaitFor::Ready) else { panic!("it is ready") };
        assert_eq!(why.lines().next(), Some("audit is not ready: RollingOut: x\\naudit is ready"));
        assert!(
            matches!(of(profile("audit", 50), WaitFor::Deleted), Progress::NotYet(why) if why.ends_with("kubectl delete seccompprofiles.seccomp.imjasonh.dev audit"))
        );
    }

    #[test]
    fn a_goal_that_cannot_be_reached_is_not_waited_for() {
        let mut invalid = profile("audit", 50);
        invalid.content = Err("spec.contents: is required".into());
        let mut deleted = profile("audit", 50);
        deleted.deleted = true;
        for profile in [invalid, deleted, profile("other", 50)] {
            assert!(matches!(of(profile, WaitFor::Ready), Progress::Never(_)));
        }
    }

    #[test]
    fn waiting_for_a_deletion_shows_what_it_waits_for() {
        let mut going = profile("audit", 50);
        going.deleted = true;
        insta::assert_snapshot!(format!("{:?}", of(going.clone(), WaitFor::Deleted)),
            @r#"NotYet("audit is being deleted, and the operator has not written what the deletion waits for; does it run?")"#);
        let condition = going.status.as_mut().unwrap().conditions.first_mut().unwrap();
        condition.type_ = "Deleting".into();
        (condition.reason, condition.message) = ("InUse".into(), "1 pod uses it: shop/web".into());
        insta::assert_snapshot!(format!("{:?}", of(going, WaitFor::Deleted)), @r#"NotYet("audit is being deleted: InUse: 1 pod uses it: shop/web")"#);
        assert_eq!(of(profile("other", 50), WaitFor::Deleted), Progress::Reached("audit is gone".into()));
    }
}
