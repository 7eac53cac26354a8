//! What runc and crun themselves need of a profile, by really starting containers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use filter::{Filter, Runtime, Startup, numbers};
use profile::Profile;
use serde_json::{Value, json};
use syscalls::{Architecture, Libseccomp, Syscall};

use crate::container::{Options, Root, Start};
use crate::installed::{Installed, libseccomp};

/// How many starts show that a list is complete.
const STARTS: usize = 200;
/// How many of them may fail for a call of Go's runtime that was never seen.
const RARE: usize = 2;

/// Actions that were measured, with their errnos.
const ACTIONS: [(&str, Option<u16>); 5] = [
    ("SCMP_ACT_ERRNO", Some(1)),
    ("SCMP_ACT_ERRNO", Some(13)),
    ("SCMP_ACT_ERRNO", Some(38)),
    ("SCMP_ACT_TRAP", None),
    ("SCMP_ACT_KILL_PROCESS", None),
];

/// Errnos with which a profile may deny calls, too: EIO and EINVAL. After EINTR and EAGAIN some programs try again without end.
const OTHER_ERRNOS: [(&str, Option<u16>); 2] = [("SCMP_ACT_ERRNO", Some(5)), ("SCMP_ACT_ERRNO", Some(22))];

/// A start of the probe, which then makes no call but `exit_group`.
#[derive(Clone, Copy)]
struct Case<'a> {
    root: &'a Root,
    runtime: &'a Installed,
    startup: &'a Startup,
    user: u32,
}

/// A user of containers that is not root.
const OTHER_USER: u32 = 1_000;

impl Case<'_> {
    fn name(&self) -> String {
        format!(
            "{}, noNewPrivileges {}, user {}",
            self.runtime.name, self.startup.no_new_privileges, self.user
        )
    }

    /// Whether a container starts. One that is not expected to start may hang, and is given up soon; one that is must start,
    /// or fail, at some time.
    fn starts(&self, profile: &Value, expected: bool) -> bool {
        let options = Options {
            no_new_privileges: self.startup.no_new_privileges,
            capabilities: true,
            user: self.user,
            seconds: if expected { Options::HARMLESS.seconds } else { 8 },
        };
        match self.root.start(self.runtime, options, Some(profile), &[]) {
            Start::Ran(_) => true,
            Start::Refused(_) => false,
            Start::Late => {
                assert!(!expected, "{}: late under {profile}", self.name());
                false
            }
        }
    }

    /// Whether a container starts although the profile refuses a needed call. Go's runtime makes `futex` in nearly every
    /// start, and runc 1.5.2 and 1.6.0-rc.1 started once each without it: not three times in a row.
    fn starts_without(&self, missing: &str, profile: &Value) -> bool {
        let tries = if self.startup.sometimes.contains(&missing) { 3 } else { 1 };
        (0..tries).all(|_| self.starts(profile, false))
    }

    fn may_start(&self, profile: &Value, libseccomp: Libseccomp) -> bool {
        let number = numbers(libseccomp);
        let filter =
            Filter::new(&Profile::from_value(profile).unwrap(), &self.runtime.setting(libseccomp, &number))
                .unwrap();
        let for_other_users = || self.startup.refused_for_other_users(&filter).is_empty();
        self.startup.refused(&filter).is_empty() && (self.user == 0 || for_other_users())
    }

    /// Every call that the runtime is said to make.
    fn calls(&self) -> Vec<&'static str> {
        let Startup { needed, made, for_other_users, sometimes, .. } = self.startup;
        let for_the_user = if self.user == 0 { &[] } else { *for_other_users };
        [*needed, *made, for_the_user, *sometimes].concat()
    }
}

/// Those that are measured here, for a runtime that is installed.
fn startups(runtime: &Installed) -> Vec<&'static Startup> {
    let name = match runtime.name {
        "runc-1.1.15" => "runc 1.1.5".to_owned(),
        "runc-1.3.6" | "runc-1.6.0-rc.1" => "runc 1.5.2".to_owned(),
        "crun-1.21" | "crun-1.28" => "crun 1.21 and 1.28".to_owned(),
        name => name.replace('-', " "),
    };
    let found: Vec<_> = Startup::ALL.iter().filter(|it| it.runtime == name).collect();
    assert_eq!(found.len(), 2, "{name}");
    found
}

/// Denies these calls with the action, and permits all others.
fn denying(names: &[&str], (action, errno): (&str, Option<u16>)) -> Value {
    let mut rule = json!({ "names": names, "action": action });
    if let Some(errno) = errno {
        rule["errnoRet"] = errno.into();
    }
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule] })
}

/// Permits these calls and what the probe needs.
fn permitting(names: &[&str], default: &str) -> Value {
    let names = [names, &["exit_group"]].concat();
    json!({
        "defaultAction": default,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    })
}

/// Does the work for each item in a few threads, since a start mostly waits, and returns what was found.
fn in_threads<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let more = work(item);
                    found.lock().unwrap().extend(more);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// The calls of x86_64, without the one that ends the probe.
fn names() -> impl Iterator<Item = &'static str> {
    let calls = Syscall::all().filter(|call| call.number(Architecture::X86_64).is_some());
    calls.map(|call| call.name()).filter(|name| *name != "exit_group")
}

#[test]
fn runc_starts_with_the_calls_that_it_is_said_to_make_and_without_no_needed_one() {
    let Some(libseccomp) = libseccomp() else { return };
    let (root, runtime) = (Root::new(), Installed::runc());
    for startup in startups(&runtime) {
        let case = Case { root: &root, runtime: &runtime, startup, user: 0 };
        let all = case.calls();
        let whole = permitting(&all, "SCMP_ACT_ERRNO");
        assert!(case.may_start(&whole, libseccomp) && case.starts(&whole, true), "{}", case.name());
        let wrong = in_threads(startup.needed, |missing| {
            let others: Vec<_> = all.iter().copied().filter(|name| name != missing).collect();
            let profile = permitting(&others, "SCMP_ACT_ERRNO");
            (case.may_start(&profile, libseccomp) || case.starts_without(missing, &profile))
                .then_some(*missing)
        });
        assert!(wrong.is_empty(), "{}: starts without {wrong:?}", case.name());
        let needed = startup.needed.iter().filter(|name| !startup.sometimes.contains(name));
        let ways: Vec<_> = needed.map(|name| (*name, OTHER_ERRNOS[1])).collect();
        let wrong = in_threads(&ways, |(name, way)| {
            let profile = denying(&[name], *way);
            (case.may_start(&profile, libseccomp) || case.starts(&profile, false)).then_some(*name)
        });
        assert!(wrong.is_empty(), "{}: starts with EINVAL for {wrong:?}", case.name());
    }
}

#[test]
fn runc_starts_for_another_user_exactly_if_the_filter_lets_it_give_away_its_output() {
    let Some(libseccomp) = libseccomp() else { return };
    let (root, runtime) = (Root::new(), Installed::runc());
    give_away_output(&root, &runtime, libseccomp);
}

/// Denies the calls that a runtime makes for a user other than root, and compares whether a container starts.
fn give_away_output(root: &Root, runtime: &Installed, libseccomp: Libseccomp) {
    for startup in startups(runtime) {
        for user in [0, OTHER_USER] {
            let case = Case { root, runtime, startup, user };
            let with_read_only = [("SCMP_ACT_ERRNO", Some(30))];
            let ways = [&ACTIONS[..], &OTHER_ERRNOS, &with_read_only].concat();
            let wrong = in_threads(&ways, |way| {
                let profile = denying(&["fchown"], *way);
                let expected = case.may_start(&profile, libseccomp);
                (case.starts(&profile, expected) != expected).then_some(*way)
            });
            assert!(wrong.is_empty(), "{}: {wrong:?}", case.name());
        }
    }
}

/// Denies one call at a time, and compares whether a container starts.
fn deny_each_call(runtimes: &[Installed]) {
    let root = Root::new();
    for runtime in runtimes {
        let libseccomp = runtime.libseccomp().unwrap();
        give_away_output(&root, runtime, libseccomp);
        for startup in startups(runtime) {
            let case = Case { root: &root, runtime, startup, user: 0 };
            // A call that is never made may be denied in every way, so the hardest one suffices.
            let all = names().map(|name| (name, ACTIONS[4]));
            let made = [startup.needed, startup.made].concat().into_iter();
            let usual = made.flat_map(|name| ACTIONS[..4].iter().map(move |way| (name, *way)));
            let needed = startup.needed.iter().filter(|name| !startup.sometimes.contains(name));
            let other = needed.flat_map(|name| OTHER_ERRNOS.map(|way| (*name, way)));
            let ways: Vec<_> = all.chain(usual).chain(other).collect();
            let wrong = in_threads(&ways, |(name, way)| {
                let profile = denying(&[name], *way);
                let expected = case.may_start(&profile, libseccomp);
                // With EACCES also some calls fail the start that may fail otherwise (`faccessat2` of runc 1.5.2).
                if expected && (startup.sometimes.contains(name) || *way == ACTIONS[1]) {
                    return None;
                }
                let starts = || case.starts(&profile, expected);
                let starts = match (expected, startup.sometimes.contains(name)) {
                    // What is made once in many starts does not fail three times in a row.
                    (true, _) => (0..3).any(|_| starts()),
                    (false, _) => case.starts_without(name, &profile),
                };
                (starts != expected).then(|| format!("{name} {way:?}: starts {starts}"))
            });
            println!("{}: {} ways to deny one call, {} not as said", case.name(), ways.len(), wrong.len());
            assert!(wrong.is_empty(), "{}: {wrong:#?}", case.name());
        }
    }
}

/// Starts containers with nothing permitted but the calls that the runtime is said to make.
fn start_often(runtimes: &[Installed]) {
    let root = Root::new();
    for runtime in runtimes {
        let libseccomp = runtime.libseccomp().unwrap();
        let cases =
            startups(runtime).into_iter().flat_map(|startup| [0, OTHER_USER].map(|user| (startup, user)));
        for (startup, user) in cases {
            let case = Case { root: &root, runtime, startup, user };
            let profile = permitting(&case.calls(), "SCMP_ACT_KILL_PROCESS");
            assert!(case.may_start(&profile, libseccomp), "{}", case.name());
            let starts = in_threads(&[(); STARTS], |()| case.starts(&profile, true).then_some(())).len();
            println!("{}: {starts} of {STARTS} starts", case.name());
            assert!(starts + RARE >= STARTS, "{}: {starts} of {STARTS} starts", case.name());
        }
    }
}

fn installed() -> [Installed; 3] {
    let [old_runc, crun] = Installed::of_debian();
    [Installed::runc(), old_runc, crun]
}

#[test]
#[ignore = "long: 3,000 starts, and Debian's runtimes"]
fn runtimes_do_not_start_exactly_without_the_calls_that_they_are_said_to_need() {
    deny_each_call(&installed());
}

#[test]
#[ignore = "long: 1,200 starts, and Debian's runtimes"]
fn runtimes_start_two_hundred_times_with_only_the_calls_that_they_are_said_to_make() {
    start_often(&installed());
}

#[test]
#[ignore = "long: 3,000 starts, and versions of runc that are built"]
fn other_versions_of_runc_do_not_start_exactly_without_the_calls_that_they_are_said_to_need() {
    deny_each_call(&Installed::other_runc());
}

#[test]
#[ignore = "long: 1,600 starts, and versions of crun that are downloaded"]
fn other_versions_of_crun_do_not_start_exactly_without_the_calls_that_they_are_said_to_need() {
    deny_each_call(&Installed::other_crun());
}

#[test]
#[ignore = "long: 2,000 starts, and runtimes that are built or downloaded"]
fn other_versions_start_two_hundred_times_with_only_the_calls_that_they_are_said_to_make() {
    start_often(&Installed::other_runc());
    start_often(&Installed::other_crun());
}

#[test]
#[ignore = "long: starts that hang until their limit"]
fn a_needed_call_that_ends_only_the_thread_keeps_a_container_from_starting() {
    let (root, runtime) = (Root::new(), Installed::runc());
    for startup in startups(&runtime) {
        let case = Case { root: &root, runtime: &runtime, startup, user: 0 };
        let started = in_threads(startup.needed, |name| {
            case.starts(&denying(&[name], ("SCMP_ACT_KILL_THREAD", None)), false).then_some(*name)
        });
        assert!(started.is_empty(), "{}: {started:?}", case.name());
    }
}

#[test]
#[ignore = "long: two sets of starts"]
fn without_openat2_runc_needs_two_other_calls() {
    let libseccomp = libseccomp().unwrap();
    let (root, runtime) = (Root::new(), Installed::runc());
    assert_eq!(runtime.model, Runtime::RUNC_1_2);
    for startup in startups(&runtime) {
        let case = Case { root: &root, runtime: &runtime, startup, user: 0 };
        for (others, starts) in [(&[][..], true), (&["fcntl"], false), (&["readlinkat"], false)] {
            let names = [&["openat2"], others].concat();
            let wrong = in_threads(&ACTIONS[..3], |action| {
                let profile = denying(&names, *action);
                assert_eq!(case.may_start(&profile, libseccomp), starts, "{names:?}");
                (case.starts(&profile, starts) != starts).then_some(*action)
            });
            assert!(wrong.is_empty(), "{}: {names:?} {wrong:?}", case.name());
        }
    }
}
