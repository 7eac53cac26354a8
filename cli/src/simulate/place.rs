//! Where in the file it is said what happens to a call.

use filter::{Basis, Setting, Verdict};
use profile::{FieldPath, Segment};
use serde::Serialize;

use super::Subject;
use crate::call::name_of;
use crate::manifest::Position;

/// The bit in the number of a call that marks it as one of x32 (`__X32_SYSCALL_BIT` in the kernel's `asm/unistd.h`).
const X32: u32 = 1 << 30;

/// Why a call has its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reason {
    /// What decides, as one word of a bounded set.
    #[serde(rename = "decidedBy")]
    decides: &'static str,
    /// In words.
    #[serde(rename = "because")]
    pub(crate) text: String,
    /// The field that decides, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Its line and column.
    #[serde(flatten)]
    at: Option<At>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
struct At {
    line: usize,
    column: usize,
}

impl Subject {
    /// Why the call with this number has its verdict.
    pub(crate) fn reason(
        &self,
        basis: Basis,
        (architecture, number): (profile::Architecture, u32),
        setting: &Setting<'_>,
        libseccomp: &str,
    ) -> Reason {
        let name = |number| name_of(architecture, number);
        let unused = || {
            let unused = name(number).and_then(|name| self.unused(name, architecture, setting, libseccomp));
            unused.map(|unused| format!("; {unused}")).unwrap_or_default()
        };
        match basis {
            Basis::Rule { rule, name } => {
                let path = self.name_path(rule, name);
                Reason { text: self.place(&path), ..self.field("rule", path) }
            }
            Basis::Default => {
                let path = FieldPath::from_iter([Segment::from("defaultAction")]);
                let text = format!("the default, {}{}", self.place(&path), unused());
                Reason { text, ..self.field("default", path) }
            }
            Basis::Stub { highest } => {
                let named = name(highest).map(|name| format!(" ({name})")).unwrap_or_default();
                let text = format!(
                    "{} answers ENOSYS above {highest}{named}, the highest number that a rule names{}",
                    setting.runtime.name,
                    unused()
                );
                Reason { decides: "runtime", text, field: None, at: None }
            }
            Basis::OtherArchitecture => {
                // The kernel shows calls of x32 as those of x86_64, with a number of their own.
                let is_x32 = architecture == profile::Architecture::X86_64 && number & X32 != 0;
                let missing = if is_x32 { profile::Architecture::X32 } else { architecture };
                let text = format!("the profile does not list {}", missing.name());
                Reason { decides: "architecture", text, field: None, at: None }
            }
            Basis::Merged => {
                let text = format!(
                    "{} merges the rules for this call to something else than they say",
                    setting.library.name
                );
                Reason { decides: "library", text, field: None, at: None }
            }
        }
    }

    fn field(&self, decides: &'static str, path: FieldPath) -> Reason {
        let Position { line, column, .. } = self.profile.position(&path);
        Reason { decides, text: String::new(), field: Some(path.to_string()), at: Some(At { line, column }) }
    }

    /// A rule that names a call and is not used for it.
    fn unused(
        &self,
        call: &str,
        architecture: profile::Architecture,
        setting: &Setting<'_>,
        libseccomp: &str,
    ) -> Option<String> {
        let profile = &self.profile.profile;
        let is_known = (setting.number)(call, architecture).is_some();
        let of_call = |(rule, of): (usize, &profile::Rule)| {
            let name = of.names().iter().position(|name| name.as_str() == call)?;
            let repeats = Verdict::from(of.effect()) == Verdict::from(profile.default_effect());
            (repeats || !is_known).then_some((rule, name))
        };
        let (rule, name) = profile.rules().iter().enumerate().find_map(of_call)?;
        let place = self.place(&self.name_path(rule, name));
        Some(if is_known {
            format!("the rule at {place} repeats it")
        } else {
            format!("libseccomp {libseccomp} does not know the name at {place}")
        })
    }

    fn name_path(&self, rule: usize, name: usize) -> FieldPath {
        FieldPath::from_iter([
            Segment::from("syscalls"),
            Segment::from(rule),
            Segment::from("names"),
            Segment::from(name),
        ])
    }

    fn place(&self, path: &FieldPath) -> String {
        let Position { line, column, .. } = self.profile.position(path);
        format!("{}:{line}:{column}", self.file)
    }
}
