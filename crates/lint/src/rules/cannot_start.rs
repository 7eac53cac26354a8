//! # cannot-start
//!
//! The profile denies a call that the runtime itself makes after it has loaded the filter, so that no container starts.
//!
//! A runtime loads the filter before it starts the program, and its last calls run under it: at least `execve`, with runc
//! many more, and with runc and crun more unless the pod has `allowPrivilegeEscalation: false`. If one of them is denied,
//! the kubelet reports an error that does not name the call, such as "container process is already dead". A default that
//! kills must permit more calls than one that returns an error.
//!
//! The calls were measured by starting containers on x86_64 with Linux 6.18, for the user 0, under runc 1.5.2, runc 1.1.5,
//! and crun 1.8.1, 1.21 and 1.28. Each call of x86_64 was denied alone by ending the process, those that a runtime uses also
//! with EPERM, EACCES, ENOSYS and a trap, and those that it needs with EIO and EINVAL, so that any errno counts for them (but
//! for `futex`, after whose other errors a start may go on). Then each runtime started 200 times with only its own calls
//! permitted and everything else killed, for the user 0 and for another one. `e2e/tests/runtimes/startup.rs` repeats this,
//! also for runc 1.1.15, 1.3.6 and 1.6.0-rc.1.
//!
//! For a user other than 0 (`runAsUser`, or the image's user) runc also calls `fchown`, unless the pod has
//! `allowPrivilegeEscalation: false`. It goes on after EPERM and EROFS (runc 1.1 also after EINVAL), but not after any other
//! errno or under a filter that kills.
//!
//! Nothing is found for calls that are denied for some arguments only, for calls that a runtime makes now and then, or for
//! another architecture; nor for `SCMP_ACT_TRACE`, with which a call fails unless a tracer is there. What `kubectl exec` needs
//! was not measured. The fix permits what the named runtimes use; it is unsafe, because it changes the filter.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names:
//!       [capget, capset, chdir, close, close_range, epoll_ctl, execve, faccessat2, fchown, fcntl, fstat, fstatfs, futex,
//!        getcwd, getdents64, getpid, getppid, mmap, newfstatat, openat, openat2, prctl, rt_sigaction, rt_sigprocmask,
//!        rt_sigreturn, sched_yield, setgid, setgroups, setresgid, setresuid, setuid, statx, tgkill, read, write,
//!        exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```

use std::collections::{BTreeMap, BTreeSet};

use filter::{Filter, Library, Runtime, Setting, Startup, numbers};
use profile::{Comparison, FieldPath};
use serde_json::json;
use syscalls::{Architecture, Libseccomp};

use crate::boundary;
use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Mention, Subject, permits};
use crate::wording::names;

pub(super) static RULE: Rule = Rule {
    id: "cannot-start",
    severity: Severity::Warning,
    confidence: Confidence::High,
    summary: "The profile denies a call that the runtime itself makes after it has loaded the filter, so that no container \
              starts.",
    check,
};

/// The refused calls of each runtime, at one field and for one kind of container.
type Refused = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// Which containers do not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Containers {
    All,
    /// Those without `noNewPrivileges`.
    Escalating,
    /// Those of them with a user other than 0.
    OfOtherUsers,
}

impl Containers {
    /// The beginning of the message.
    fn named(self) -> &'static str {
        match self {
            Self::All => "no container starts",
            Self::Escalating => "without allowPrivilegeEscalation: false no container starts",
            Self::OfOtherUsers => {
                "without allowPrivilegeEscalation: false no container of a user other than root starts"
            }
        }
    }
}

fn check(subject: &Subject<'_>) -> Vec<Found> {
    if !subject.covered().contains(&Architecture::X86_64) {
        return Vec::new();
    }
    let mut found: BTreeMap<(Option<Place>, Containers), Refused> = BTreeMap::new();
    let startups: Vec<_> = startups(subject).filter(|startup| may_refuse(subject, startup)).collect();
    for (startup, refused) in refused(subject, &startups) {
        let containers = if startup.no_new_privileges { Containers::All } else { Containers::Escalating };
        let of_others = refused.for_other_users.into_iter().map(|name| (Containers::OfOtherUsers, name));
        for (containers, name) in refused.always.into_iter().map(|name| (containers, name)).chain(of_others) {
            let place = place_of(subject, name);
            let of = |containers| found.get(&(place, containers)).and_then(|refused| refused.get(startup.runtime));
            // Where more containers do not start at this place, that says it all; the fix permits what all need.
            let is_said = match containers {
                Containers::All => false,
                Containers::Escalating => of(Containers::All).is_some_and(|names| names.contains(name)),
                Containers::OfOtherUsers => of(Containers::Escalating).is_some(),
            };
            if !is_said {
                found.entry((place, containers)).or_default().entry(startup.runtime).or_default().insert(name);
            }
        }
    }
    found
        .into_iter()
        .map(|((place, containers), refused)| finding(subject, place, containers, &refused))
        .collect()
}

/// What is known of the nodes' runtimes.
fn startups(subject: &Subject<'_>) -> impl Iterator<Item = &'static Startup> {
    let runtimes = &subject.nodes.runtimes;
    Startup::ALL.iter().filter(move |startup| runtimes.iter().any(|runtime| startup.is_of(*runtime)))
}

/// Where a call is denied: the rule and the name in it.
type Place = (usize, usize);

/// The first rule about a call; `None` if no rule is, so that it gets the default.
fn place_of(subject: &Subject<'_>, name: &str) -> Option<Place> {
    let treatment = subject.treatment(name)?;
    let mention = treatment.unconditional.or(treatment.conditional.first().copied())?;
    Some((mention.rule, mention.name))
}

/// Whether a filter can refuse something at all; to make one takes longer.
fn may_refuse(subject: &Subject<'_>, startup: &Startup) -> bool {
    let mut calls = startup.needed.iter().chain(startup.made).chain(startup.for_other_users);
    calls.any(|name| !is_permitted_somehow(subject, name))
}

/// Whether it is plain without a filter that a call is permitted, at least with some arguments: a rule permits it or the
/// default does; or every rule about it has arguments and permits, and one of them compares a single argument with a value.
fn is_permitted_somehow(subject: &Subject<'_>, name: &str) -> bool {
    if let Some(effect) = subject.effect(name) {
        return permits(effect);
    }
    let conditional = subject.treatment(name).map_or(&[][..], |treatment| &treatment.conditional);
    let compares_one = |mention: &Mention| {
        let arguments = subject.profile.rules()[mention.rule].arguments();
        matches!(arguments, [argument] if argument.comparison() == Comparison::Equal)
    };
    conditional.iter().all(|mention| permits(mention.effect)) && conditional.iter().any(compares_one)
}

/// The calls of one runtime with which a container certainly does not start.
#[derive(Default)]
struct Calls {
    /// Whatever its user is.
    always: Vec<&'static str>,
    /// If its user is not 0.
    for_other_users: Vec<&'static str>,
}

impl Calls {
    fn is_empty(&self) -> bool {
        self.always.is_empty() && self.for_other_users.is_empty()
    }

    fn retain_those_of(&mut self, others: &Self) {
        self.always.retain(|name| others.always.contains(name));
        self.for_other_users.retain(|name| others.for_other_users.contains(name));
    }
}

/// The calls with which a container certainly does not start, whatever libseccomp the nodes have: of each of `startups` of
/// which there are any.
fn refused(subject: &Subject<'_>, startups: &[&'static Startup]) -> Vec<(&'static Startup, Calls)> {
    let newest = boundary::newest(subject);
    let oldest = subject.nodes.libseccomps.iter().min().copied().unwrap_or(newest);
    let mut found: Vec<_> = refused_with(subject, newest, startups);
    found.retain(|(_, calls)| !calls.is_empty());
    if oldest != newest {
        let left: Vec<_> = found.iter().map(|(startup, _)| *startup).collect();
        for ((_, calls), (_, also)) in found.iter_mut().zip(refused_with(subject, oldest, &left)) {
            calls.retain_those_of(&also);
        }
    }
    found
}

/// The same with one libseccomp: for each of `startups`, in their order. Several of them are of one runtime and have one
/// filter, and filters take longer than everything else that this rule does.
fn refused_with(
    subject: &Subject<'_>,
    libseccomp: Libseccomp,
    startups: &[&'static Startup],
) -> Vec<(&'static Startup, Calls)> {
    let mut models: Vec<Runtime> = Vec::new();
    for Startup { model, .. } in startups {
        if !models.contains(model) {
            models.push(*model);
        }
    }
    let (number, library) = (numbers(libseccomp), Library::from(libseccomp));
    let setting = |runtime| Setting { runtime, library, native: Startup::ARCHITECTURE, number: &number };
    let settings: Vec<_> = models.iter().map(|model| setting(*model)).collect();
    let filters = Filter::in_all(subject.profile, &settings);
    let refused_by = |startup: &&'static Startup| {
        let at = models.iter().position(|model| *model == startup.model);
        // If there is no filter, other rules say why.
        let filter = at.and_then(|at| filters.get(at)?.as_ref().ok());
        let names = |refused: Vec<(&'static str, _)>| refused.into_iter().map(|(name, _)| name).collect();
        let calls = filter.map(|filter| Calls {
            always: names(startup.refused(filter)),
            for_other_users: names(startup.refused_for_other_users(filter)),
        });
        (*startup, calls.unwrap_or_default())
    };
    startups.iter().map(refused_by).collect()
}

fn finding(
    subject: &Subject<'_>,
    place: Option<Place>,
    containers: Containers,
    refused: &Refused,
) -> Found {
    let path: FieldPath = match place {
        Some((rule, name)) => place::name(rule, name),
        None => place::field("defaultAction"),
    };
    // Runtimes of which the same calls are denied stand together.
    let mut groups: Vec<(Vec<&str>, &BTreeSet<&str>)> = Vec::new();
    for (runtime, calls) in refused {
        match groups.iter_mut().find(|(_, of)| *of == calls) {
            Some((runtimes, _)) => runtimes.push(runtime),
            None => groups.push((vec![runtime], calls)),
        }
    }
    let groups = groups.iter().map(|(runtimes, calls)| {
        let calls = names(calls.iter().copied());
        format!("{} ({calls})", runtimes.join(", "))
    });
    let message = format!(
        "{} under these runtimes, because calls that they make themselves are denied: {}",
        containers.named(),
        groups.collect::<Vec<_>>().join("; ")
    );
    let found = Found::new(path, message);
    // A profile without rules may have no list to which one could be appended.
    if place.is_some() || subject.profile.rules().is_empty() {
        return found;
    }
    // Everything that these runtimes use: a call that now gets ENOSYS from runc's stub may be killed once others are named.
    let no_new_privileges = containers == Containers::All;
    let startups = startups(subject).filter(|startup| {
        startup.no_new_privileges == no_new_privileges && refused.contains_key(startup.runtime)
    });
    let used = startups.flat_map(Startup::calls);
    let missing: BTreeSet<_> = used.filter(|name| subject.treatment(name).is_none()).collect();
    let rule = json!({ "names": missing, "action": "SCMP_ACT_ALLOW" });
    let edit = Edit::Append { path: place::field("syscalls"), values: vec![rule] };
    found.with(Fix::new(Safety::Unsafe, "Permit what these runtimes use", edit))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::{findings, paths, paths_on};

    /// All that runc 1.5.2 and crun use with `allowPrivilegeEscalation: false`.
    const USED: [&str; 16] = [
        "close", "close_range", "epoll_ctl", "execve", "fcntl", "fstat", "fstatfs", "futex", "getdents64", "getpid", "mmap",
        "openat", "openat2", "rt_sigreturn", "statx", "write",
    ];

    fn permitting(names: &[&str], default: &str) -> Value {
        json!({ "defaultAction": default, "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }] })
    }

    /// Whether something is found for containers with `allowPrivilegeEscalation: false`.
    fn never_starts(profile: Value) -> bool {
        findings(&RULE, profile).iter().any(|finding| !finding.message.starts_with("without"))
    }

    #[test]
    fn what_is_missing_is_named_with_the_runtimes_that_need_it() {
        let profile = permitting(&["write", "execve", "close"], "SCMP_ACT_ERRNO");
        let found = findings(&RULE, profile.clone());
        assert_eq!(paths(&RULE, profile), ["defaultAction", "defaultAction"]);
        assert!(found[0].message.ends_with(
            "denied: runc 1.1.5 (fstatfs, getdents64, openat); runc 1.5.2 (fcntl, fstat, fstatfs, getdents64, openat, \
             readlinkat, statx)"
        ), "{}", found[0].message);
        assert!(found[1].message.starts_with("without allowPrivilegeEscalation: false no container starts"));
        assert!(found[1].message.contains("crun 1.8.1 (capset, prctl, "), "{}", found[1].message);
    }

    #[test]
    fn only_what_the_nodes_runtimes_need_is_found() {
        let on = |runtimes: &[Runtime], names: &[&str]| {
            let nodes = Nodes { runtimes: runtimes.to_vec(), ..Nodes::default() };
            paths_on(&RULE, &nodes, permitting(names, "SCMP_ACT_ERRNO")).len()
        };
        let crun = ["capset", "close", "execve", "prctl", "rt_sigaction", "rt_sigprocmask", "setresgid", "setresuid", "write"];
        assert_eq!(on(&[Runtime::CRUN], &crun), 0);
        assert_eq!(on(&[Runtime::CRUN, Runtime::RUNC_1_2], &crun), 2);
        assert_eq!(on(&[Runtime::RUNC_1_1], &crun), on(&[Runtime::RUNC_1_1_15], &crun));
        assert_eq!(on(&[Runtime::RUNC_1_1_15], &["read"]), 2);
    }

    #[test]
    fn a_needed_call_that_fails_with_any_errno_is_found() {
        let found = |errno: u16| {
            let mut profile = permitting(&["read", "uname", "listns"], "SCMP_ACT_ERRNO");
            profile["defaultErrnoRet"] = errno.into();
            never_starts(profile)
        };
        for errno in [1, 2, 5, 11, 13, 22, 38, 4094] {
            assert!(found(errno), "{errno}");
        }
        // The program believes that the calls succeeded.
        assert!(!found(0));
        // After other errors Go's runtime may go on without `futex`, which runc needs for some containers.
        let futex = |errno: u16| {
            let rule = json!({ "names": ["futex"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno });
            paths(&RULE, json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] })).len()
        };
        assert_eq!([1, 13, 38].map(futex), [1, 1, 1]);
        assert_eq!([5, 22].map(futex), [0, 0]);
    }

    #[test]
    fn what_a_runtime_makes_for_other_users_may_fail_with_some_errnos() {
        let on = |runtime, errno: u16| {
            let rule = json!({ "names": ["fchown"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno });
            let nodes = Nodes { runtimes: vec![runtime], ..Nodes::default() };
            paths_on(&RULE, &nodes, json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] })).len()
        };
        let errnos = [1, 30, 22, 5, 13, 38];
        assert_eq!(errnos.map(|errno| on(Runtime::RUNC_1_2, errno)), [0, 0, 1, 1, 1, 1]);
        assert_eq!(errnos.map(|errno| on(Runtime::RUNC_1_1, errno)), [0, 0, 0, 1, 1, 1]);
        assert_eq!(errnos.map(|errno| on(Runtime::CRUN, errno)), [0; 6]);
    }

    #[test]
    fn a_profile_without_rules_has_no_fix_because_it_may_have_no_list_for_one() {
        let found = findings(&RULE, json!({ "defaultAction": "SCMP_ACT_ERRNO" }));
        assert!(!found.is_empty() && found.iter().all(|finding| finding.fix.is_none()));
    }

    #[test]
    fn a_rule_that_denies_a_needed_call_is_found_at_its_name() {
        let rule = |args: Value| {
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                { "names": ["mount", "statx"], "action": "SCMP_ACT_ERRNO", "args": args },
            ] })
        };
        assert_eq!(paths(&RULE, rule(json!([])))[0], "syscalls[0].names[1]");
        let some = json!([{ "index": 0, "value": 3, "op": "SCMP_CMP_EQ" }]);
        assert_eq!(paths(&RULE, rule(some)), Vec::<String>::new());
    }

    #[test]
    fn a_needed_call_that_is_permitted_with_some_arguments_is_not_missing() {
        let others: Vec<_> = USED.iter().copied().filter(|name| *name != "fstatfs").collect();
        let with = |rules: &[Value]| {
            let mut profile = permitting(&others, "SCMP_ACT_ERRNO");
            profile["syscalls"].as_array_mut().unwrap().extend_from_slice(rules);
            profile
        };
        let rule = |action: &str, op: &str, value: u64| {
            json!({ "names": ["fstatfs"], "action": action, "args": [{ "index": 0, "value": value, "op": op }] })
        };
        assert!(never_starts(with(&[])));
        assert!(!never_starts(with(&[rule("SCMP_ACT_ALLOW", "SCMP_CMP_EQ", 3)])));
        assert!(!never_starts(with(&[rule("SCMP_ACT_ALLOW", "SCMP_CMP_GT", 3)])));
        assert!(never_starts(with(&[rule("SCMP_ACT_KILL", "SCMP_CMP_EQ", 3)])), "denied in two ways");
    }

    #[test]
    fn every_needed_call_must_be_permitted_and_the_others_may_fail_but_not_kill() {
        assert!(!never_starts(permitting(&USED, "SCMP_ACT_ERRNO")));
        assert!(!never_starts(permitting(&USED, "SCMP_ACT_KILL_PROCESS")));
        for (missing, killed_only) in [("fstatfs", false), ("execve", false), ("openat2", true), ("close_range", true)] {
            let others: Vec<_> = USED.iter().copied().filter(|name| *name != missing).collect();
            // With a newer name, so that runc's stub does not answer.
            let others = [&others[..], &["readlinkat", "faccessat2"]].concat();
            assert_eq!(never_starts(permitting(&others, "SCMP_ACT_ERRNO")), !killed_only, "{missing}");
            assert!(never_starts(permitting(&others, "SCMP_ACT_KILL_PROCESS")), "{missing}");
        }
    }

    #[test]
    fn for_a_user_other_than_root_runc_also_needs_fchown_unless_it_fails_with_eperm() {
        let runc = Startup::ALL.iter().filter(|it| it.runtime.starts_with("runc") && !it.no_new_privileges);
        let crun = Startup::ALL.iter().filter(|it| it.runtime.starts_with("crun"));
        let names: Vec<_> = runc.chain(crun).flat_map(Startup::calls).filter(|name| *name != "fchown").collect();
        assert_eq!(paths(&RULE, permitting(&names, "SCMP_ACT_ERRNO")), Vec::<String>::new());
        let mut profile = permitting(&names, "SCMP_ACT_KILL_PROCESS");
        let found = findings(&RULE, profile.clone());
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message,
            "without allowPrivilegeEscalation: false no container of a user other than root starts under these \
             runtimes, because calls that they make themselves are denied: runc 1.1.5, runc 1.5.2 (fchown)"
        );
        assert!(found[0].fix.as_ref().unwrap().apply(&mut profile));
        assert_eq!(paths(&RULE, profile.clone()), Vec::<String>::new());
        assert_eq!(profile["syscalls"][1]["names"], json!(["fchown"]));
        let mut enosys = permitting(&names, "SCMP_ACT_ERRNO");
        enosys["defaultErrnoRet"] = 38.into();
        assert_eq!(paths(&RULE, enosys), ["defaultAction"]);
        // Where no container starts at all, nothing more is said of some.
        let found = findings(&RULE, permitting(&["read"], "SCMP_ACT_KILL_PROCESS"));
        assert!(found.iter().all(|finding| !finding.message.contains("other than root")));
    }

    #[test]
    fn without_openat2_two_other_calls_are_needed() {
        let others: Vec<_> = USED.iter().copied().filter(|name| *name != "openat2").collect();
        assert!(never_starts(permitting(&others, "SCMP_ACT_ERRNO")));
        assert!(!never_starts(permitting(&[&others[..], &["readlinkat"]].concat(), "SCMP_ACT_ERRNO")));
    }

    #[test]
    fn other_architectures_and_defaults_that_permit_are_not() {
        let mut arm = permitting(&["read"], "SCMP_ACT_ERRNO");
        arm["architectures"] = json!(["SCMP_ARCH_AARCH64"]);
        assert_eq!(paths(&RULE, arm), Vec::<String>::new());
        let nodes = Nodes { architectures: vec![Architecture::Aarch64], ..Nodes::default() };
        assert_eq!(paths_on(&RULE, &nodes, permitting(&["read"], "SCMP_ACT_ERRNO")), Vec::<String>::new());
        for default in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"] {
            assert_eq!(paths(&RULE, permitting(&["read"], default)), Vec::<String>::new());
        }
    }
}
