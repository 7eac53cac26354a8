//! What the register that a rule compares holds for each of its calls.

use profile::{Argument, Rule};
use syscalls::{Register, Syscall};

use crate::subject::Subject;
use crate::wording;

/// Calls of a rule that have something in common on the same architectures.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Calls<'r> {
    pub(crate) names: Vec<&'r str>,
    /// The names of the architectures; empty if these are all of the filter of which something is known.
    architectures: Vec<&'static str>,
}

impl Calls<'_> {
    /// The architectures at the end of a clause.
    pub(crate) fn place(&self) -> String {
        match self.architectures.as_slice() {
            [] => String::new(),
            some => format!(" on {}", wording::names(some.iter().copied())),
        }
    }
}

/// The calls of a rule of which the compared register is of a kind; `None` is a register that the call does not use. A call
/// for which that differs between architectures counts where it is known on which ones the filter is loaded.
pub(crate) fn calls_with<'r>(
    subject: &Subject<'_>,
    rule: &'r Rule,
    argument: &Argument,
    is_of_kind: impl Fn(Option<Register>) -> bool,
) -> Vec<Calls<'r>> {
    let covered = subject.covered();
    let mut found: Vec<Calls<'r>> = Vec::new();
    for name in rule.names().iter().map(|name| name.as_str()) {
        let Some(call) = Syscall::from_name(name) else { continue };
        let registers = covered.iter().filter_map(|it| Some((it.name(), call.registers(*it)?)));
        let (those, others): (Vec<_>, Vec<_>) = registers
            .map(|(architecture, them)| (architecture, them.get(usize::from(argument.index())).copied()))
            .partition(|(_, register)| is_of_kind(*register));
        let architectures: Vec<&str> = match others.is_empty() {
            _ if those.is_empty() => continue,
            true => Vec::new(),
            false if !subject.is_for_known_architectures() => continue,
            false => those.into_iter().map(|(architecture, _)| architecture).collect(),
        };
        match found.iter_mut().find(|known| known.architectures == architectures) {
            Some(known) => known.names.push(name),
            None => found.push(Calls { names: vec![name], architectures }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use profile::Profile;
    use serde_json::json;
    use syscalls::ArgumentType;

    use super::*;
    use crate::nodes::Nodes;

    /// The calls with an address in this register.
    fn addresses(names: &[&str], index: u8, architectures: &[&str]) -> Vec<(String, String)> {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": [
            { "names": names, "action": "SCMP_ACT_ALLOW", "args": [{ "index": index, "value": 1, "op": "SCMP_CMP_EQ" }] },
        ] });
        let (profile, nodes) = (Profile::from_value(&profile).unwrap(), Nodes::default());
        let rule = &profile.rules()[0];
        let is_address = |register| register == Some(Register::Whole(ArgumentType::Pointer));
        let found = calls_with(&Subject::of(&profile, &nodes), rule, &rule.arguments()[0], is_address);
        found.iter().map(|calls| (calls.names.join(" "), calls.place())).collect()
    }

    #[test]
    fn calls_are_grouped_by_the_architectures_where_the_register_is_of_the_kind() {
        let found =
            addresses(&["openat", "fanotify_mark", "read"], 1, &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
        assert_eq!(found, [("openat read".to_owned(), String::new())]);
        let found = addresses(&["mmap", "openat"], 0, &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
        assert_eq!(found, [("mmap".to_owned(), " on i386".to_owned())]);
        let found = addresses(&["fanotify_mark"], 4, &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
        assert_eq!(found, [("fanotify_mark".to_owned(), " on aarch64".to_owned())]);
        let found = addresses(&["fanotify_mark"], 5, &["SCMP_ARCH_ARM"]);
        assert_eq!(found, [("fanotify_mark".to_owned(), String::new())]);
    }

    #[test]
    fn what_differs_between_architectures_is_not_said_of_unknown_ones() {
        assert_eq!(addresses(&["mmap", "fanotify_mark"], 0, &[]), []);
        assert_eq!(addresses(&["chdir"], 0, &[]), [("chdir".to_owned(), String::new())]);
    }
}
