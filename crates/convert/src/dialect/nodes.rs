//! The architectures of the nodes, and of the profile.

use profile::Architecture;
use profile::wording::{advice, quote};
use serde_json::{Map, Value};

use crate::at::{At, Problems};
use crate::{ConvertError, Machine, Target};

/// An entry of `archMap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) native: Architecture,
    pub(crate) others: Vec<Architecture>,
}

/// The architectures of a profile: by node, or the same for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Architectures {
    /// `archMap`.
    pub(crate) entries: Vec<Entry>,
    /// `architectures`, as far as they are known.
    pub(crate) listed: Vec<Architecture>,
}

impl Architectures {
    pub(crate) fn read(problems: &mut Problems, at: &At, profile: &Map<String, Value>) -> Self {
        let entries_at = at.key("archMap");
        let entries: Vec<_> = problems
            .list(&entries_at, profile.get("archMap"))
            .iter()
            .enumerate()
            .filter_map(|(i, entry)| Entry::read(problems, &entries_at.index(i), entry))
            .collect();
        let listed = profile.get("architectures").and_then(Value::as_array).into_iter().flatten();
        let listed: Vec<_> = listed.filter_map(|it| Architecture::from_name(it.as_str()?)).collect();
        if !(entries.is_empty() || listed.is_empty()) {
            problems.report::<()>(
                &entries_at,
                "give either archMap or architectures: Docker and Podman refuse both",
            );
        }
        Self { entries, listed }
    }

    /// The architectures of the nodes, and whether they are assumed.
    pub(crate) fn machines(&self, target: &Target) -> Result<(Vec<Machine>, bool), ConvertError> {
        let mut machines = target.machines.clone();
        let assumed = machines.is_empty();
        if assumed {
            let covered = |machine: &Machine| match (&self.entries[..], &self.listed[..]) {
                ([], []) => true,
                ([], listed) => listed.contains(&machine.native()),
                _ => self.entry(*machine).is_some(),
            };
            machines = [Machine::Amd64, Machine::Arm64].into_iter().filter(covered).collect();
        }
        machines.sort_unstable();
        machines.dedup();
        if machines.is_empty() {
            if !self.entries.is_empty() {
                return Err(ConvertError::MachineNeeded);
            }
            machines = vec![Machine::Amd64, Machine::Arm64];
        }
        let of_order = |big: bool| machines.iter().copied().find(|it| it.native().is_big_endian() == big);
        match (of_order(true), of_order(false)) {
            (Some(big), Some(little)) => Err(ConvertError::ByteOrder { big, little }),
            _ => Ok((machines, assumed)),
        }
    }

    /// The first entry for nodes with this architecture, as Docker and Podman take it.
    pub(crate) fn entry(&self, machine: Machine) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.native == machine.native())
    }

    /// The architectures whose calls nodes with this one can make under the profile.
    pub(crate) fn covered(&self, machine: Machine) -> Vec<Architecture> {
        let others = self.entry(machine).map_or(&self.listed[..], |entry| &entry.others[..]);
        [machine.native()].into_iter().chain(others.iter().copied()).collect()
    }

    /// `architectures` of the profile for all these nodes.
    pub(crate) fn of(&self, machines: &[Machine]) -> Vec<Architecture> {
        let mut all: Vec<Architecture> = Vec::new();
        for entry in machines.iter().filter_map(|machine| self.entry(*machine)) {
            for architecture in [entry.native].iter().chain(&entry.others) {
                if !all.contains(architecture) {
                    all.push(*architecture);
                }
            }
        }
        all
    }
}

impl Entry {
    fn read(problems: &mut Problems, at: &At, value: &Value) -> Option<Self> {
        let map = problems.object_of(at, value, &["architecture", "subArchitectures"])?;
        let native = match map.get("architecture") {
            Some(value) => known(problems, &at.key("architecture"), value),
            None => problems.report(&at.key("architecture"), "is required"),
        };
        let others_at = at.key("subArchitectures");
        let others = problems.list(&others_at, map.get("subArchitectures")).iter().enumerate();
        let others: Vec<_> = others.map(|(i, other)| known(problems, &others_at.index(i), other)).collect();
        Some(Self { native: native?, others: others.into_iter().collect::<Option<_>>()? })
    }
}

fn known(problems: &mut Problems, at: &At, value: &Value) -> Option<Architecture> {
    let text = problems.text(at, value)?;
    Architecture::from_name(text).or_else(|| {
        let advice = advice(text, Architecture::NAMES);
        problems.report(at, format_args!("unknown architecture {}; {advice}", quote(text)))
    })
}
