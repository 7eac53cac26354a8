//! Random profiles under which the probe starts: sets of rules as in the tests of the model, for calls that harm nobody.

use filter::{Verdict, tree::CallRule};
use profile::Effect;
use serde_json::{Value, json};

use crate::calls;
use crate::sets::Random;

/// What the probe needs, and what the runtimes need until they have started it, with `noNewPrivileges`. All are permitted
/// in every profile, so none of them is tested.
const NEEDED: [&str; 27] = [
    // The probe.
    "clone",
    "execve",
    "exit",
    "exit_group",
    "rt_sigaction",
    "wait4",
    "write",
    // runc and crun.
    "close",
    "fcntl",
    "fstat",
    "fstatfs",
    "getdents64",
    "newfstatat",
    "openat",
    "readlinkat",
    "statx",
    // runc now and then, and runc 1.1.
    "epoll_ctl",
    "futex",
    "getpid",
    "gettid",
    "madvise",
    "mmap",
    "nanosleep",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "tgkill",
];

/// Also needed, unless the border of runc's stub is below it.
const OPENAT2: &str = "openat2";

/// A profile, and the calls that its rules are about.
pub(crate) struct Sample {
    pub(crate) profile: Value,
    pub(crate) names: Vec<&'static str>,
}

/// Names that do nothing: of no call at all, of another architecture, and of calls that an old library does not know.
const IGNORED: [&str; 4] = ["frobnicate", "arm_fadvise64_64", "listns", "file_getattr"];

impl Sample {
    pub(crate) fn new(random: &mut Random) -> Self {
        let default = pick(
            random,
            &[
                Verdict::Errno(1),
                Verdict::Errno(1),
                Verdict::Errno(5),
                Verdict::Errno(38),
                Verdict::KillProcess,
                Verdict::KillThread,
                Verdict::Trap,
                Verdict::Trace(7),
                Verdict::Log,
                Verdict::Allow,
            ],
        );
        // A border below openat2 needs a profile that names no newer call.
        let low = random.below(4) == 0;
        let mut names: Vec<&str> = Vec::new();
        for _ in 0..3 + random.below(5) {
            let name = pick(random, &calls::NAMES);
            if !(names.contains(&name) || low && NEW.contains(&name)) {
                names.push(name);
            }
        }
        let needed = NEEDED.into_iter().chain((!low).then_some(OPENAT2));
        let mut rules = vec![rule(Verdict::Allow, json!({ "names": needed.collect::<Vec<_>>() }))];
        for name in &names {
            for CallRule { verdict, conditions } in call_rules(random, default) {
                let args = conditions.iter().map(|it| {
                    json!({ "index": it.index(), "op": it.comparison().name(), "value": it.value(), "valueTwo": it.value_two() })
                });
                rules.push(rule(verdict, json!({ "names": [name], "args": args.collect::<Vec<_>>() })));
            }
        }
        if random.below(3) == 0 {
            let name = pick(random, &IGNORED);
            rules.push(rule(Verdict::Errno(3), json!({ "names": [name] })));
        }
        let architectures = pick(
            random,
            &[
                &["X86_64"][..],
                &["X86_64", "X86"],
                &["X86_64", "X86", "X32"],
                &["X86"],
                &["X32", "X86_64"],
                &[],
            ],
        );
        let architectures: Vec<_> = architectures.iter().map(|name| format!("SCMP_ARCH_{name}")).collect();
        let effect = Effect::from(default);
        let mut profile = json!({ "defaultAction": effect.action().name(), "architectures": architectures, "syscalls": rules });
        if let Some(errno) = effect.errno() {
            profile["defaultErrnoRet"] = errno.into();
        }
        // runc 1.1 refuses every flag.
        let flags = pick(random, &[&[][..], &[], &[], &[], &[], &[], &[], &["LOG"], &["SPEC_ALLOW"]]);
        if !flags.is_empty() {
            profile["flags"] = flags.iter().map(|name| format!("SECCOMP_FILTER_FLAG_{name}")).collect();
        }
        Self { profile, names }
    }
}

/// Those of the names whose number is above that of statx, the highest number that every profile names.
const NEW: [&str; 8] = [
    "faccessat2",
    "process_madvise",
    "epoll_pwait2",
    "futex_waitv",
    "cachestat",
    "fchmodat2",
    "mseal",
    "listns",
];

/// Rules for one call: without conditions, or a set as in the tests of the model, with any verdict.
fn call_rules(random: &mut Random, default: Verdict) -> Vec<CallRule> {
    let verdicts = [
        Verdict::Allow,
        Verdict::Log,
        Verdict::Errno(0),
        Verdict::Errno(2),
        Verdict::Errno(4094),
        Verdict::Trace(3),
        Verdict::Trap,
        Verdict::KillThread,
        Verdict::KillProcess,
        // Skipped by the runtimes, but not by the stub.
        default,
    ];
    let mut rules = match random.below(4) {
        0 => return vec![CallRule { verdict: pick(random, &verdicts), conditions: Vec::new() }],
        1 => random.alike(),
        more => random.set(more).rules,
    };
    let two = [pick(random, &verdicts), pick(random, &verdicts)];
    for rule in &mut rules {
        rule.verdict = pick(random, &two);
    }
    rules
}

fn rule(verdict: Verdict, mut rule: Value) -> Value {
    let effect = Effect::from(verdict);
    rule["action"] = effect.action().name().into();
    if let Some(errno) = effect.errno() {
        rule["errnoRet"] = errno.into();
    }
    rule
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len())]
}
