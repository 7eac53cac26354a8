//! What glibc does only for programs that ask for it.
//!
//! Threads get a scheduling policy, a priority or processors only if an attribute says so, mutexes raise priorities only
//! if they were made for it, and a program that is started gets a session or another user only by an attribute. These are
//! values in memory, which the code that makes the calls tests; functions of glibc put them there. If nothing outside of
//! glibc has one of these functions or can look one up (`looked_up`), the calls are not made: glibc itself only copies what
//! it was asked for (2.36, by all its calls of these functions). Before 2.34, threads are a library of their own, of which
//! nothing is left out.
//!
//! The functions of glibc that test the values are internal: a stripped glibc has no names for them. What has a name is
//! not left out, except `pthread_create`, and what only has the call's own name if nothing else leads to it.

use crate::functions::FunctionId;
use crate::looked_up::LookedUp;
use crate::names::Names;
use crate::numbers::Origin;
use crate::reach::Reach;
use crate::space::{ObjectId, Role, Space};

/// Who makes calls that were not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Site {
    /// The code of threads and mutexes, and [`Site::Spawning`].
    Threads,
    /// What a process does between its start and the program that `posix_spawn` is to start.
    Spawning,
}

/// Calls, and the functions by which a program asks for them.
struct Rule {
    site: Site,
    /// Their numbers and names.
    calls: &'static [(u32, &'static str)],
    asking: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        site: Site::Threads,
        calls: &[
            (142, "sched_setparam"),
            (143, "sched_getparam"),
            (144, "sched_setscheduler"),
            (145, "sched_getscheduler"),
            (146, "sched_get_priority_max"),
            (147, "sched_get_priority_min"),
        ],
        asking: &[
            "pthread_attr_setinheritsched",
            "pthread_attr_setschedparam",
            "pthread_attr_setschedpolicy",
            "pthread_setattr_default_np",
            "pthread_setschedparam",
            "pthread_setschedprio",
            "pthread_mutexattr_setprotocol",
            "pthread_mutexattr_setprioceiling",
            "pthread_mutex_setprioceiling",
            "posix_spawnattr_setflags",
            "posix_spawnattr_setschedparam",
            "posix_spawnattr_setschedpolicy",
        ],
    },
    Rule {
        site: Site::Threads,
        calls: &[(203, "sched_setaffinity")],
        // An attribute that is made from a thread has its processors.
        asking: &["pthread_attr_setaffinity_np", "pthread_setattr_default_np", "pthread_getattr_np"],
    },
    Rule {
        site: Site::Spawning,
        calls: &[(109, "setpgid"), (112, "setsid"), (117, "setresuid"), (119, "setresgid")],
        asking: &["posix_spawnattr_setflags"],
    },
    Rule {
        site: Site::Spawning,
        calls: &[(81, "fchdir")],
        asking: &["posix_spawn_file_actions_addfchdir_np", "posix_spawn_file_actions_addfchdir"],
    },
    Rule {
        site: Site::Spawning,
        calls: &[(121, "getpgid")],
        asking: &["posix_spawn_file_actions_addtcsetpgrp_np"],
    },
    Rule {
        site: Site::Spawning,
        calls: &[(436, "close_range")],
        asking: &["posix_spawn_file_actions_addclosefrom_np"],
    },
];

/// Which function of glibc is what a process does before it starts a program: it calls all of these.
const SPAWNING: &[&str] = &["setsid", "setpgid", "fchdir", "sched_setparam"];

/// Finds what was not asked for.
pub(crate) struct Asked<'a> {
    space: &'a Space,
    reach: &'a Reach,
    names: Names,
    /// glibc, as a library of its own, and its function that [`SPAWNING`] is about.
    glibc: Option<(ObjectId, Option<FunctionId>)>,
    /// Whatever nothing outside of glibc asks for.
    unasked: Vec<&'static Rule>,
}

impl<'a> Asked<'a> {
    /// The reach must be finished. `by_name` is where functions are looked up whose names are not known.
    pub(crate) fn new(space: &'a Space, reach: &'a Reach, by_name: &[u64]) -> Self {
        let mut asked = Self { space, reach, names: Names::default(), glibc: None, unasked: Vec::new() };
        let glibc = space.find("gnu_get_libc_version").map(|(id, _)| id);
        // Where it is a part of the program, the program's own functions have no names either.
        if let Some(id) = glibc.filter(|id| space.get(*id).role == Role::Library) {
            let looked_up = LookedUp::new(space, id, by_name);
            let is_asked = |rule: &&Rule| asked.is_asked(id, rule.asking) || looked_up.may_have(rule.asking);
            let unasked = RULES.iter().filter(|rule| !is_asked(rule)).collect();
            asked.glibc = Some((id, asked.spawning(id)));
            asked.unasked = unasked;
        }
        asked
    }

    /// Whether a call with this number and origin is one that the program did not ask for.
    pub(crate) fn is_unasked(&mut self, number: u32, origin: &Origin) -> bool {
        let rule = self.unasked.iter().find_map(|rule| {
            let (_, name) = rule.calls.iter().find(|(it, _)| *it == number)?;
            Some((rule.site, *name))
        });
        let Some((site, name)) = rule else { return false };
        self.is_site(site, origin.from) || self.is_called_by_sites(site, name, origin.from)
    }

    /// Whether anything outside of glibc has one of its functions, of whichever version.
    fn is_asked(&self, glibc: ObjectId, names: &[&str]) -> bool {
        let object = self.space.get(glibc);
        let is_outside = |it: FunctionId| self.reach.functions.get(it).object != glibc;
        let mut all = object.elf.symbols.all().iter().filter(|it| it.is_defined);
        all.any(|symbol| {
            let name = symbol.name(&object.elf);
            let target = object.base.wrapping_add(symbol.address);
            names.iter().any(|it| it.as_bytes() == name)
                && (self.reach.calls_to(target).iter().any(|it| is_outside(it.from))
                    || self.reach.taken_at(target).iter().any(|it| it.from.is_none_or(is_outside)))
        })
    }

    fn is_site(&mut self, site: Site, id: FunctionId) -> bool {
        let Some((glibc, spawning)) = self.glibc else { return false };
        let function = self.reach.functions.get(id);
        if function.object != glibc {
            return false;
        }
        match site {
            Site::Spawning => spawning == Some(id),
            Site::Threads => match self.names.at(self.space, function.start) {
                Some((name, _)) => name == "pthread_create",
                None => true,
            },
        }
    }

    /// Whether a function has the name of a call, and only sites lead to it.
    fn is_called_by_sites(&mut self, site: Site, name: &str, id: FunctionId) -> bool {
        let start = self.reach.functions.get(id).start;
        let is_call =
            self.names.at(self.space, start).is_some_and(|(it, _)| it.trim_start_matches('_') == name);
        let calls = self.reach.calls_to(start);
        is_call
            && !calls.is_empty()
            && self.reach.taken_at(start).is_empty()
            && calls.iter().all(|it| self.is_site(site, it.from))
    }

    fn spawning(&mut self, glibc: ObjectId) -> Option<FunctionId> {
        let mut callers = SPAWNING.iter().map(|name| {
            let target = self.space.find_in(glibc, name.as_bytes(), None).map(|(_, target, _)| target);
            let calls = target.map(|it| self.reach.calls_to(it)).unwrap_or_default();
            calls.iter().map(|it| it.from).collect::<Vec<_>>()
        });
        let first = callers.next()?;
        let rest: Vec<_> = callers.collect();
        let mut found: Vec<_> =
            first.into_iter().filter(|it| rest.iter().all(|all| all.contains(it))).collect();
        found.dedup();
        let found = found.into_iter().filter(|it| {
            let function = self.reach.functions.get(*it);
            function.object == glibc && self.names.at(self.space, function.start).is_none()
        });
        let found: Vec<_> = found.collect();
        (found.len() == 1).then(|| found[0])
    }
}
