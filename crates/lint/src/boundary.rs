//! The number above which runc answers with ENOSYS instead of the default.
//!
//! runc puts a stub before the filter: calls with a number above the highest that the profile names get ENOSYS, so that
//! programs fall back to older calls that the profile knows. Rules that it skips count too. There is no stub if the
//! default permits calls, or is ENOSYS itself (measured with runc 1.1.5, 1.3.6 and 1.5.2).

use filter::Runtime;
use profile::Rule;
use syscalls::{Architecture, Libseccomp, Syscall};

use crate::subject::Subject;

/// Whether runc uses a stub under this profile.
pub(crate) fn has_stub(subject: &Subject<'_>) -> bool {
    Runtime::RUNC_1_2.has_stub(subject.profile)
}

/// Whether some runtime of the nodes does.
pub(crate) fn may_have_stub(subject: &Subject<'_>) -> bool {
    subject.nodes.runtimes.iter().any(|runtime| runtime.has_stub(subject.profile))
}

/// The call of a rule with the highest number on an architecture. Names that a libseccomp does not know do not count.
pub(crate) fn highest(
    rule: &Rule,
    library: Libseccomp,
    architecture: Architecture,
) -> Option<(u32, Syscall)> {
    let calls = rule.names().iter().filter_map(|name| Syscall::from_name(name.as_str()));
    let known = calls.filter(|call| call.resolved_by(library, architecture));
    known.filter_map(|call| Some((call.number(architecture)?, call))).max_by_key(|(number, _)| *number)
}

/// The newest libseccomp of the nodes.
pub(crate) fn newest(subject: &Subject<'_>) -> Libseccomp {
    subject.nodes.libseccomps.iter().max().copied().unwrap_or(Libseccomp::V2_6_1)
}
