//! What is said of a profile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use filter::{Explainer, Filter, Mention, Startup, Unloadable, Verdict, is_exempt};
use profile::{Architecture, FieldPath, Flag, Profile, Segment};
use serde::Serialize;
use syscalls::{Group, Libseccomp, Syscall};

use super::call::{Access, CallView};
use super::compare::Comparison;
use super::finding::FindingView;
use crate::manifest::{FileProfile, Position};
use crate::setting::SettingOptions;
use crate::sources::Source;

/// What is said of some profiles.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ExplainView {
    /// The profiles.
    pub profiles: Vec<ProfileView>,
}

/// What is said of one profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileView {
    /// The name of the object, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The file, or `seccompprofile/NAME`.
    pub file: String,
    /// The node.
    pub node: NodeView,
    /// What it does there; absent if it has no filter there.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterView>,
    /// Why it has no filter there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unloadable: Option<String>,
    /// The same as a sentence, with what follows for containers.
    #[serde(skip)]
    pub(super) consequence: Option<String>,
    /// Whether containers can start with it there, as far as is known.
    #[serde(skip)]
    starts: bool,
    /// What `lint` finds.
    pub findings: Vec<FindingView>,
}

/// The node on which the profile is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// The runtime and its versions.
    pub runtime: &'static str,
    /// The libseccomp.
    pub libseccomp: &'static str,
    /// The architecture.
    pub architecture: Architecture,
}

/// What a profile does on a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterView {
    /// What happens to calls that no rule names.
    pub default: Verdict,
    /// The highest number that a rule names, if the runtime answers calls above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest: Option<Highest>,
    /// The calls of the node's architecture, by group.
    pub groups: Vec<GroupView>,
    /// The other architectures that the filter covers and whose programs the node can run.
    pub architectures: Vec<ArchitectureView>,
    /// Architectures whose programs run on the node and end with their first call under the profile.
    pub uncovered: Vec<Architecture>,
    /// The flags with which the filter is loaded.
    pub flags: Vec<Flag>,
    /// Names in the profile that have no effect, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<Ignored>,
    /// The profile beside the default of a runtime; absent if that is not known for the architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// Above which number the runtime answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Highest {
    /// The number.
    pub number: u32,
    /// The call with this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
}

/// Calls about the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// The word for the group.
    pub group: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The calls.
    pub calls: Vec<CallView>,
}

/// An architecture that the filter covers beside the node's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchitectureView {
    /// The architecture.
    pub architecture: Architecture,
    /// How many calls are permitted, conditional and refused.
    pub counts: Counts,
    /// Calls that also the node's architecture has, and for which the filter does something else there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub different: Vec<CallView>,
    /// Calls that only this architecture has, and that are not refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_here: Vec<CallView>,
}

/// Numbers of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Permitted for all arguments.
    pub permitted: usize,
    /// Dependent on the arguments, or on another process.
    pub conditional: usize,
    /// Refused for all arguments.
    pub refused: usize,
}

/// A name that has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ignored {
    /// The name.
    pub name: String,
    /// Why.
    pub because: IgnoredBecause,
}

/// Why a name has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IgnoredBecause {
    /// No Linux has such a call.
    Unknown,
    /// The node's libseccomp does not know the name.
    UnknownToLibseccomp,
    /// Linux passes the call around every filter.
    Exempt,
}

impl ExplainView {
    /// Adds what the profiles in a text do on a node.
    pub fn add(&mut self, source: &Source, setting: SettingOptions) {
        self.profiles.extend(source.profiles.iter().map(|of| ProfileView::of(of, &source.name, setting)));
    }

    /// Whether containers can start with every profile, as far as is known.
    #[must_use]
    pub fn all_start(&self) -> bool {
        self.profiles.iter().all(|profile| profile.starts)
    }
}

impl ProfileView {
    fn of(of: &FileProfile, file: &str, setting: SettingOptions) -> Self {
        let node = NodeView {
            runtime: filter::Runtime::from(setting.runtime).name,
            libseccomp: Libseccomp::from(setting.libseccomp).name(),
            architecture: setting.architecture.into(),
        };
        let nodes = setting.nodes();
        let plain = of.is_plain().then(|| lint::check_plain(&of.value, &nodes)).flatten();
        let findings = lint::check(&of.profile, &nodes).into_iter().chain(plain);
        let findings = findings.map(|it| FindingView::of(&it.in_contents(&of.value), of)).collect();
        let (filter, fault, starts) = match setting.explainer(&of.profile) {
            Ok(explainer) => {
                let starts = starts(explainer.filter(), setting);
                (Some(FilterView::of(&of.profile, &explainer, setting)), None, starts)
            }
            Err(fault) => (None, Some(fault), false),
        };
        let unloadable = fault.as_ref().map(ToString::to_string);
        let sentence = |fault: Unloadable| {
            let consequence = fault.consequence().of("it");
            let (first, rest) = consequence.split_at(1);
            // The rule that is the reason, if one is, where its author finds it.
            let place = fault.mention().map(|Mention { rule, name }| {
                let path = [Segment::from("syscalls"), rule.into(), "names".into(), name.into()];
                let Position { line, column, .. } = of.position(&FieldPath::from_iter(path));
                format!("at {file}:{line}:{column}, ")
            });
            format!("{}{rest}: {}{fault}", first.to_uppercase(), place.unwrap_or_default())
        };
        let consequence = fault.map(sentence);
        let (name, file) = (of.name.clone(), file.to_owned());
        Self { name, file, node, filter, unloadable, consequence, starts, findings }
    }

    /// The name of the profile and the file, or only the file.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.name {
            Some(name) if self.file.starts_with("seccompprofile/") => name.clone(),
            Some(name) => format!("{name} ({})", self.file),
            None => self.file.clone(),
        }
    }
}

impl FilterView {
    fn of(profile: &Profile, explainer: &Explainer, setting: SettingOptions) -> Self {
        let native = Architecture::from(setting.architecture);
        let filter = explainer.filter();
        let table = syscalls::Architecture::from(setting.architecture);
        let calls = calls(table, native, explainer);
        // No other programs run on the node, whatever the profile lists.
        let listed = profile.architectures().iter().copied();
        let others: BTreeSet<_> = listed.filter(|it| companions(native).contains(it)).collect();
        let architectures = others.iter().filter_map(|it| ArchitectureView::of(*it, &calls, explainer));
        let architectures = architectures.collect();
        let uncovered = companions(native).iter().copied().filter(|it| !others.contains(it)).collect();
        let highest = filter
            .highest(native)
            .map(|number| Highest { number, name: Syscall::by_number(table, number).map(Syscall::name) });
        Self {
            default: Verdict::from(profile.default_effect()),
            highest,
            groups: groups(calls),
            architectures,
            uncovered,
            flags: filter.flags().iter().copied().collect(),
            ignored: ignored(profile, setting),
            comparison: Comparison::of(profile, filter, setting),
        }
    }

    /// How many calls are permitted, conditional and refused.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(self.groups.iter().flat_map(|group| &group.calls))
    }
}

impl GroupView {
    /// How many calls are permitted, conditional and refused.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(&self.calls)
    }
}

impl Counts {
    fn of<'c>(calls: impl IntoIterator<Item = &'c CallView>) -> Self {
        let mut counts = Self::default();
        for call in calls {
            match call.access {
                Access::Permitted => counts.permitted += 1,
                Access::Conditional => counts.conditional += 1,
                Access::Refused => counts.refused += 1,
            }
        }
        counts
    }

    /// All.
    #[must_use]
    pub fn all(self) -> usize {
        self.permitted + self.conditional + self.refused
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { permitted, conditional, refused } = *self;
        let counts = [(permitted, "permitted"), (conditional, "conditional"), (refused, "refused")];
        let mut separator = "";
        for (number, what) in counts.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{separator}{number} {what}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl ArchitectureView {
    /// `None` if the architecture's numbers are not known.
    fn of(architecture: Architecture, native: &[CallView], explainer: &Explainer) -> Option<Self> {
        let table = syscalls::Architecture::from_oci_name(architecture.name())?;
        let here = calls(table, architecture, explainer);
        let counts = Counts::of(&here);
        let native: BTreeMap<_, _> = native.iter().map(|call| (call.name, call)).collect();
        let (mut different, mut only_here) = (Vec::new(), Vec::new());
        for call in here {
            match native.get(call.name) {
                Some(other) if !call.same(other) => different.push(call),
                None if call.access != Access::Refused => only_here.push(call),
                _ => {}
            }
        }
        Some(Self { architecture, counts, different, only_here })
    }
}

/// Whether a filter refuses the runtime none of the calls that it needs in every container. What it needs only without
/// `allowPrivilegeEscalation: false` does not count, and of other architectures than x86_64 it is not known.
fn starts(filter: &Filter, setting: SettingOptions) -> bool {
    let mut of_all =
        Startup::ALL.iter().filter(|it| it.no_new_privileges && it.is_of(setting.runtime.into()));
    Architecture::from(setting.architecture) != Startup::ARCHITECTURE
        || of_all.all(|startup| startup.refused(filter).is_empty())
}

/// Every call of an architecture that filters decide.
fn calls(table: syscalls::Architecture, architecture: Architecture, explainer: &Explainer) -> Vec<CallView> {
    let decided = Syscall::all().filter(|call| !is_exempt(call.name()));
    decided.filter_map(|call| CallView::of(call, table, architecture, explainer)).collect()
}

fn groups(calls: Vec<CallView>) -> Vec<GroupView> {
    let mut by_group: BTreeMap<&str, Vec<CallView>> = BTreeMap::new();
    for call in calls {
        let group = Syscall::from_name(call.name).map_or(Group::Unused, Syscall::group);
        by_group.entry(group.name()).or_default().push(call);
    }
    Group::ALL
        .into_iter()
        .filter_map(|group| {
            let calls = by_group.remove(group.name())?;
            Some(GroupView { group: group.name(), title: group.title(), calls })
        })
        .collect()
}

/// The other architectures whose programs a machine can run.
fn companions(native: Architecture) -> &'static [Architecture] {
    match native {
        Architecture::X86_64 => &[Architecture::X86, Architecture::X32],
        Architecture::Aarch64 => &[Architecture::Arm],
        Architecture::S390x => &[Architecture::S390],
        _ => &[],
    }
}

/// The names in the rules that have no effect on this node. A name that another architecture has is none of them.
fn ignored(profile: &Profile, setting: SettingOptions) -> Vec<Ignored> {
    let names: BTreeSet<&str> =
        profile.rules().iter().flat_map(|rule| rule.names()).map(|name| name.as_str()).collect();
    let reason = |name: &str| match Syscall::from_name(name) {
        None => Some(IgnoredBecause::Unknown),
        Some(call) if !call.known_to(setting.libseccomp.into()) => Some(IgnoredBecause::UnknownToLibseccomp),
        Some(_) => is_exempt(name).then_some(IgnoredBecause::Exempt),
    };
    names
        .into_iter()
        .filter_map(|name| Some(Ignored { name: name.to_owned(), because: reason(name)? }))
        .collect()
}

impl ProfileView {
    /// What happens to a call of the node's architecture, for tests.
    #[cfg(test)]
    pub(super) fn call(&self, name: &str) -> &CallView {
        let groups = &self.filter.as_ref().unwrap().groups;
        groups.iter().flat_map(|group| &group.calls).find(|call| call.name == name).unwrap()
    }
}
