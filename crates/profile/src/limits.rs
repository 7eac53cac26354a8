//! The maximum size of a profile.
//!
//! Every node agent parses every profile, so one unbounded object would make all of them run out of memory at once: 1.3
//! MB parsed and canonicalised took 19 MB. The schema of the custom resource has the same bounds, so that the API
//! server rejects a larger profile; the parser checks them too, for objects that were stored without the schema.

/// Rules in a profile.
pub const RULES: usize = 512;
/// Syscall names in one rule.
pub const NAMES_PER_RULE: usize = 1024;
/// Syscall names in all rules together.
pub const NAMES: usize = 4096;
/// Characters in one syscall name. The longest in Linux 6.18 has 28 (`sched_rr_get_interval_time64`).
pub const NAME_LENGTH: usize = 64;
/// Arguments in one rule: a system call has six, and a rule compares each once.
pub const ARGUMENTS_PER_RULE: usize = 6;
/// Arguments in all rules together.
pub const ARGUMENTS: usize = 1024;
/// Architectures: more than exist, because one may be listed twice.
pub const ARCHITECTURES: usize = 24;
/// Flags: more than exist, for the same reason.
pub const FLAGS: usize = 8;
/// Bytes in the path of a socket: `sun_path` of unix(7) without the terminating byte.
pub const LISTENER_PATH: usize = 107;
/// Characters in a listener's metadata. Seccomp agents read the whole message of a runtime, which contains the
/// metadata, into a buffer of 4 KiB (`tests/cmd/seccompagent` of runc).
pub const LISTENER_METADATA: usize = 1024;
/// Highest argument index: a system call has six arguments.
pub const ARGUMENT_INDEX: u8 = 5;
/// Highest `errnoRet` of `SCMP_ACT_ERRNO`. The kernel accepts one more (`MAX_ERRNO` in its `include/linux/err.h`), but
/// libseccomp, which runc, crun and youki use, returns EINVAL for it (measured with 2.5.4 and 2.6.1), and no container
/// starts.
pub const ERRNO: u16 = 4094;
/// Highest `errnoRet` of `SCMP_ACT_TRACE`: a filter passes 16 bits to the tracer (`SECCOMP_RET_DATA`).
pub const TRACE: u16 = u16::MAX;
