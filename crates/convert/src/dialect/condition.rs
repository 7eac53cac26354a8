//! The conditions of a rule: `includes` and `excludes`.
//!
//! Source: `setupSeccomp` in seccomp/seccomp_linux.go of moby/profiles (cd3bed8) and in pkg/seccomp/seccomp_linux.go of
//! containers/common (f437c58). A rule applies unless *one* capability or architecture of `excludes` matches, and only if
//! *all* capabilities and *one* of the architectures of `includes` match. Only Docker reads `minKernel`.

use profile::wording::{advice, quote};
use serde_json::{Map, Value};

use crate::at::{At, Problems};
use crate::capability;
use crate::{Kernel, Machine, Target, Why};

/// When a rule applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) includes: Condition,
    pub(crate) excludes: Condition,
}

/// One of the two fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) capabilities: Vec<&'static str>,
    pub(crate) machines: Vec<&'static str>,
    pub(crate) kernel: Option<Kernel>,
}

impl Conditions {
    /// Reads the fields of a rule.
    pub(crate) fn read(problems: &mut Problems, at: &At, rule: &Map<String, Value>) -> Self {
        let mut read = |key: &str| match rule.get(key) {
            None | Some(Value::Null) => Condition::default(),
            Some(value) => Condition::read(problems, &at.key(key), value, key == "includes"),
        };
        Self { includes: read("includes"), excludes: read("excludes") }
    }

    pub(crate) fn both(&self) -> [&Condition; 2] {
        [&self.includes, &self.excludes]
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Why the rule does not apply on nodes with this architecture, and what the condition names; `None` if it applies.
    pub(crate) fn obstacle(&self, machine: Machine, target: &Target) -> Option<(Why, String)> {
        let kernel = target.kernel.unwrap_or(Kernel::OLDEST);
        let (excludes, includes) = (&self.excludes, &self.includes);
        let is_machine = |word: &&'static str| machine.is_called(word);
        if excludes.machines.iter().any(is_machine) {
            return Some((Why::Architecture, machine.name().to_owned()));
        }
        if let Some(held) = excludes.capabilities.iter().find(|name| target.capabilities.has(name)) {
            return Some((Why::CapabilityHeld, (*held).to_owned()));
        }
        if let Some(before) = excludes.kernel.filter(|min| kernel >= *min) {
            return Some((Why::Kernel, format!("before {before}")));
        }
        if !includes.machines.is_empty() && !includes.machines.iter().any(is_machine) {
            return Some((Why::Architecture, machine.name().to_owned()));
        }
        if let Some(lacking) = includes.capabilities.iter().find(|name| !target.capabilities.has(name)) {
            return Some((Why::CapabilityLacking, (*lacking).to_owned()));
        }
        includes.kernel.filter(|min| kernel < *min).map(|min| (Why::Kernel, format!("{min} or later")))
    }
}

impl Condition {
    fn read(problems: &mut Problems, at: &At, value: &Value, is_includes: bool) -> Self {
        let Some(map) = problems.object_of(at, value, &["caps", "arches", "minKernel"]) else {
            return Self::default();
        };
        let mut words = |key: &str, known: &[&'static str]| -> Vec<&'static str> {
            let at = at.key(key);
            let items = problems.list(&at, map.get(key)).iter().enumerate();
            items.filter_map(|(i, item)| word(problems, &at.index(i), item, known)).collect()
        };
        let capabilities = words("caps", capability::ALL);
        let machines = words("arches", &Machine::all_words());
        let kernel = match map.get("minKernel") {
            None | Some(Value::Null) => None,
            // Docker reads an empty version as 0.0, so that as an exclusion it always holds.
            Some(Value::String(text)) if text.is_empty() && is_includes => None,
            Some(value) => {
                let at = at.key("minKernel");
                problems.text(&at, value).and_then(|text| {
                    Kernel::of_condition(text).or_else(|| {
                        problems.report(
                            &at,
                            format_args!("expected a version of two numbers like 4.8, found {}", quote(text)),
                        )
                    })
                })
            }
        };
        Self { capabilities, machines, kernel }
    }
}

/// One of the `known` words: Docker and Podman compare them letter by letter, so that no other one ever matches.
fn word(problems: &mut Problems, at: &At, value: &Value, known: &[&'static str]) -> Option<&'static str> {
    let text = problems.text(at, value)?;
    known.iter().find(|word| **word == text).copied().or_else(|| {
        let advice = match text {
            "x86_64" => "did you mean amd64?".to_owned(),
            "aarch64" => "did you mean arm64?".to_owned(),
            "386" | "i386" => "did you mean x86?".to_owned(),
            _ => match known.iter().find(|word| word.strip_prefix("CAP_") == Some(text)) {
                Some(capability) => format!("did you mean {capability}?"),
                None => advice(text, known),
            },
        };
        problems.report(at, format_args!("Docker and Podman do not know {}; {advice}", quote(text)))
    })
}
