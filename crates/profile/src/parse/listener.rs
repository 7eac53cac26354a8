//! The parts of a listener: `listenerPath`, `listenerMetadata`, and the action and the flag that need it.
//!
//! If no rule has `SCMP_ACT_NOTIFY`, runc ignores a path, but crun sends a descriptor all the same (its
//! `libcrun_apply_seccomp`). Without a path neither can apply such a rule. The kernel accepts the flag only with a
//! listener. So each part is rejected without the others.

use serde_json::{Map, Value};

use super::{Parser, Path};
use crate::wording::show;
use crate::{Action, Flag, Listener, Rule, SyscallName, limits};

/// runc sends the listener with this call, so it would wait for an answer of an agent that does not have the listener
/// yet (`InitSeccomp` in its libcontainer/seccomp/seccomp_linux.go).
const NEVER_NOTIFIED: &str = "write";

impl Parser {
    pub(super) fn default_action(&mut self, path: Path<'_>, value: &Value) -> Option<Action> {
        if value.as_str() == Some(Action::Notify.name()) {
            return self.report(
                path,
                "SCMP_ACT_NOTIFY cannot be the default, because runc refuses it; give it to the syscalls of a rule",
            );
        }
        self.keyword(path, value, "action", Action::DEFAULT_NAMES, Action::from_name)
    }

    pub(super) fn can_be_notified_of(&mut self, path: Path<'_>, names: &[SyscallName]) {
        if names.iter().any(|name| name.as_str() == NEVER_NOTIFIED) {
            self.report::<()>(
                path,
                "write cannot have SCMP_ACT_NOTIFY, because runc hands the listener over with it; leave it out",
            );
        }
    }

    /// `Some(None)` if there is no listener.
    pub(super) fn listener(&mut self, top: Path<'_>, map: &Map<String, Value>) -> Option<Option<Listener>> {
        let metadata = match map.get("listenerMetadata") {
            Some(value) => self.listener_metadata(Path::Key(&top, "listenerMetadata"), value),
            None => Some(Box::default()),
        };
        match map.get("listenerPath") {
            Some(value) => {
                let path = self.listener_path(Path::Key(&top, "listenerPath"), value);
                Some(Some(Listener { path: path?, metadata: metadata? }))
            }
            None => metadata.map(|_| None),
        }
    }

    fn listener_path(&mut self, path: Path<'_>, value: &Value) -> Option<Box<str>> {
        let text = self.text(path, value)?;
        let printable = |part: &str| part.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        // Without `.` and `..`, so that a path that begins with a directory is inside it; admission policies may rely
        // on that.
        let leads_down = |part: &str| !matches!(part, "" | "." | "..");
        let is_path = |text: &str| {
            text.strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(|part| leads_down(part) && printable(part)))
        };
        if text.len() <= limits::LISTENER_PATH && is_path(text) {
            return Some(text.into());
        }
        self.report(
            path,
            format_args!(
                "expected the absolute path of a socket on the nodes, of 1 to {} printable ASCII characters and \
                 without . and .., found {}",
                limits::LISTENER_PATH,
                show(value)
            ),
        )
    }

    fn listener_metadata(&mut self, path: Path<'_>, value: &Value) -> Option<Box<str>> {
        let text = self.text(path, value)?;
        let length = text.chars().count();
        if length > limits::LISTENER_METADATA {
            let most = limits::LISTENER_METADATA;
            return self.report(path, format_args!("{length} characters, at most {most} are allowed"));
        }
        Some(text.into())
    }

    /// Reports each part that is present without the others.
    pub(super) fn listener_is_whole(
        &mut self,
        top: Path<'_>,
        map: &Map<String, Value>,
        flags: &[Flag],
        rules: &[Rule],
    ) {
        let path = Path::Key(&top, "listenerPath");
        let notifies = rules.iter().any(|rule| rule.action == Action::Notify);
        if map.contains_key("listenerPath") {
            if !notifies {
                self.report::<()>(
                    path,
                    "no rule has the action SCMP_ACT_NOTIFY, and crun would hand over a descriptor all the same; \
                     leave it out",
                );
            }
            return;
        }
        if notifies {
            self.report::<()>(path, "SCMP_ACT_NOTIFY needs it: the socket of the seccomp agent that answers");
        }
        if map.contains_key("listenerMetadata") {
            self.report::<()>(
                Path::Key(&top, "listenerMetadata"),
                "is handed to a listener; give listenerPath, too, or leave it out",
            );
        }
        if flags.contains(&Flag::WaitKillableRecv) {
            self.report::<()>(
                Path::Key(&top, "flags"),
                format_args!(
                    "{} is about calls that wait for a listener; give listenerPath, too, or leave it out",
                    Flag::WaitKillableRecv.name()
                ),
            );
        }
    }
}
