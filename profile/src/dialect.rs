//! Fields that others write into a profile and that a pod's profile cannot have, each with what to do about it.
//!
//! Dropping one in silence would be worse than refusing it: a rule that Docker applies to some containers
//! (`includes`, `excludes`) would then apply to all.

const DOCKER: &str = "only Docker reads this, containerd ignores it; leave it out";
const LISTENER: &str = "a pod cannot name a listener; leave it out";

/// Fields of a profile that change what it means.
pub const PROFILE: &[(&str, &str)] = &[
    ("archMap", "only Docker reads this, containerd ignores it; list the architectures in architectures"),
    ("listenerPath", LISTENER),
    ("listenerMetadata", LISTENER),
];

/// Fields of a rule that change what it means.
pub const RULE: &[(&str, &str)] = &[("includes", DOCKER), ("excludes", DOCKER)];

/// Fields that change nothing.
const IDLE: &[(&str, &str)] = &[("minKernel", DOCKER), ("comment", DOCKER)];

/// What is wrong with a field, if it is one of these.
pub(crate) fn refusal(key: &str) -> Option<&'static str> {
    [PROFILE, RULE, IDLE].into_iter().flatten().find(|(known, _)| *known == key).map(|(_, message)| *message)
}
