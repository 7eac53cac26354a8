//! `status`: the state of each profile, and the nodes that are behind and why.
//!
//! The facts become a view here; `text` is the view as people read it.

#[cfg(test)]
mod tests;
mod text;

use api::{OpenEnum, ProfileWarning, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;

use crate::facts::{ProfileSummary, Snapshot};
use crate::node_profile_state::NodeProfileState;

/// Some profiles, or one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The profiles.
    pub profiles: Vec<ProfileStatus>,
    /// Whether a single profile was requested; then every node is shown.
    #[serde(skip)]
    single: bool,
}

/// One profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// Its name.
    pub name: String,
    /// The state from the operator's status, or `Unknown` without one.
    pub state: String,
    /// Nodes that hold it, of those that should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Since when it has been ready or not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// What the operator found in the current contents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ProfileWarning>,
    /// Whether a live pod uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use: Option<bool>,
    /// What a pod writes into `localhostProfile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localhost_profile: Option<String>,
    /// SHA-256 of the file that every node should hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// The state of each node, the worst first.
    pub nodes: Vec<NodeProfileState>,
}

impl StatusView {
    /// All profiles.
    #[must_use]
    pub fn of_all(snapshot: &Snapshot) -> Self {
        let profiles = snapshot.profiles.values().map(|it| ProfileStatus::of(it, snapshot)).collect();
        Self { profiles, single: false }
    }

    /// One profile.
    #[must_use]
    pub fn of_one(profile: &ProfileSummary, snapshot: &Snapshot) -> Self {
        Self { profiles: vec![ProfileStatus::of(profile, snapshot)], single: true }
    }
}

impl ProfileStatus {
    /// The state of a profile.
    #[must_use]
    pub fn of(profile: &ProfileSummary, snapshot: &Snapshot) -> Self {
        let status = profile.status.as_ref();
        let ready = profile.condition(conditions::READY);
        Self {
            name: profile.name.clone(),
            state: status
                .and_then(|status| status.state.as_ref())
                .map_or("Unknown", OpenEnum::as_str)
                .to_owned(),
            ready: status.and_then(|status| status.ready.clone()),
            since: ready.map(|ready| ready.last_transition_time.clone()),
            why: why(profile, ready),
            warnings: status
                .filter(|_| profile.is_current())
                .map(|status| status.warnings.clone())
                .unwrap_or_default(),
            in_use: status.and_then(|status| status.in_use),
            localhost_profile: status.and_then(|status| status.localhost_profile.clone()),
            content_hash: profile.content.as_ref().ok().map(ToString::to_string),
            nodes: snapshot.node_states(profile),
        }
    }

    /// The nodes where something is wrong.
    pub fn behind(&self) -> impl Iterator<Item = &NodeProfileState> {
        self.nodes.iter().filter(|node_state| !node_state.is_right())
    }
}

/// What is wrong with a profile, from its conditions.
fn why(profile: &ProfileSummary, ready: Option<&Condition>) -> Vec<String> {
    let mut why = Vec::new();
    match &profile.status {
        None => why.push(
            "the operator has not reconciled it, which is normal for some seconds after its creation; if it lasts, \
             does it run?"
                .to_owned(),
        ),
        Some(status) if !profile.is_current() => why.push(format!(
            "the status is about generation {}, not {}",
            status.observed_generation.unwrap_or_default(),
            profile.generation.unwrap_or_default()
        )),
        Some(_) => {}
    }
    // For rejected contents the operator's message would be the same, because it uses the same parser.
    if let Err(error) = &profile.content {
        why.push(error.clone());
    }
    if let Some(ready) = ready.filter(|ready| ready.status != "True" && profile.content.is_ok()) {
        why.push(format!("{}: {}", ready.reason, ready.message));
    }
    if let Some(deleting) = profile.condition(conditions::DELETING) {
        why.push(format!("{}: {}", deleting.reason, deleting.message));
    }
    why
}

/// Reason and message of a node where something is wrong.
#[must_use]
pub fn because(node_state: &NodeProfileState) -> String {
    match (&node_state.reason, &node_state.message) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (reason, message) => reason.clone().or_else(|| message.clone()).unwrap_or_default(),
    }
}
