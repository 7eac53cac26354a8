//! Fields and words that others write into a profile and that containerd does not read, each with what to do about it.
//!
//! Docker (`profiles/seccomp` of moby), Podman and CRI-O (`pkg/seccomp` of containers/common) turn such a file into a
//! profile of the OCI specification when they start a container; containerd takes the file as it is. Dropping a field
//! in silence would be worse than refusing it: a rule for some containers (`includes`, `excludes`) would then apply to
//! all, and one file would be two filters in a cluster with both.

use serde_json::Value;

const CONDITION: &str = "Docker, Podman and CRI-O read this, containerd ignores it; leave it out, and the rule too where its \
                         condition does not hold (empty, it changes nothing)";
const EMPTY: &str = "is empty and changes nothing; leave it out";

/// Fields of a profile that change what it means. The schema refuses them in the same words, and a rule of CEL cannot tell
/// whether an object without declared fields is empty: the words are true of both.
pub const PROFILE: &[(&str, &str)] = &[
    (
        "archMap",
        "Docker, Podman and CRI-O read this, containerd ignores it; list the architectures in architectures (empty, it changes \
         nothing: leave it out)",
    ),
    (
        "defaultErrno",
        "Podman and CRI-O read this, containerd ignores it; give the number in defaultErrnoRet (empty, it changes nothing: \
         leave it out)",
    ),
];

/// Fields of a rule that change what it means.
pub const RULE: &[(&str, &str)] = &[
    ("includes", CONDITION),
    ("excludes", CONDITION),
    (
        "errno",
        "Podman and CRI-O read this, containerd ignores it; give the number in errnoRet (empty, it changes nothing: leave it \
         out)",
    ),
    ("comment", "changes nothing; leave it out"),
];

/// Fields that a schema need not hold: it is enough that they are unknown.
const OTHERS: &[(&str, &str)] = &[("minKernel", CONDITION)];

/// The word for the node's own architecture, which libseccomp has and neither the specification nor a runtime.
pub const NATIVE: &str = "SCMP_ARCH_NATIVE";

/// What to do about [`NATIVE`].
pub const NATIVE_REFUSED: &str =
    "SCMP_ARCH_NATIVE is no architecture to a runtime: the node's own is always covered; leave it out";

/// What is wrong with a field, if it is one of these.
pub(crate) fn refusal(key: &str, value: &Value) -> Option<&'static str> {
    let message = |fields: &[(&str, &'static str)]| {
        fields.iter().find(|(known, _)| *known == key).map(|(_, message)| *message)
    };
    let other = || message(OTHERS).map(|message| if says_nothing(value) { EMPTY } else { message });
    message(PROFILE).or_else(|| message(RULE)).or_else(other)
}

/// Whether a value is what programs write that write every field.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(says_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
