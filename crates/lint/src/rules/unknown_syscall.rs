//! # unknown-syscall
//!
//! No kernel has a call of this name, so that runtimes ignore it.
//!
//! Runtimes skip a name that their libseccomp does not know and start the container as if it were not there; only debug
//! logs mention it (runc 1.1.5 to 1.5.2, crun 1.8.1 to 1.28). A misspelt name in a list of permitted calls denies the call
//! that was meant, and in a list of denied calls it permits it. This rule finds names that no architecture has in the
//! headers of Linux 7.2, and that no measured libseccomp knows. It suggests the call that a function of the C library makes
//! (`pread64` for `pread`), or a similar name, of a call that a listed architecture has if there is one. Whether that is
//! the one that was meant, only the author knows, so that the fix is unsafe.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [add_key, keyct1, request_key]
//!     action: SCMP_ACT_ERRNO
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [add_key, keyctl, request_key]
//!     action: SCMP_ACT_ERRNO
//! ```

use std::collections::BTreeMap;

use syscalls::Syscall;

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

/// The maximum number of names for which similar ones are searched: each is compared with every known name.
const MOST_SEARCHED: usize = 32;

pub(super) static RULE: Rule = Rule {
    id: "unknown-syscall",
    severity: Severity::Error,
    confidence: Confidence::High,
    summary: "No kernel has a call of this name, so that runtimes ignore it.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let covered = subject.covered();
    let exists = |call: Syscall| covered.iter().any(|architecture| call.number(*architecture).is_some());
    let mut similar: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, rule) in subject.rules() {
        for (at, name) in rule.names().iter().enumerate() {
            let name = name.as_str();
            if Syscall::from_name(name).is_some() {
                continue;
            }
            if similar.len() < MOST_SEARCHED {
                similar.entry(name).or_insert_with(|| of_function(name, exists).or_else(|| nearest(name, exists)));
            }
            let path = place::name(index, at);
            let what =
                format!("{name} is no system call of Linux {} or before, and runtimes ignore it", syscalls::LINUX);
            found.push(match similar.get(name).copied().flatten() {
                Some(near) => {
                    let edit = Edit::Set { path: path.clone(), value: near.into() };
                    let fix = Fix::new(Safety::Unsafe, format!("Replace it by {near}"), edit);
                    Found::new(path, format!("{what}; did you mean {near}?")).with(fix)
                }
                None => Found::new(path, what),
            });
        }
    }
    found
}

/// Functions of the C library whose names are not those of the calls that they make; of several calls the one that an
/// architecture has.
const FUNCTIONS: &[(&str, &[&str])] = &[
    ("exec", &["execve"]),
    ("execv", &["execve"]),
    ("execvp", &["execve"]),
    ("fexecve", &["execveat"]),
    ("fstatat", &["newfstatat", "fstatat64"]),
    ("kexec_file", &["kexec_file_load"]),
    ("posix_fadvise", &["fadvise64", "fadvise64_64"]),
    ("posix_fallocate", &["fallocate"]),
    ("pread", &["pread64"]),
    ("prlimit", &["prlimit64"]),
    ("pwrite", &["pwrite64"]),
    ("sbrk", &["brk"]),
    ("sigqueue", &["rt_sigqueueinfo"]),
    ("sigtimedwait", &["rt_sigtimedwait"]),
    ("sigwaitinfo", &["rt_sigtimedwait"]),
];

/// The call that a function of the C library makes.
fn of_function(name: &str, exists: impl Fn(Syscall) -> bool) -> Option<&'static str> {
    let (_, calls) = FUNCTIONS.iter().find(|(function, _)| *function == name)?;
    calls.iter().copied().find(|call| Syscall::from_name(call).is_some_and(&exists)).or(calls.first().copied())
}

/// The most similar known name, if it differs in at most a quarter of its characters: rather that of a call that an
/// architecture of the profile has.
fn nearest(name: &str, exists: impl Fn(Syscall) -> bool) -> Option<&'static str> {
    let most = |known: &str| (known.len() / 4).max(1);
    let letters = Letters::of(name);
    Syscall::all()
        .filter(|call| letters.least_distance(&Letters::of(call.name())) <= most(call.name()))
        .map(|call| (strsim::osa_distance(name, call.name()), call))
        .filter(|(distance, call)| *distance <= most(call.name()))
        .min_by_key(|(distance, call)| (!exists(*call), *distance))
        .map(|(_, call)| call.name())
}

/// How often a word has each letter; others count as one.
struct Letters([u8; 32]);

impl Letters {
    fn of(word: &str) -> Self {
        let mut counts = [0_u8; 32];
        for byte in word.bytes() {
            let count = &mut counts[usize::from(byte % 32)];
            *count = count.saturating_add(1);
        }
        Self(counts)
    }

    /// A bound below the distance of two words: each edit adds a letter, takes one away, replaces one, or swaps two. It
    /// costs a fraction of the distance, and few names are near enough for that.
    fn least_distance(&self, other: &Self) -> usize {
        let pairs = || self.0.iter().zip(&other.0);
        let added: usize = pairs().map(|(ours, theirs)| usize::from(theirs.saturating_sub(*ours))).sum();
        let removed: usize = pairs().map(|(ours, theirs)| usize::from(ours.saturating_sub(*theirs))).sum();
        added.max(removed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    #[test]
    fn misspelt_names_are_found_and_known_ones_are_not() {
        let rule = |names: &[&str]| json!({ "names": names, "action": "SCMP_ACT_ALLOW" });
        let profile = |rules: &[_]| json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules });
        assert_eq!(paths(&RULE, profile(&[rule(&["writ"])])), ["syscalls[0].names[0]"]);
        let two = profile(&[rule(&["read"]), rule(&["write", "made_up_call"])]);
        assert_eq!(paths(&RULE, two), ["syscalls[1].names[1]"]);
        // Known only to libseccomp, only on ARM, and newer than most kernels.
        let known = profile(&[rule(&["read", "cachectl", "set_tls", "rseq_slice_yield"])]);
        assert_eq!(paths(&RULE, known), Vec::<String>::new());
    }

    #[test]
    fn a_similar_name_is_suggested_and_no_other() {
        let message = |name: &str| {
            let rule = json!({ "names": [name], "action": "SCMP_ACT_ALLOW" });
            let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] });
            findings(&RULE, profile)[0].message.clone()
        };
        assert!(message("opeant").ends_with("did you mean openat?"));
        assert!(message("made_up_call").ends_with("runtimes ignore it"));
    }

    #[test]
    fn the_call_of_a_function_and_calls_that_a_listed_architecture_has_are_preferred() {
        let message = |name: &str, architecture: &str| {
            let rule = json!({ "names": [name], "action": "SCMP_ACT_ALLOW" });
            let profile =
                json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": [architecture], "syscalls": [rule] });
            findings(&RULE, profile)[0].message.clone()
        };
        for (name, architecture, call) in [
            ("pread", "SCMP_ARCH_X86_64", "pread64"),
            ("fstatat", "SCMP_ARCH_AARCH64", "newfstatat"),
            ("fstatat", "SCMP_ARCH_ARM", "fstatat64"),
            // As near as lstat, which this architecture lacks.
            ("hstat", "SCMP_ARCH_AARCH64", "fstat"),
        ] {
            let message = message(name, architecture);
            assert!(message.ends_with(&format!("did you mean {call}?")), "{name}: {message}");
        }
    }

    #[test]
    fn every_function_is_no_call_and_makes_known_ones() {
        for (function, calls) in FUNCTIONS {
            assert!(Syscall::from_name(function).is_none(), "{function}");
            assert!(calls.iter().all(|call| Syscall::from_name(call).is_some()), "{function}");
        }
    }

    #[test]
    fn no_name_is_left_out_that_is_near() {
        for name in Syscall::all().map(Syscall::name).step_by(7) {
            for known in Syscall::all().map(Syscall::name) {
                let bound = Letters::of(name).least_distance(&Letters::of(known));
                assert!(bound <= strsim::osa_distance(name, known), "{name} and {known}");
            }
        }
    }
}
