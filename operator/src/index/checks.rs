//! Which profiles have yet to be checked, and what was found.
//!
//! A check takes some milliseconds for the largest profiles. So it runs elsewhere, before the decision about a profile,
//! once for each contents and each set of the nodes' architectures; the decision uses the result.

use std::sync::Arc;

use api::{SeccompProfileStatus, Text, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use profile::ContentHash;
use syscalls::Architecture;

use super::Index;
use super::profile::{CheckResult, Profile};
use crate::facts::{NodeFacts, ProfileFacts};
use crate::findings::{Checked, Findings};
use crate::status::sound_condition;

/// Contents to check.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The text of the `spec`; `None` if this process has checked it before, and no longer has it.
    pub spec: Option<Arc<Text>>,
    /// SHA-256 of the text.
    pub text: ContentHash,
    /// The architectures of the nodes, in ascending order.
    pub architectures: Vec<Architecture>,
}

impl Index {
    /// What to check before the status of the profile `name` is decided; `None` if there is nothing to check. Nobody
    /// corrects a profile that is being deleted.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<Check> {
        let profile = self.profiles.get(name)?;
        let is_known = |known: &CheckResult| self.architectures.iter().eq(&known.architectures);
        if profile.facts.content.is_err()
            || profile.facts.deleting()
            || profile.checked.as_ref().is_some_and(is_known)
        {
            return None;
        }
        Some(Check {
            spec: profile.facts.unchecked.clone(),
            text: profile.facts.text,
            architectures: self.architectures.iter().copied().collect(),
        })
    }

    /// The result of a check. It is dropped if the profile has other contents by now.
    pub fn checked(&mut self, name: &str, check: Check, checked: Checked) {
        if let Some(profile) = self.profiles.get_mut(name).filter(|profile| profile.facts.text == check.text)
        {
            profile.checked = Some(CheckResult { architectures: check.architectures, checked });
            profile.facts.unchecked = None;
        }
    }

    /// What was found in a profile; `None` before its check.
    #[must_use]
    pub fn findings(&self, profile: &str) -> Option<&Findings> {
        self.profiles.get(profile)?.checked.as_ref()?.checked.findings()
    }

    /// The architecture of a node that holds profiles counts from then on, also after the node has gone: where nodes come
    /// and go with the load, the findings stay the same.
    pub(super) fn count_architecture(&mut self, node: &NodeFacts) {
        let new = node.architecture.filter(|_| node.selected);
        if new.is_some_and(|architecture| self.architectures.insert(architecture)) {
            self.dirty.profiles.extend(self.profiles.keys().cloned());
        }
    }
}

/// Adds the condition `Sound` and the warnings to a status. Those of the stored status stay if they are about the same
/// contents and there is no newer result.
pub(super) fn add_findings(profile: &Profile, status: &mut SeccompProfileStatus) {
    if profile.facts.content.is_err() {
        return;
    }
    let (sound, warnings) = match &profile.checked {
        Some(CheckResult { checked, .. }) => {
            let sound = checked.soundness();
            let condition = Condition {
                type_: conditions::SOUND.to_owned(),
                status: sound.status.to_owned(),
                reason: sound.reason,
                message: sound.message,
                observed_generation: profile.facts.generation,
                last_transition_time: Time(Timestamp::UNIX_EPOCH),
            };
            (condition, checked.shown())
        }
        None => {
            let ProfileFacts { status, generation, .. } = &profile.facts;
            // A deletion is a generation, too.
            let is_about_these = |stored: &&SeccompProfileStatus| {
                stored.observed_generation == *generation || profile.facts.deleting()
            };
            let Some(stored) = status.as_ref().filter(is_about_these) else { return };
            let Some(sound) = sound_condition(stored) else { return };
            (sound.clone(), &*stored.warnings)
        }
    };
    status.conditions.push(sound);
    status.warnings = warnings.to_vec();
}
