//! `merge`: the intersection or the union of profiles, as one profile.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api::ProfileName;
use clap::{Args, ValueHint};
use filter::{Narrower, Operation, Uncombinable, Verdict, numbers};
use profile::{Profile, SyscallName};
use syscalls::Libseccomp;

use crate::diff::NamedProfile;
use crate::merge_error::{MergeError, called};
use crate::node_settings::{self, NodeOptions, NodeSetting, short};
use crate::output::ProfileForm;
use crate::profile_text::{oci_json, seccomp_profile};
use crate::sources::Source;

/// What to combine.
#[derive(Debug, Clone, Args)]
#[group(id = "operation", required = true, multiple = false, args = ["union", "intersect"])]
pub struct MergeArgs {
    /// Permit what at least one of the profiles permits
    #[arg(long)]
    pub union: bool,
    /// Permit only what all the profiles permit
    #[arg(long)]
    pub intersect: bool,
    /// Files, directories, quoted patterns such as 'profiles/*.yaml', - for standard input, or names in the cluster
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub profiles: Vec<PathBuf>,
    /// The name of the SeccompProfile
    #[arg(long, value_name = "NAME", default_value = "merged")]
    pub name: ProfileName,
    /// The nodes.
    #[command(flatten)]
    pub nodes: NodeOptions,
    /// The output format
    #[arg(long, short, value_name = "FORM", value_enum, default_value = "json")]
    pub output: ProfileForm,
}

impl MergeArgs {
    fn operation(&self) -> Operation {
        if self.union { Operation::Union } else { Operation::Intersection }
    }
}

/// A combined profile, and what it does not do exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The profile.
    pub profile: Profile,
    /// For which nodes it was not compared with the profiles, and where it permits less than it should.
    pub remarks: Vec<String>,
}

/// The profiles, each with its name for messages.
#[must_use]
pub fn named(sources: Vec<Source>) -> Vec<NamedProfile> {
    let named = |source: Source| {
        let several = source.profiles.len() > 1;
        source.profiles.into_iter().map(move |of| NamedProfile {
            name: match of.name.filter(|_| several) {
                Some(name) => format!("{name} in {}", source.name),
                None => source.name.clone(),
            },
            profile: of.profile,
        })
    };
    sources.into_iter().flat_map(named).collect()
}

/// Combines profiles, from the first to the last.
///
/// # Errors
/// They cannot be combined.
pub fn merge(profiles: &[NamedProfile], options: &MergeArgs) -> Result<Merged, MergeError> {
    combine(profiles, options.operation(), &options.nodes)
}

/// What all profiles permit, on every node.
///
/// # Errors
/// They cannot be combined.
pub(crate) fn intersection(profiles: &[NamedProfile]) -> Result<Merged, MergeError> {
    combine(profiles, Operation::Intersection, &NodeOptions::default())
}

fn combine(
    profiles: &[NamedProfile],
    operation: Operation,
    nodes: &NodeOptions,
) -> Result<Merged, MergeError> {
    if profiles.len() < 2 {
        return Err(MergeError::Alone);
    }
    let all: Vec<_> = profiles.iter().map(|it| &it.profile).collect();
    let candidates = nodes.settings(&all, &Libseccomp::ALL);
    // On most nodes containers start with all of them, and to find out takes as long as to combine them.
    match combined(profiles, operation, &candidates, Vec::new()) {
        Err(MergeError::Uncombinable { fault, .. }) if matches!(*fault, Uncombinable::Unloadable { .. }) => {}
        found => return found,
    }
    let (mut settings, mut remarks, mut refused) = (Vec::new(), Vec::new(), None);
    for setting in candidates {
        let mut faults = profiles.iter().filter_map(|it| Some((it, setting.filter(&it.profile).err()?)));
        match faults.next() {
            None => settings.push(setting),
            Some((NamedProfile { name, .. }, fault)) => {
                let place = node_settings::named(&[setting.place(setting.native)]);
                let consequence = fault.consequence().of(name);
                remarks.push(format!("not compared {place}: {consequence}: {fault}"));
                refused.get_or_insert((name, setting, fault));
            }
        }
    }
    if let (true, Some((name, setting, fault))) = (settings.is_empty(), refused) {
        let (setting, fault) = (Box::new(setting), Box::new(fault));
        return Err(MergeError::Unloadable { name: name.clone(), setting, fault });
    }
    combined(profiles, operation, &settings, remarks)
}

/// Combines profiles for these nodes, and adds to the remarks.
fn combined(
    profiles: &[NamedProfile],
    operation: Operation,
    settings: &[NodeSetting],
    mut remarks: Vec<String>,
) -> Result<Merged, MergeError> {
    let [NamedProfile { profile: first, .. }, others @ ..] = profiles else { return Err(MergeError::Alone) };
    // One function for all settings with a libseccomp: what is made with it is then made once for all runtimes.
    let numbers: BTreeMap<_, _> =
        settings.iter().map(|setting| (setting.libseccomp, numbers(setting.libseccomp))).collect();
    let with: Vec<_> =
        settings.iter().filter_map(|setting| Some(setting.with(numbers.get(&setting.libseccomp)?))).collect();
    let mut merged = first.clone();
    for NamedProfile { name, profile } in others {
        let combined = operation
            .combine(&merged, profile, &with)
            .map_err(|fault| MergeError::of(name, fault, [&merged, profile]))?;
        for narrower in &combined.narrower {
            let remark = explained(narrower);
            if !remarks.contains(&remark) {
                remarks.push(remark);
            }
        }
        merged = combined.profile;
    }
    Ok(Merged { profile: merged, remarks })
}

/// Why a profile permits less than the exact combination.
fn explained(narrower: &Narrower) -> String {
    match narrower {
        Narrower::Conditions { name } => format!(
            "narrower: {}: no rules were found that every libseccomp compiles to exactly these conditions",
            SyscallName::as_str(name)
        ),
        Narrower::Architecture { architecture } => format!(
            "narrower: {}: only one of the profiles lists it, so that its programs end at their first call",
            short(*architecture)
        ),
        Narrower::Call { call, exact, combined, is_unnamed } => {
            let name = called(call.architecture, call.number);
            let (others, reason) = if *is_unnamed {
                (
                    ", and other calls that no rule names",
                    ", because all of them get the default, or what the runtime answers above the highest number that a rule \
                     names",
                )
            } else {
                ("", "")
            };
            format!(
                "narrower: {name}{others}: {} instead of {}{reason}",
                Verdict::to_string(combined),
                Verdict::to_string(exact)
            )
        }
    }
}

/// The profile as text.
#[must_use]
pub fn text(profile: &Profile, options: &MergeArgs) -> String {
    match options.output {
        ProfileForm::Json => oci_json(profile),
        ProfileForm::Yaml => seccomp_profile(options.name.as_str(), profile),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::manifest::profile_in;
    use crate::options::{Options, Task};

    const ONE: &str = "
defaultAction: SCMP_ACT_ERRNO
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
  - { names: [read, write, bpf], action: SCMP_ACT_ALLOW }
  - { names: [clone], action: SCMP_ACT_ALLOW, args: [{ index: 0, value: 0x10000000, op: SCMP_CMP_MASKED_EQ }] }
";
    const TWO: &str = "
defaultAction: SCMP_ACT_ERRNO
architectures: [SCMP_ARCH_X86_64]
syscalls:
  - { names: [read, write, ptrace], action: SCMP_ACT_ALLOW }
  - { names: [clone], action: SCMP_ACT_ALLOW }
";

    fn options(words: &[&str]) -> MergeArgs {
        match Options::parse_from([&["kubectl-seccomp", "merge"], words].concat()).task {
            Task::Merge(options) => options,
            task => panic!("{task:?}"),
        }
    }

    fn merged(words: &[&str], texts: &[&str]) -> Result<String, MergeError> {
        let profiles: Vec<_> = texts
            .iter()
            .zip(["one.yaml", "two.yaml", "three.yaml"])
            .map(|(text, name)| NamedProfile {
                name: name.to_owned(),
                profile: profile_in(text, "").unwrap(),
            })
            .collect();
        let options = options(&[words, &["a", "b"]].concat());
        let merged = merge(&profiles, &options)?;
        let remarks: Vec<_> = merged.remarks.iter().map(|remark| format!("{remark}\n")).collect();
        Ok(text(&merged.profile, &options) + &remarks.concat())
    }

    #[test]
    fn the_intersection_permits_what_all_profiles_permit() {
        insta::assert_snapshot!(merged(&["--intersect"], &[ONE, TWO]).unwrap());
        let three = merged(&["--intersect"], &[ONE, TWO, "defaultAction: SCMP_ACT_ERRNO"]).unwrap();
        assert!(!three.contains("SCMP_ACT_ALLOW"), "{three}");
    }

    #[test]
    fn the_union_permits_what_one_profile_permits_and_names_what_it_cannot() {
        insta::assert_snapshot!(merged(&["--union", "-o", "yaml", "--name", "web"], &[ONE, TWO]).unwrap());
    }

    #[test]
    fn nodes_on_which_no_container_starts_are_named() {
        let flags = format!("{TWO}flags: [SECCOMP_FILTER_FLAG_LOG]\n");
        let text =
            merged(&["--union", "--runtime", "runc-1.1", "--runtime", "crun"], &[TWO, &flags]).unwrap();
        let remarks: Vec<_> = text.lines().filter(|line| line.starts_with("not compared")).collect();
        assert_eq!(remarks.len(), Libseccomp::ALL.len());
        insta::assert_snapshot!(remarks[3]);
        let error = merged(&["--union", "--runtime", "runc-1.1"], &[TWO, &flags]).unwrap_err();
        assert_eq!(error.reason(), "Unloadable");
        insta::assert_snapshot!("no_container_starts", error.to_string());
    }

    #[test]
    fn profiles_with_different_listeners_cannot_be_combined() {
        let asks = |path: &str| {
            format!(
                "defaultAction: SCMP_ACT_ALLOW\nlistenerPath: {path}\nsyscalls: [{{ names: [mkdir], action: SCMP_ACT_NOTIFY }}]\n"
            )
        };
        let error = merged(&["--intersect"], &[&asks("/run/a.sock"), &asks("/run/b.sock")]).unwrap_err();
        insta::assert_snapshot!(error.to_string());
    }

    #[test]
    fn one_call_stands_for_all_that_no_rule_names() {
        let one = r#"{"defaultAction": "SCMP_ACT_TRAP", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["openat"], "action": "SCMP_ACT_ALLOW"}]}"#;
        let two = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["clone3"], "action": "SCMP_ACT_ALLOW"}]}"#;
        let text = merged(&["--intersect"], &[one, two]).unwrap();
        let line = "narrower: mkdirat on x86_64, and other calls that no rule names: SCMP_ACT_TRAP instead of SCMP_ACT_ERRNO (errno 38), because ";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn what_cannot_be_combined_is_named_with_both_verdicts_and_a_way_out() {
        let one = "{defaultAction: SCMP_ACT_ERRNO, architectures: [SCMP_ARCH_X86_64], syscalls: [{names: [read, write], action: SCMP_ACT_ALLOW}]}";
        let two = "{defaultAction: SCMP_ACT_KILL_PROCESS, architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86], syscalls: [{names: [read, close], action: SCMP_ACT_ALLOW}]}";
        insta::assert_snapshot!(merged(&["--intersect"], &[one, two]).unwrap_err().to_string());
    }

    #[test]
    fn an_operation_and_two_profiles_are_necessary() {
        let parse = |words: &[&str]| Options::try_parse_from([&["kubectl-seccomp", "merge"], words].concat());
        assert!(parse(&["--union", "a", "b", "c"]).is_ok());
        assert!(parse(&["a", "b"]).is_err());
        assert!(parse(&["--union", "--intersect", "a", "b"]).is_err());
        assert_eq!(merged(&["--union"], &[ONE]).unwrap_err().reason(), "OneProfile");
    }
}
