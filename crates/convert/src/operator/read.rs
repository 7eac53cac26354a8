//! Reads an object of the operator.

use profile::Action;
use profile::wording::{advice, quote, show};
use serde_json::{Map, Value, json};

use crate::at::{At, Problems};
use crate::error::invalid;
use crate::plain::drop_unused_errno;
use crate::{ConvertError, Remark, Rules};

/// The label of a profile that is a part of a recording (`ProfilePartialLabel` in api/profilebase).
const PARTIAL: &str = "spo.x-k8s.io/partial";
/// The annotation with the rules that the operator has merged (`mergeBaseProfile`).
const MERGED: &str = "syscalls";
/// The word for the node's own architecture.
const NATIVE: &str = "SCMP_ARCH_NATIVE";
/// Fields of `spec` that are not those of a profile.
const OWN_FIELDS: [&str; 3] = ["baseProfileName", "disabled", "state"];
/// Fields of `spec` that are those of a profile.
const PROFILE_FIELDS: [&str; 6] =
    ["defaultAction", "architectures", "flags", "listenerPath", "listenerMetadata", "syscalls"];
/// Metadata that every object has and that its author did not write.
const MACHINE_MADE: [&str; 8] = [
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A profile of the operator. Its fields beside those of the specification are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorProfile {
    name: Option<String>,
    namespace: Option<String>,
    base: Option<String>,
    fields: Map<String, Value>,
    rules: Vec<Map<String, Value>>,
    merged_before: Option<Vec<Map<String, Value>>>,
    remarks: Vec<Remark>,
}

impl OperatorProfile {
    /// Reads an object.
    ///
    /// # Errors
    /// It has a field that the operator does not know, or a value of another type.
    pub fn read(object: &Value) -> Result<Self, ConvertError> {
        let mut reader = Reader::default();
        match reader.read(object) {
            Some(profile) if reader.problems.0.is_empty() => Ok(profile),
            _ => Err(invalid(reader.problems.0)),
        }
    }

    /// The name of the object.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its namespace: profiles had one before the operator's release 0.9.0.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The `baseProfileName`, if there is one.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// The fields of the specification, without `syscalls`, not checked yet.
    pub(super) fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The rules, not checked yet.
    pub(super) fn rules(&self) -> &[Map<String, Value>] {
        &self.rules
    }

    /// The rules that the operator has merged with those of the bases.
    pub(super) fn merged_before(&self) -> Option<&[Map<String, Value>]> {
        self.merged_before.as_deref()
    }

    /// What is not in the profile.
    pub(super) fn remarks(&self) -> &[Remark] {
        &self.remarks
    }
}

#[derive(Default)]
struct Reader {
    problems: Problems,
    zero_errnos: Rules,
    unused_errnos: Rules,
}

impl Reader {
    fn read(&mut self, object: &Value) -> Option<OperatorProfile> {
        let top = At::default();
        let nothing = Map::new();
        let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&nothing);
        let text = |map: &Map<String, Value>, key: &str| {
            map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let at = top.key("spec");
        let spec = match object.get("spec") {
            Some(spec) => self.problems.object(&at, spec)?,
            None => return self.problems.report(&at, "is required"),
        };
        let known: Vec<_> = PROFILE_FIELDS.iter().chain(&OWN_FIELDS).copied().collect();
        for key in spec.keys().filter(|key| !known.contains(&key.as_str())) {
            self.problems.report::<()>(&at.key(key), format_args!("unknown field; {}", advice(key, &known)));
        }
        let present = |key: &str| spec.get(key).filter(|value| !value.is_null());
        let base = match present("baseProfileName") {
            Some(value) => self.problems.text(&at.key("baseProfileName"), value)?,
            None => "",
        };
        let mut remarks = self.other_fields(object, metadata);
        if self.is_disabled(&at, present("disabled"), present("state")) {
            remarks.push(Remark::Disabled);
        }
        if metadata.get("labels").and_then(|labels| labels.get(PARTIAL)).is_some() {
            remarks.push(Remark::Partial);
        }
        let fields = PROFILE_FIELDS.iter().filter(|key| **key != "syscalls");
        let mut fields: Map<String, Value> =
            fields.filter_map(|key| Some(((*key).to_owned(), present(key)?.clone()))).collect();
        if let Some(Value::Array(architectures)) = fields.get_mut("architectures") {
            let all = architectures.len();
            architectures.retain(|architecture| architecture != NATIVE);
            remarks.extend((architectures.len() < all).then_some(Remark::NativeArchitecture));
        }
        let rules_at = at.key("syscalls");
        let rules = self.rules(&rules_at, present("syscalls"));
        remarks.extend(self.zero_errnos.some().map(Remark::ZeroErrno));
        remarks.extend(self.unused_errnos.some().map(Remark::UnusedErrno));
        let merged_before = self.merged_before(metadata);
        let (name, namespace) = (text(metadata, "name"), text(metadata, "namespace"));
        let base = (!base.is_empty()).then(|| base.to_owned());
        Some(OperatorProfile { name, namespace, base, fields, rules, merged_before, remarks })
    }

    /// Fields that a `SeccompProfile` could have and does not get.
    fn other_fields(&mut self, object: &Value, metadata: &Map<String, Value>) -> Vec<Remark> {
        let mut left_out = Vec::new();
        for key in
            metadata.keys().filter(|key| key.as_str() != "name" && !MACHINE_MADE.contains(&key.as_str()))
        {
            left_out.push(format!("metadata.{key}"));
        }
        for key in object.as_object().into_iter().flat_map(Map::keys) {
            match key.as_str() {
                "apiVersion" | "kind" | "metadata" | "spec" => {}
                "status" => left_out.push(key.clone()),
                _ => {
                    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
                    let message = format!("unknown field; {}", advice(key, &known));
                    self.problems.report::<()>(&At::default().key(key), message);
                }
            }
        }
        if left_out.is_empty() { vec![] } else { vec![Remark::ObjectFields(left_out)] }
    }

    fn is_disabled(&mut self, at: &At, disabled: Option<&Value>, state: Option<&Value>) -> bool {
        let disabled = match disabled {
            None => false,
            Some(Value::Bool(disabled)) => *disabled,
            Some(other) => {
                let message = format_args!("expected true or false, found {}", show(other));
                self.problems.report::<()>(&at.key("disabled"), message);
                false
            }
        };
        let at = at.key("state");
        let state = state.and_then(|state| self.problems.text(&at, state));
        if let Some(other) = state.filter(|state| !["Enabled", "Disabled"].contains(state)) {
            let message = format_args!("unknown state {}; expected one of Enabled, Disabled", quote(other));
            self.problems.report::<()>(&at, message);
        }
        disabled || state == Some("Disabled")
    }

    fn rules(&mut self, at: &At, rules: Option<&Value>) -> Vec<Map<String, Value>> {
        let rules = self.problems.list(at, rules).iter().enumerate();
        rules.filter_map(|(i, rule)| self.rule(&at.index(i), i, rule)).collect()
    }

    fn rule(&mut self, at: &At, index: usize, rule: &Value) -> Option<Map<String, Value>> {
        let map = self.problems.object_of(at, rule, &["names", "action", "errnoRet", "args"])?;
        let mut fields: Map<_, _> = map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        // v1alpha1 has text here.
        if let Some(number) =
            fields.get("errnoRet").and_then(Value::as_str).and_then(|it| it.parse::<u16>().ok())
        {
            fields.insert("errnoRet".to_owned(), number.into());
        }
        if fields.get("errnoRet").is_some_and(|errno| errno.as_u64() == Some(0) || errno == "") {
            fields.remove("errnoRet");
            let action = fields.get("action").and_then(Value::as_str).and_then(Action::from_name);
            if action.is_some_and(Action::takes_errno) {
                self.zero_errnos.add(index);
            }
        }
        if drop_unused_errno(&mut fields) {
            self.unused_errnos.add(index);
        }
        if let Some(Value::Array(arguments)) = fields.get_mut("args") {
            for argument in arguments.iter_mut().filter_map(Value::as_object_mut) {
                argument.retain(|_, value| !value.is_null());
                argument.entry("value").or_insert_with(|| json!(0));
            }
        }
        Some(fields)
    }

    fn merged_before(&mut self, metadata: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
        let text = metadata.get("annotations")?.get(MERGED)?.as_str()?;
        let at = At::default().key("metadata").key("annotations").key(MERGED);
        // The counts are about the rules in `spec`.
        let (zero_errnos, unused_errnos) = (self.zero_errnos, self.unused_errnos);
        let rules = match serde_json::from_str::<Value>(text) {
            Ok(rules) => self.rules(&at, Some(&rules)),
            Err(error) => return self.problems.report(&at, format_args!("not JSON: {error}")),
        };
        (self.zero_errnos, self.unused_errnos) = (zero_errnos, unused_errnos);
        Some(rules)
    }
}
