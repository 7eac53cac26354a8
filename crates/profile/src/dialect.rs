//! Fields and keywords of other tools' profiles that containerd does not read, each with advice.
//!
//! Docker (`profiles/seccomp` of moby), Podman and CRI-O (`pkg/seccomp` of containers/common) turn such a file into a
//! profile of the OCI specification when they start a container; containerd uses the file unchanged. It would be worse
//! to drop such a field silently than to reject it: a rule for some containers (`includes`, `excludes`) would then
//! apply to all, and one file would mean two filters in a cluster with both runtimes.

use serde_json::Value;

const CONDITION: &str = "Docker, Podman and CRI-O read this, containerd ignores it; leave it out, and the rule too if its \
                         condition does not hold (an empty one has no effect)";
const EMPTY: &str = "is empty and changes nothing; leave it out";

/// Fields of a profile that change its meaning. The schema rejects them with the same messages. A CEL rule cannot tell
/// whether an object without declared fields is empty, so the messages fit both cases.
pub const PROFILE: &[(&str, &str)] = &[
    (
        "archMap",
        "Docker, Podman and CRI-O read this, containerd ignores it; list the architectures in architectures (an empty one \
         has no effect: leave it out)",
    ),
    (
        "defaultErrno",
        "Podman and CRI-O read this, containerd ignores it; give the number in defaultErrnoRet (an empty one has no effect: \
         leave it out)",
    ),
];

/// Fields of a rule that change its meaning.
pub const RULE: &[(&str, &str)] = &[
    ("includes", CONDITION),
    ("excludes", CONDITION),
    (
        "errno",
        "Podman and CRI-O read this, containerd ignores it; give the number in errnoRet (an empty one has no effect: leave it \
         out)",
    ),
    ("comment", "changes nothing; leave it out"),
];

/// Fields that the schema need not declare, because it rejects them as unknown.
const OTHERS: &[(&str, &str)] = &[("minKernel", CONDITION)];

/// libseccomp's name for the node's own architecture, which neither the specification nor a runtime has.
pub const NATIVE: &str = "SCMP_ARCH_NATIVE";

/// The advice for [`NATIVE`].
pub const NATIVE_REFUSED: &str =
    "runtimes do not know SCMP_ARCH_NATIVE, and the node's own is always covered; leave it out";

/// The message for a field, if it is one of these.
pub(crate) fn refusal(key: &str, value: &Value) -> Option<&'static str> {
    let message = |fields: &[(&str, &'static str)]| {
        fields.iter().find(|(known, _)| *known == key).map(|(_, message)| *message)
    };
    let other = || message(OTHERS).map(|message| if says_nothing(value) { EMPTY } else { message });
    message(PROFILE).or_else(|| message(RULE)).or_else(other)
}

/// Whether a value is empty, as programs write it that always write every field.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(says_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
