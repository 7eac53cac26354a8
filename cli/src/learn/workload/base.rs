//! The profile from which a learning begins. Pure.

use std::collections::BTreeSet;

use filter::{Filter, RuntimeDefault};
use profile::{Architecture, Profile};
use serde_json::{Value, json};
use syscalls::Syscall;

use super::contents::{self, ContentsError};
use super::error::WorkloadError;
use super::template::{Containers, Present};
use crate::setting::{ArchitectureOption, SettingOptions};

/// The capabilities with which containerd's default profile permits more calls than without (`DefaultProfile` in
/// contrib/seccomp/seccomp_default.go of containerd 2.4.2). Not among them is `SYS_CHROOT`, which containers have by default.
const WIDENING: [&str; 14] = [
    "ALL",
    "BPF",
    "DAC_READ_SEARCH",
    "PERFMON",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
];

/// The profile from which a learning begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Base {
    /// The profile.
    pub(super) profile: Profile,
    /// What it is, in words.
    pub(super) words: String,
    /// Whether it refuses nothing.
    pub(super) permits_everything: bool,
    /// The other fields of the `spec` of profiles that are made of it.
    pub(super) more: Value,
}

impl Base {
    /// The base for these containers. `ours` is the `spec` of the profile that they name, if it is one of ours.
    ///
    /// # Errors
    /// No filter is in force, or which one is not known.
    pub(super) fn of(
        containers: &Containers,
        ours: Option<&Value>,
        from_unconfined: bool,
        architecture: ArchitectureOption,
    ) -> Result<Self, WorkloadError> {
        if from_unconfined {
            return Self::unconfined(architecture.into());
        }
        match &containers.present {
            Present::Unconfined(words) => Err(WorkloadError::Unconfined(words)),
            Present::RuntimeDefault => Self::runtime_default(containers, architecture.into()),
            Present::Ours(name) => {
                let spec = ours.unwrap_or(&Value::Null);
                let profile = Profile::from_value(&spec["contents"]).map_err(ContentsError::from)?;
                let mut more = json!({});
                for field in ["nodeSelector", "report"] {
                    if !spec[field].is_null() {
                        more[field] = spec[field].clone();
                    }
                }
                let words = format!("the SeccompProfile {name}");
                Ok(Self { profile, words, permits_everything: false, more })
            }
        }
    }

    fn runtime_default(containers: &Containers, native: Architecture) -> Result<Self, WorkloadError> {
        let default = RuntimeDefault::CONTAINERD;
        let is_widening = |it: &&String| WIDENING.contains(&it.as_str());
        let added: Vec<_> = containers.added_capabilities.iter().filter(is_widening).cloned().collect();
        if !added.is_empty() {
            return Err(WorkloadError::Capabilities(added));
        }
        let profile = default.profile(native).ok_or(WorkloadError::NoDefault(native.name()))?;
        let profile = match containers.drops_chroot {
            true => contents::without(&profile, "chroot")?,
            false => profile,
        };
        let words = format!("RuntimeDefault, taken to be that of {}", default.name);
        Ok(Self { profile, words, permits_everything: false, more: json!({}) })
    }

    /// Everything, on all architectures that such a node runs.
    fn unconfined(native: Architecture) -> Result<Self, WorkloadError> {
        let default = RuntimeDefault::CONTAINERD.profile(native);
        let architectures = default.as_ref().map_or(&[][..], Profile::architectures);
        let contents = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures });
        let profile = Profile::from_value(&contents).map_err(ContentsError::from)?;
        let words = "a profile that permits everything".to_owned();
        Ok(Self { profile, words, permits_everything: true, more: json!({}) })
    }

    /// A call that `existing` permits and `new` does not, in words; `None` if there is none, or if no container starts under
    /// `existing`.
    pub(super) fn missing(
        existing: &Profile,
        new: &Profile,
        architecture: ArchitectureOption,
    ) -> Option<String> {
        let setting = SettingOptions { architecture, ..SettingOptions::default() };
        let of = |profile| setting.apply(|setting| Filter::new(profile, setting)).ok();
        let existing = of(existing)?;
        let Some(new) = of(new) else {
            return Some("every call, because no container starts under it".to_owned());
        };
        let Ok(more) = existing.more_permissive(&new) else {
            return Some(
                "a call that cannot be told, because the two are too large to be compared".to_owned(),
            );
        };
        let call = more?.call;
        let table =
            syscalls::Architecture::ALL.into_iter().find(|it| it.oci_name() == call.architecture.name());
        let known = table.and_then(|table| Syscall::by_number(table, call.number));
        Some(known.map_or_else(
            || format!("{} of {}", call.number, call.architecture.name()),
            |it| it.name().to_owned(),
        ))
    }
}

/// The names of calls.
pub(super) fn names(calls: &BTreeSet<Syscall>) -> BTreeSet<&'static str> {
    calls.iter().map(|call| call.name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers(present: Present) -> Containers {
        Containers {
            present,
            added_capabilities: vec!["NET_BIND_SERVICE".into()],
            drops_chroot: false,
            privilege_escalation: vec![true],
        }
    }

    fn base(containers: &Containers, from_unconfined: bool) -> Result<Base, WorkloadError> {
        let spec =
            json!({ "contents": { "defaultAction": "SCMP_ACT_LOG" }, "report": true, "nodeSelector": {} });
        Base::of(containers, Some(&spec), from_unconfined, ArchitectureOption::X86_64)
    }

    #[test]
    fn runtime_default_is_containerds_without_what_dropped_capabilities_take() {
        let found = base(&containers(Present::RuntimeDefault), false).unwrap();
        assert!(found.words.contains("containerd"), "{}", found.words);
        assert!(contents::permitted_by_rule(&found.profile).contains("chroot"));
        let dropped = Containers { drops_chroot: true, ..containers(Present::RuntimeDefault) };
        let narrower = base(&dropped, false).unwrap().profile;
        assert!(!contents::permitted_by_rule(&narrower).contains("chroot"));
        assert!(contents::permitted_by_rule(&narrower).contains("socket"));
    }

    #[test]
    fn with_capabilities_that_widen_the_default_it_is_not_known() {
        let added =
            Containers { added_capabilities: vec!["SYS_TIME".into()], ..containers(Present::RuntimeDefault) };
        let error = base(&added, false).unwrap_err();
        assert!(error.to_string().contains("SYS_TIME"), "{error}");
        assert!(base(&added, true).is_ok());
    }

    #[test]
    fn from_unconfined_only_if_it_is_asked_for() {
        let none = containers(Present::Unconfined("none"));
        let error = base(&none, false).unwrap_err();
        assert!(error.to_string().contains("--from-unconfined"), "{error}");
        let found = base(&none, true).unwrap();
        assert_eq!(found.profile.default_action(), profile::Action::Allow);
        assert_eq!(found.profile.architectures().len(), 3);
    }

    #[test]
    fn profiles_that_are_made_of_one_of_ours_are_for_the_same_nodes() {
        let found = base(&containers(Present::Ours("a".parse().unwrap())), false).unwrap();
        assert_eq!(found.profile.default_action(), profile::Action::Log);
        assert_eq!(found.more, json!({ "nodeSelector": {}, "report": true }));
    }

    #[test]
    fn a_call_that_an_existing_profile_permits_and_the_new_one_does_not_is_found() {
        let profile = |names: &[&str]| {
            let rules = json!([{ "names": names, "action": "SCMP_ACT_ALLOW" }]);
            Profile::from_value(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })).unwrap()
        };
        let missing = |one: &[&str], other: &[&str]| {
            Base::missing(&profile(one), &profile(other), ArchitectureOption::X86_64)
        };
        assert_eq!(missing(&["read", "mount"], &["read", "write"]).as_deref(), Some("mount"));
        assert_eq!(missing(&["read"], &["read", "write"]), None);
    }
}
