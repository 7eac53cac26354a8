//! What a person adds to a derived profile or takes from it, each with a reason.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use convert::Machine;
use profile::Profile;
use serde::Deserialize;
use serde_json::{Value, json};
use syscalls::Syscall;

use crate::derive_error::DeriveCommandError;

/// The architecture whose programs are derived, as in the nodes' label `kubernetes.io/arch`.
const ARCHITECTURE: Machine = Machine::Amd64;

/// A file of overrides.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Overrides {
    #[serde(default)]
    allow: Vec<Override>,
    #[serde(default)]
    deny: Vec<Override>,
}

/// Calls, and why they are permitted or refused whatever was derived.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    names: Vec<String>,
    reason: String,
    /// For which architectures, as in the nodes' label `kubernetes.io/arch`; for all if there is none.
    #[serde(default)]
    architectures: Vec<String>,
    /// Conditions of the OCI runtime specification, all of which must hold.
    #[serde(default)]
    args: Vec<Value>,
}

/// What the overrides come to.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Calls that are permitted whatever their arguments are.
    pub(super) allowed: BTreeSet<Syscall>,
    /// Those of them that an override permits, so that their derived conditions are gone.
    pub(super) whole: BTreeSet<Syscall>,
    /// Calls with derived conditions that overrides permit with more arguments.
    pub(super) partly: BTreeSet<Syscall>,
    /// Rules that permit calls with certain arguments.
    pub(super) rules: Vec<Value>,
    /// Profiles that refuse calls with certain arguments and permit everything else.
    pub(super) denied: Vec<Profile>,
    /// What contradicts the evidence, or changes nothing.
    pub(super) remarks: Vec<String>,
}

/// One override as it is found in the file.
struct Placed<'a> {
    path: &'a Path,
    field: String,
    of: &'a Override,
}

impl Placed<'_> {
    fn wrong(&self, field: &str, why: impl Into<String>) -> DeriveCommandError {
        let field = format!("{}{field}", self.field);
        DeriveCommandError::Override { path: self.path.to_owned(), field, why: why.into() }
    }

    /// The calls, if the override is for the architecture.
    fn calls(&self) -> Result<Vec<Syscall>, DeriveCommandError> {
        if self.of.reason.trim().is_empty() {
            return Err(self.wrong(".reason", "is empty; say why, for whoever reads the profile later"));
        }
        if self.of.names.is_empty() {
            return Err(self.wrong(".names", "is empty; name the calls"));
        }
        let mut is_for_this = self.of.architectures.is_empty();
        for (index, name) in self.of.architectures.iter().enumerate() {
            let machine: Result<Machine, _> = name.parse();
            let why = || {
                format!(
                    "is {name:?}; expected an architecture as in the label kubernetes.io/arch, such as amd64"
                )
            };
            let machine = machine.map_err(|_| self.wrong(&format!(".architectures[{index}]"), why()))?;
            is_for_this |= machine == ARCHITECTURE;
        }
        let known = |(index, name): (usize, &String)| {
            let call = Syscall::from_name(name);
            call.ok_or_else(|| {
                self.wrong(&format!(".names[{index}]"), format!("is {name:?}, which is no system call"))
            })
        };
        let calls: Vec<_> = self.of.names.iter().enumerate().map(known).collect::<Result<_, _>>()?;
        Ok(if is_for_this { calls } else { Vec::new() })
    }

    /// A profile that treats the calls with these arguments in one way, and all others in the other.
    fn profile(&self, calls: &[Syscall], default: &str, action: &str) -> Result<Profile, DeriveCommandError> {
        let contents = json!({
            "defaultAction": default,
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [self.rule(calls, action)],
        });
        Profile::from_value(&contents).map_err(|error| self.wrong("", error.to_string()))
    }

    fn rule(&self, calls: &[Syscall], action: &str) -> Value {
        let names: Vec<_> = calls.iter().map(|call| call.name()).collect();
        json!({ "names": names, "action": action, "args": self.of.args })
    }

    fn remark(&self, call: Syscall, what: &str) -> String {
        format!(
            "{}: {}: {what}; the reason that is given: {}",
            self.field,
            call.name(),
            self.of.reason.trim()
        )
    }
}

impl Overrides {
    pub(super) fn read(path: &PathBuf) -> Result<Self, DeriveCommandError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| DeriveCommandError::File { path: path.clone(), error })?;
        serde_saphyr::from_str(&text)
            .map_err(|error| DeriveCommandError::Overrides { path: path.clone(), why: error.to_string() })
    }

    /// Applies them to what programs reach and what runtimes make before them. `conditional` are the calls that are permitted
    /// only with the arguments that they are known to have.
    pub(super) fn apply(
        &self,
        path: &Path,
        reached: &BTreeSet<Syscall>,
        by_runtime: &BTreeSet<Syscall>,
        conditional: &BTreeSet<Syscall>,
    ) -> Result<Applied, DeriveCommandError> {
        let mut applied = Applied { allowed: reached | by_runtime, ..Applied::default() };
        for (index, of) in self.allow.iter().enumerate() {
            let placed = Placed { path, field: format!("allow[{index}]"), of };
            let is_known = |call: &Syscall| {
                applied.allowed.contains(call)
                    && (!conditional.contains(call) || applied.whole.contains(call))
            };
            let (known, new): (Vec<_>, Vec<_>) = placed.calls()?.into_iter().partition(is_known);
            applied.remarks.extend(known.iter().map(|call| placed.remark(*call, "is permitted without it")));
            let narrowed = new.iter().copied().filter(|call| conditional.contains(call));
            match of.args.is_empty() {
                true => applied.whole.extend(narrowed),
                false => applied.partly.extend(narrowed),
            }
            if of.args.is_empty() {
                applied.allowed.extend(new);
            } else if !new.is_empty() {
                placed.profile(&new, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW")?;
                applied.rules.push(placed.rule(&new, "SCMP_ACT_ALLOW"));
            }
        }
        for (index, of) in self.deny.iter().enumerate() {
            let placed = Placed { path, field: format!("deny[{index}]"), of };
            let calls = placed.calls()?;
            let with = if of.args.is_empty() { "" } else { " with these arguments" };
            for call in &calls {
                let is_partly = applied.rules.iter().any(|rule| names(rule).any(|name| name == call.name()));
                let what = match () {
                    () if reached.contains(call) => {
                        format!("is refused{with}, and the program reaches it (--why {})", call.name())
                    }
                    () if by_runtime.contains(call) => {
                        format!(
                            "is refused{with}, and the container runtime makes it before the program begins"
                        )
                    }
                    () if is_partly || applied.allowed.contains(call) => {
                        format!("is refused{with}, and another override permits it")
                    }
                    () => "is refused without it".to_owned(),
                };
                applied.remarks.push(placed.remark(*call, &what));
                if of.args.is_empty() {
                    applied.allowed.remove(call);
                    applied.rules.iter_mut().for_each(|rule| forget(rule, call.name()));
                }
            }
            applied.rules.retain(|rule| names(rule).next().is_some());
            if !of.args.is_empty() && !calls.is_empty() {
                applied.denied.push(placed.profile(&calls, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO")?);
            }
        }
        Ok(applied)
    }
}

/// The names of a rule.
fn names(rule: &Value) -> impl Iterator<Item = &str> {
    rule["names"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Takes a name out of a rule.
fn forget(rule: &mut Value, name: &str) {
    if let Some(names) = rule["names"].as_array_mut() {
        names.retain(|it| it != name);
    }
}
