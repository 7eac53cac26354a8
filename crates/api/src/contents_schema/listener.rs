//! The fields of a listener, each of which is rejected without the others. The rules are those of the parser,
//! `parse/listener.rs` of the crate `profile`.
//!
//! The schema does not decide whether a profile may have a listener at all: the chart's admission policy does, by the
//! value `listeners.enabled`.

use profile::limits;
use serde_json::{Value, json};

/// A CEL rule with its message and the field that it is about.
pub(super) struct Validation {
    rule: &'static str,
    message: &'static str,
    field: &'static str,
}

impl Validation {
    pub(super) fn rule(&self) -> Value {
        json!({ "rule": self.rule, "message": self.message, "fieldPath": self.field })
    }
}

pub(super) const PATH_IS_ABSOLUTE: Validation = Validation {
    rule: "!has(self.listenerPath) || (self.listenerPath.matches('^(/[ -.0-~]+)+$') && \
           !self.listenerPath.split('/').exists(part, part in ['.', '..']))",
    message: "the absolute path of a socket on the nodes, of printable ASCII characters and without . and ..",
    field: ".listenerPath",
};

pub(super) const NOTIFY_NEEDS_PATH: Validation = Validation {
    rule: "has(self.listenerPath) || !(has(self.syscalls) && self.syscalls.exists(s, s.action == 'SCMP_ACT_NOTIFY'))",
    message: "SCMP_ACT_NOTIFY needs it: the socket of the seccomp agent that answers",
    field: ".listenerPath",
};

pub(super) const PATH_NEEDS_NOTIFY: Validation = Validation {
    rule: "!has(self.listenerPath) || (has(self.syscalls) && self.syscalls.exists(s, s.action == 'SCMP_ACT_NOTIFY'))",
    message: "no rule has the action SCMP_ACT_NOTIFY, and crun would hand over a descriptor all the same; leave it out",
    field: ".listenerPath",
};

pub(super) const METADATA_NEED_PATH: Validation = Validation {
    rule: "has(self.listenerPath) || !has(self.listenerMetadata)",
    message: "is handed to a listener; give listenerPath, too, or leave it out",
    field: ".listenerMetadata",
};

pub(super) const FLAG_NEEDS_PATH: Validation = Validation {
    rule: "has(self.listenerPath) || !has(self.flags) || !('SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV' in self.flags)",
    message: "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is about calls that wait for a listener; give listenerPath, too, \
              or leave it out",
    field: ".flags",
};

/// On a rule of the profile.
pub(super) const WRITE_IS_NEVER_NOTIFIED: Validation = Validation {
    rule: "self.action != 'SCMP_ACT_NOTIFY' || !(has(self.names) && 'write' in self.names || \
           has(self.name) && self.name == 'write')",
    message: "write cannot have SCMP_ACT_NOTIFY, because runc hands the listener over with it",
    field: ".action",
};

pub(super) fn path() -> Value {
    json!({
        "description": "The absolute path, on each node, of the socket of the seccomp agent that decides about calls with the action SCMP_ACT_NOTIFY. Refused unless the chart's value listeners.enabled is true.",
        "type": "string",
        "minLength": 2,
        "maxLength": limits::LISTENER_PATH
    })
}

pub(super) fn metadata() -> Value {
    json!({
        "description": "Text that the runtime sends to the seccomp agent with the container's state.",
        "type": "string",
        "maxLength": limits::LISTENER_METADATA
    })
}
