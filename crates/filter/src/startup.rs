//! What a runtime itself needs of a filter: it loads the filter before it starts the program, so that its last calls run
//! under it.
//!
//! Measured on x86_64 with Linux 6.18, for containers of the user 0 (`e2e/tests/runtimes/startup.rs` denies each call alone,
//! and starts each runtime 200 times with nothing else permitted) and of another one (200 starts, and `fchown` denied alone).

use profile::Architecture;
use syscalls::Syscall;

use crate::abi::table;
use crate::diagram::Forest;
use crate::{ENOSYS, Filter, Runtime, Verdict};

/// The calls of a runtime between the loading of the filter and the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Startup {
    /// The runtime and its version, for messages.
    pub runtime: &'static str,
    /// What is known of it otherwise.
    pub model: Runtime,
    /// Whether the container has `noNewPrivileges`, as pods with `allowPrivilegeEscalation: false` have. Runtimes then load
    /// the filter later.
    pub no_new_privileges: bool,
    /// Calls without which no container starts.
    pub needed: &'static [&'static str],
    /// Calls that the runtime always makes, and that may fail.
    pub made: &'static [&'static str],
    /// Calls that it makes beside those of `made` for a user other than 0, and cannot start without.
    pub for_other_users: &'static [&'static str],
    /// Errnos of needed calls, and of those for other users, after which it starts the program all the same.
    pub tolerated: &'static [(&'static str, &'static [u16])],
    /// Calls that it makes now and then.
    pub sometimes: &'static [&'static str],
    /// Calls that it makes in place of one of `made` that fails, and cannot start without.
    pub instead: &'static [(&'static str, &'static [&'static str])],
}

/// runc, of which 1.5.2 opens files below a directory by these if it may not use `openat2`.
const INSTEAD_OF_OPENAT2: &[(&str, &[&str])] = &[("openat2", &["fcntl", "readlinkat"])];

/// runc gives standard input, output and error to the user of the container.
const GIVES_ITS_OUTPUT: &[&str] = &["fchown"];
/// It starts the program if that fails with EPERM or EROFS, and runc 1.1 also with EINVAL.
const TOLERATED: &[(&str, &[u16])] = &[("fchown", &[1, 30])];
const TOLERATED_BY_OLDER: &[(&str, &[u16])] = &[("fchown", &[1, 22, 30])];

/// crun sets every signal's action, and the kernel answers EINVAL for those that have none.
const TOLERATED_BY_CRUN: &[(&str, &[u16])] = &[("rt_sigaction", &[22])];

/// What Go's runtime adds now and then: 0 to 114 times in 200 starts.
const GO: &[&str] =
    &["futex", "mmap", "rt_sigreturn", "sched_yield", "tgkill", "getpid", "fcntl", "madvise", "nanosleep"];

impl Startup {
    /// Every measured one.
    pub const ALL: [Self; 8] = [
        Self {
            runtime: "runc 1.5.2",
            model: Runtime::RUNC_1_2,
            no_new_privileges: true,
            needed: &["close", "execve", "fstat", "fstatfs", "getdents64", "openat", "statx", "write"],
            made: &["fcntl", "openat2"],
            for_other_users: &[],
            tolerated: &[],
            sometimes: GO,
            instead: INSTEAD_OF_OPENAT2,
        },
        Self {
            runtime: "runc 1.5.2",
            model: Runtime::RUNC_1_2,
            no_new_privileges: false,
            needed: &[
                "capget",
                "capset",
                "chdir",
                "close",
                "execve",
                "fstat",
                "fstatfs",
                "futex",
                "getcwd",
                "getdents64",
                "getppid",
                "newfstatat",
                "openat",
                "prctl",
                "read",
                "setgid",
                "setgroups",
                "setuid",
                "statx",
                "write",
            ],
            made: &["close_range", "epoll_ctl", "faccessat2", "fcntl", "getpid", "openat2", "tgkill"],
            for_other_users: GIVES_ITS_OUTPUT,
            tolerated: TOLERATED,
            sometimes: GO,
            instead: INSTEAD_OF_OPENAT2,
        },
        Self {
            runtime: "runc 1.1.5",
            model: Runtime::RUNC_1_1,
            no_new_privileges: true,
            needed: &["close", "execve", "fstatfs", "getdents64", "openat", "write"],
            made: &["epoll_ctl", "getpid"],
            for_other_users: &[],
            tolerated: &[],
            sometimes: GO,
            instead: &[],
        },
        Self {
            runtime: "runc 1.1.5",
            model: Runtime::RUNC_1_1,
            no_new_privileges: false,
            needed: &[
                "capget",
                "capset",
                "chdir",
                "close",
                "execve",
                "fstat",
                "fstatfs",
                "getcwd",
                "getdents64",
                "getppid",
                "newfstatat",
                "openat",
                "prctl",
                "read",
                "setgid",
                "setgroups",
                "setuid",
                "write",
            ],
            made: &["epoll_ctl", "faccessat2", "fcntl", "getpid"],
            for_other_users: GIVES_ITS_OUTPUT,
            tolerated: TOLERATED_BY_OLDER,
            sometimes: GO,
            instead: &[],
        },
        Self {
            runtime: "crun 1.8.1",
            model: Runtime::CRUN,
            no_new_privileges: true,
            needed: &["execve"],
            made: &["close"],
            for_other_users: &[],
            tolerated: &[],
            sometimes: &[],
            instead: &[],
        },
        Self {
            runtime: "crun 1.8.1",
            model: Runtime::CRUN,
            no_new_privileges: false,
            needed: &[
                "capset",
                "execve",
                "prctl",
                "rt_sigaction",
                "rt_sigprocmask",
                "setresgid",
                "setresuid",
                "write",
            ],
            made: &["close"],
            for_other_users: &[],
            tolerated: TOLERATED_BY_CRUN,
            sometimes: &[],
            instead: &[],
        },
        Self {
            runtime: "crun 1.21 and 1.28",
            model: Runtime::CRUN,
            no_new_privileges: true,
            needed: &["execve"],
            made: &["close", "close_range"],
            for_other_users: &[],
            tolerated: &[],
            sometimes: &[],
            instead: &[],
        },
        Self {
            runtime: "crun 1.21 and 1.28",
            model: Runtime::CRUN,
            no_new_privileges: false,
            needed: &[
                "capset",
                "execve",
                "prctl",
                "rt_sigaction",
                "rt_sigprocmask",
                "setresgid",
                "setresuid",
                "write",
            ],
            made: &["close", "close_range"],
            for_other_users: &[],
            tolerated: TOLERATED_BY_CRUN,
            sometimes: &[],
            instead: &[],
        },
    ];

    /// The architecture on which the calls were measured.
    pub const ARCHITECTURE: Architecture = Architecture::X86_64;

    /// Whether it is what is known of a runtime. Of runc 1.1.15 it is the same as of 1.1.5.
    #[must_use]
    pub fn is_of(&self, runtime: Runtime) -> bool {
        self.model == runtime || self.model == Runtime::RUNC_1_1 && runtime == Runtime::RUNC_1_1_15
    }

    /// The calls that it makes in place of others.
    pub fn instead_of_made(&self) -> impl Iterator<Item = &'static &'static str> {
        self.instead.iter().flat_map(|(_, others)| *others)
    }

    /// Every call that it makes, for any user.
    pub fn calls(&self) -> impl Iterator<Item = &'static str> {
        let always = self.needed.iter().chain(self.made).chain(self.for_other_users).chain(self.sometimes);
        always.copied().chain(self.instead_of_made().copied())
    }

    /// The calls with which this filter certainly keeps a container of a user other than 0 from starting, beyond those of
    /// [`Self::refused`].
    #[must_use]
    pub fn refused_for_other_users(&self, filter: &Filter) -> Vec<(&'static str, Verdict)> {
        self.denied_of(self.for_other_users, filter).collect()
    }

    /// Those of these calls without which it does not start the program that this filter denies, each with one of its verdicts.
    fn denied_of<'s>(
        &'s self,
        calls: &'s [&'static str],
        filter: &'s Filter,
    ) -> impl Iterator<Item = (&'static str, Verdict)> + 's {
        calls.iter().filter_map(|name| Some((*name, refusal(filter, name, |it| self.fails_with(name, it))?)))
    }

    /// Whether a start fails if such a call fails so.
    fn fails_with(&self, name: &str, verdict: Verdict) -> bool {
        let Verdict::Errno(errno @ 1..) = verdict else { return false };
        // After other errors of `futex` Go's runtime sometimes goes on.
        let is_tolerated = self.tolerated.iter().any(|(of, errnos)| *of == name && errnos.contains(&errno));
        !is_tolerated && (!self.sometimes.contains(&name) || is_usual(verdict))
    }

    /// The calls with which this filter certainly keeps a container from starting, whatever its user is, each with one of its
    /// verdicts.
    ///
    /// A needed call counts if it is denied whatever its arguments are: it ends the thread or the process, or fails with any
    /// errno (measured: EPERM, EACCES, ENOSYS, EIO and EINVAL). Those that the runtime makes only now and then, and those that it
    /// makes in place of others, count with the errnos EPERM, EACCES and ENOSYS. A tracer or a seccomp agent may permit a call.
    #[must_use]
    pub fn refused(&self, filter: &Filter) -> Vec<(&'static str, Verdict)> {
        let mut found: Vec<_> = self.denied_of(self.needed, filter).collect();
        for name in self.made {
            let Some(verdict) = refusal(filter, name, is_usual) else { continue };
            if ends(verdict) {
                found.push((*name, verdict));
                continue;
            }
            let instead =
                self.instead.iter().filter(|(made, _)| made == name).flat_map(|(_, others)| *others);
            let refused = instead.filter_map(|other| Some((*other, refusal(filter, other, is_usual)?)));
            found.extend(refused);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The verdict of the call if every one with this name ends the program or `fails`. If they are denied in several ways, the one
/// that permits most.
fn refusal(filter: &Filter, name: &str, fails: impl Fn(Verdict) -> bool) -> Option<Verdict> {
    let architecture = table(Startup::ARCHITECTURE)?;
    let number = Syscall::from_name(name)?.number(architecture)?;
    let mut forest = Forest::default();
    let node = filter.verdicts(Startup::ARCHITECTURE, number, &mut forest).ok()?;
    let verdicts = forest.verdicts_of(node);
    verdicts
        .iter()
        .all(|verdict| ends(*verdict) || fails(*verdict))
        .then(|| verdicts.into_iter().max())
        .flatten()
}

fn ends(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::KillProcess | Verdict::KillThread | Verdict::Trap)
}

/// Whether the call fails with EPERM, EACCES or ENOSYS.
fn is_usual(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Errno(1 | 13)) || verdict == ENOSYS
}
