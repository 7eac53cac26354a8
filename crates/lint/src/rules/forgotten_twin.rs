//! # forgotten-twin
//!
//! A call is denied or permitted, and another one that does the same is not.
//!
//! Linux got newer calls for many old ones, which can do the same: `openat` and `openat2` beside `open`, `renameat2` beside
//! `rename`, and on 32-bit architectures `clock_settime64` beside `clock_settime`, for times after 2038. In a profile that
//! permits by default, a rule that denies only the older one denies nothing: programs use the newer one. A rule that denies
//! only the newest one is no such case, because the older ones cannot do all that it can. In a profile that denies by default,
//! a rule that permits only the older one is not enough on architectures that lack it: 64-bit ARM and RISC-V have `openat` and
//! no `open`, so that no program there can open a file.
//!
//! The rule finds the first case where the older call is denied with every argument and no rule names a newer one, and the
//! second where a listed architecture has none of the permitted calls and has another one that no rule names. It also finds
//! a rule that denies `mount` alone: `fsmount`, `open_tree`, `move_mount` and `mount_setattr` together can do the same. The
//! fix adds the names; it is unsafe, because it changes the filter. `crates/lint/src/families.rs` has all families, and the
//! reason for each call that has no twin although its name or its absence on newer architectures suggests one.
//!
//! **It does not find** that the default denies the newer call and a rule permits the older one, on an architecture that has
//! both. Which of the two a program makes depends on its libc and its version: today's glibc opens files with `openat` alone,
//! and a profile with `open` alone is right for a program that was built with an older one. So the rule would find something
//! in every list that was made for one program. Where the newer call fails with ENOSYS, as above the highest number that runc
//! knows from the profile, many programs go on with the older one anyway. A trial run, or `kubectl seccomp simulate --trace`
//! with a log of strace, shows what a program makes.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [kexec_load, io_uring_setup]
//!     action: SCMP_ACT_ERRNO
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [kexec_load, kexec_file_load, io_uring_setup]
//!     action: SCMP_ACT_ERRNO
//! ```

use syscalls::{Architecture, Syscall};

use crate::families::{AS_GOOD, FAMILIES, TOGETHER};
use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Mention, Subject, permits};
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "forgotten-twin",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "A call is denied or permitted, and another one that does the same is not.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let permissive = permits(subject.profile.default_effect());
    if permissive {
        let alone = families_of_denied().filter_map(|family| denied_alone(subject, family));
        alone.chain(TOGETHER.iter().filter_map(|(name, others)| denied_without(subject, name, others))).collect()
    } else {
        FAMILIES.iter().filter_map(|family| permitted_in_vain(subject, family)).collect()
    }
}

/// What a rule that denies one of these calls should deny too.
fn families_of_denied() -> impl Iterator<Item = &'static &'static [&'static str]> {
    FAMILIES.iter().chain(AS_GOOD)
}

/// A call that is denied while a later one of its family, which an architecture of the filter has, is permitted.
fn denied_alone(subject: &Subject<'_>, family: &[&'static str]) -> Option<Found> {
    let (at, name, mention) =
        family.iter().enumerate().find_map(|(at, name)| Some((at, *name, denied(subject, name)?)))?;
    let permitted = forgotten(subject, family.get(at + 1..)?);
    if permitted.is_empty() {
        return None;
    }
    let others = wording::names(permitted.iter().copied());
    let message = format!("{name} is denied here, but not {others}, which can do the same");
    Some(found(mention, &with_later_ones(subject, permitted), message))
}

/// A call that is denied while some of those that together can do the same are permitted.
fn denied_without(subject: &Subject<'_>, name: &str, others: &[&'static str]) -> Option<Found> {
    let mention = denied(subject, name)?;
    let permitted = forgotten(subject, others);
    if permitted.is_empty() {
        return None;
    }
    let message = format!(
        "{name} is denied here, but not {}: newer calls that together can do the same",
        wording::names(permitted.iter().copied())
    );
    Some(found(mention, &with_later_ones(subject, permitted), message))
}

/// Where a call is denied with every argument.
fn denied(subject: &Subject<'_>, name: &str) -> Option<Mention> {
    subject.treatment(name)?.unconditional.filter(|mention| !permits(mention.effect))
}

/// Those of these calls that an architecture of the filter has and no rule names: what a rule decides about is not forgotten.
fn forgotten(subject: &Subject<'_>, names: &[&'static str]) -> Vec<&'static str> {
    let covered = subject.covered();
    let is_forgotten = |name: &&str| {
        subject.treatment(name).is_none() && covered.iter().any(|architecture| has(*architecture, name))
    };
    names.iter().copied().filter(is_forgotten).collect()
}

/// These calls, and those that can do what a denied one of them can: a fix that adds a call without its own twins would only
/// move the finding to another family.
fn with_later_ones(subject: &Subject<'_>, mut denied: Vec<&'static str>) -> Vec<&'static str> {
    let mut looked_at = 0;
    while let Some(name) = denied.get(looked_at).copied() {
        looked_at += 1;
        for family in families_of_denied() {
            let later = family.iter().skip_while(|member| **member != name).copied();
            let later = forgotten(subject, &later.collect::<Vec<_>>());
            denied.extend(later.into_iter().filter(|twin| !denied.contains(twin)).collect::<Vec<_>>());
        }
    }
    denied
}

/// A call that is permitted, although a listed architecture lacks it and has another one of the family instead.
fn permitted_in_vain(subject: &Subject<'_>, family: &[&'static str]) -> Option<Found> {
    let (name, mention) = family.iter().find_map(|name| Some((*name, permitted(subject, name)?)))?;
    let missing = missing(subject, family, &[]);
    if missing.is_empty() {
        return None;
    }
    let message = format!(
        "{name} is permitted here, but not {}, which programs use on {}, where {name} does not exist",
        wording::names(missing.iter().map(|(other, _)| *other)),
        wording::names(missing.iter().map(|(_, architecture)| architecture.name()))
    );
    // What is added may be a call that another architecture lacks.
    let mut added: Vec<&str> = missing.into_iter().map(|(other, _)| other).collect();
    loop {
        let families = FAMILIES.iter().filter(|family| added.iter().any(|name| family.contains(name)));
        let mut more = families.map(|family| self::missing(subject, family, &added));
        let Some(more) = more.find(|more| !more.is_empty()) else { break };
        added.extend(more.into_iter().map(|(other, _)| other));
    }
    Some(found(mention, &added, message))
}

/// Where a call is permitted, at least with some arguments.
fn permitted(subject: &Subject<'_>, name: &str) -> Option<Mention> {
    let treatment = subject.treatment(name)?;
    let mut mentions = treatment.unconditional.iter().chain(&treatment.conditional);
    mentions.find(|mention| permits(mention.effect)).copied()
}

/// The architectures that have no call of the family among those that rules permit or a fix adds, each with one that it has and
/// that no rule names: rather a newer form of the permitted call than an older one, and of these the newest.
fn missing(
    subject: &Subject<'_>,
    family: &[&'static str],
    added: &[&str],
) -> Vec<(&'static str, Architecture)> {
    let is_permitted = |name: &str| added.contains(&name) || permitted(subject, name).is_some();
    let Some(at) = family.iter().position(|name| is_permitted(name)) else { return Vec::new() };
    let (older, newer) = family.split_at(at);
    let mut missing: Vec<(&str, Architecture)> = Vec::new();
    // A profile that names no architectures is not for all of them.
    let covered = if subject.is_for_known_architectures() { subject.covered() } else { Vec::new() };
    for architecture in covered {
        let is_missing = |name: &str| missing.iter().any(|(other, _)| *other == name);
        let mut here = newer.iter().chain(older.iter().rev()).copied().filter(|name| has(architecture, name));
        if here.clone().any(|name| is_permitted(name) || is_missing(name)) {
            continue;
        }
        missing.extend(here.find(|name| subject.treatment(name).is_none()).map(|name| (name, architecture)));
    }
    missing
}

fn has(architecture: Architecture, name: &str) -> bool {
    Syscall::from_name(name).is_some_and(|call| call.number(architecture).is_some())
}

fn found(mention: Mention, twins: &[&str], message: String) -> Found {
    let values = twins.iter().map(|twin| (*twin).into()).collect();
    let edit = Edit::Append { path: place::rule_field(mention.rule, "names"), values };
    let title = format!("Add {}", wording::names(twins.iter().copied()));
    Found::new(place::name(mention.rule, mention.name), message).with(Fix::new(Safety::Unsafe, title, edit))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    fn profile(default: &str, names: &[&str], action: &str) -> serde_json::Value {
        json!({ "defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [
            { "names": names, "action": action },
        ] })
    }

    #[test]
    fn a_call_that_is_denied_without_its_twin_is_found() {
        let denied = |names: &[&str]| profile("SCMP_ACT_ALLOW", names, "SCMP_ACT_ERRNO");
        assert_eq!(paths(&RULE, denied(&["kexec_load"])), ["syscalls[0].names[0]"]);
        assert_eq!(paths(&RULE, denied(&["reboot", "rename"])), ["syscalls[0].names[1]"]);
        assert_eq!(paths(&RULE, denied(&["kexec_load", "kexec_file_load"])), Vec::<String>::new());
        // These architectures have no umount.
        assert_eq!(paths(&RULE, denied(&["umount2", "reboot"])), Vec::<String>::new());
    }

    #[test]
    fn the_newest_call_denied_alone_is_not_found_unless_an_older_one_can_do_the_same() {
        let denied = |name: &str| {
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
                { "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
            ] })
        };
        for name in ["clone3", "renameat2", "execveat", "pwritev2", "fchmodat2", "statx", "openat2", "faccessat2"] {
            assert_eq!(paths(&RULE, denied(name)), Vec::<String>::new(), "{name}");
        }
        for name in ["kexec_file_load", "finit_module", "lstat", "fstat64", "creat", "rmdir", "lchown32", "_newselect", "stime"] {
            assert_eq!(paths(&RULE, denied(name)), ["syscalls[0].names[0]"], "{name}");
        }
    }

    #[test]
    fn mount_denied_without_the_newer_calls_is_found_with_those_that_no_rule_names() {
        let message = |names: &[&str]| -> Vec<String> {
            let found = findings(&RULE, profile("SCMP_ACT_ALLOW", names, "SCMP_ACT_ERRNO"));
            found.into_iter().map(|finding| finding.message).collect()
        };
        let others = "newer calls that together can do the same";
        assert_eq!(
            message(&["mount", "fsmount"]),
            [format!("mount is denied here, but not open_tree, move_mount, mount_setattr: {others}")]
        );
        assert_eq!(message(&["mount", "fsmount", "open_tree", "move_mount", "mount_setattr"]), Vec::<String>::new());
        assert_eq!(message(&["move_mount"]), Vec::<String>::new());
        // What one of them can do is not what mount can do.
        assert_eq!(paths(&RULE, profile("SCMP_ACT_ERRNO", &["mount"], "SCMP_ACT_ALLOW")), Vec::<String>::new());
    }

    #[test]
    fn the_calls_of_32_bit_programs_with_larger_numbers_are_twins_where_the_filter_has_them() {
        let denied = |name: &str, architectures: &[&str]| {
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": [
                { "names": [name], "action": "SCMP_ACT_ERRNO" },
            ] })
        };
        for name in ["setuid", "fchown", "ftruncate", "fcntl", "statfs", "mmap", "sigaction", "adjtimex", "quotactl", "wait4"] {
            let x86 = denied(name, &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
            assert_eq!(paths(&RULE, x86), ["syscalls[0].names[0]"], "{name}");
        }
        for name in ["setuid", "ftruncate", "fcntl", "statfs", "mmap"] {
            assert_eq!(paths(&RULE, denied(name, &["SCMP_ARCH_X86_64"])), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn the_calls_of_32_bit_programs_for_later_times_count_where_the_filter_has_them() {
        let denied = |architectures: &[&str]| {
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": [
                { "names": ["clock_settime"], "action": "SCMP_ACT_ERRNO" },
            ] })
        };
        let found = findings(&RULE, denied(&["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]));
        assert_eq!(found[0].message, "clock_settime is denied here, but not clock_settime64, which can do the same");
        assert_eq!(paths(&RULE, denied(&["SCMP_ARCH_AARCH64"])), Vec::<String>::new());
        let permitted = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_ARM"], "syscalls": [
            { "names": ["clock_gettime"], "action": "SCMP_ACT_ALLOW" },
        ] });
        assert_eq!(paths(&RULE, permitted), Vec::<String>::new());
    }

    #[test]
    fn a_call_that_an_architecture_lacks_is_found_without_its_twin() {
        let permitted = |names: &[&str]| profile("SCMP_ACT_ERRNO", names, "SCMP_ACT_ALLOW");
        assert_eq!(paths(&RULE, permitted(&["read", "open"])), ["syscalls[0].names[1]"]);
        for name in ["creat", "lstat", "rmdir", "lchown", "getpgrp", "pause", "alarm", "time", "ustat"] {
            assert_eq!(paths(&RULE, permitted(&[name])), ["syscalls[0].names[0]"], "{name}");
        }
        let message = &findings(&RULE, permitted(&["dup2"]))[0].message;
        assert_eq!(message, "dup2 is permitted here, but not dup3, which programs use on aarch64, where dup2 does not exist");
        assert_eq!(paths(&RULE, permitted(&["open", "openat", "dup3"])), Vec::<String>::new());
    }

    #[test]
    fn a_fix_adds_what_the_added_calls_need_in_turn() {
        let added = |contents: serde_json::Value| -> Vec<serde_json::Value> {
            let found = findings(&RULE, contents);
            let fixes = found.into_iter().map(|finding| match finding.fix.unwrap().edit {
                Edit::Append { values, .. } => values.into(),
                other => panic!("{other:?}"),
            });
            fixes.collect()
        };
        let profile = |default: &str, architectures: &[&str], name: &str, action: &str| {
            json!({ "defaultAction": default, "architectures": architectures, "syscalls": [
                { "names": [name], "action": action },
            ] })
        };
        // 64-bit ARM has newfstatat instead of lstat, and 32-bit ARM, which has lstat, lacks newfstatat.
        let arm = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];
        let permitted = profile("SCMP_ACT_ERRNO", &arm, "lstat", "SCMP_ACT_ALLOW");
        assert_eq!(added(permitted), [json!(["newfstatat", "fstatat64"])]);
        // Where fchownat is denied instead of chown, and so on: nothing of its families is left.
        let denied = |name: &str| profile("SCMP_ACT_ALLOW", &["SCMP_ARCH_X86_64"], name, "SCMP_ACT_ERRNO");
        assert_eq!(added(denied("creat")), [json!(["open", "openat", "openat2"])]);
        assert_eq!(added(denied("fork")), [json!(["vfork", "clone", "clone3"])]);
    }

    #[test]
    fn each_fix_leaves_fewer_forgotten_twins_of_any_call() {
        let listed: [&[&str]; 5] = [
            &["SCMP_ARCH_X86_64"],
            &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
            &["SCMP_ARCH_ARM", "SCMP_ARCH_RISCV64", "SCMP_ARCH_PPC64LE"],
            &["SCMP_ARCH_X86", "SCMP_ARCH_AARCH64", "SCMP_ARCH_LOONGARCH64"],
        ];
        let mut mended = 0;
        for (call, architectures) in Syscall::all().flat_map(|call| listed.map(|listed| (call, listed))) {
            for (default, action) in [("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"), ("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW")] {
                let mut contents = json!({ "defaultAction": default, "architectures": architectures, "syscalls": [
                    { "names": [call.name()], "action": action },
                ] });
                let mut left = findings(&RULE, contents.clone());
                while let Some(finding) = left.pop() {
                    assert!(finding.fix.unwrap().apply(&mut contents));
                    let after = findings(&RULE, contents.clone());
                    assert!(after.len() <= left.len(), "{} {default} {architectures:?}: {after:?}", call.name());
                    left = after;
                    mended += 1;
                }
            }
        }
        assert!(mended > 100, "{mended}");
    }

    #[test]
    fn an_architecture_that_no_node_has_counts_only_where_nothing_is_known_of_the_nodes() {
        let permitted = profile("SCMP_ACT_ERRNO", &["read", "open"], "SCMP_ACT_ALLOW");
        let on = |architectures: &[Architecture], contents: &serde_json::Value| {
            let nodes = crate::Nodes { architectures: architectures.to_vec(), ..crate::Nodes::default() };
            crate::testing::paths_on(&RULE, &nodes, contents.clone())
        };
        assert_eq!(on(&[Architecture::X86_64], &permitted), Vec::<String>::new());
        assert_eq!(on(&[Architecture::Aarch64], &permitted), ["syscalls[0].names[1]"]);
        let mut unnamed = permitted;
        unnamed["architectures"] = json!([]);
        assert_eq!(on(&[], &unnamed), Vec::<String>::new());
        assert_eq!(on(&[Architecture::Aarch64], &unnamed), ["syscalls[0].names[1]"]);
    }

    #[test]
    fn a_twin_that_a_rule_decides_about_is_not() {
        let when = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]);
        let decided = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["accept"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["accept4"], "action": "SCMP_ACT_ERRNO", "args": when },
        ] });
        assert_eq!(paths(&RULE, decided), Vec::<String>::new());
    }
}
