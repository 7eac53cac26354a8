//! The schema of `spec.contents`: the strict model of the `profile` crate, as far as a schema can express it.
//!
//! The API server validates with this schema alone, because there is no webhook. Two rules of the API server shape it:
//! it evaluates CEL rules only after every structural check has passed, so enums, bounds and patterns are used where
//! possible; and every list and string needs a bound, because the API server otherwise rejects the estimated cost of a
//! CEL rule on it.

mod listener;

use profile::{Action, Architecture, Comparison, Flag, dialect, limits};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

const ERRNO_ACTIONS: &str = "['SCMP_ACT_ERRNO','SCMP_ACT_TRACE']";

/// True unless the list holds architectures of both byte orders.
fn one_byte_order() -> String {
    let big = |word: &&&str| Architecture::from_name(word).is_some_and(Architecture::is_big_endian);
    let big: Vec<_> = Architecture::NAMES.iter().filter(big).map(|word| format!("'{word}'")).collect();
    let big = format!("a in [{}]", big.join(","));
    format!(
        "!has(self.architectures) || self.architectures.all(a, {big}) || !self.architectures.exists(a, {big})"
    )
}

/// The schema of an OCI seccomp object.
pub(crate) fn contents(_: &mut SchemaGenerator) -> Schema {
    let mut schema = json_schema!({
        "description": "The profile: the seccomp object of the OCI runtime specification, as JSON.",
        "type": "object",
        "required": ["defaultAction"],
        "x-kubernetes-validations": [
            {
                "rule": format!("!has(self.architectures) || !('{}' in self.architectures)", dialect::NATIVE),
                "message": dialect::NATIVE_REFUSED,
                "fieldPath": ".architectures"
            },
            {
                "rule": one_byte_order(),
                "message": "no node is both big-endian and little-endian; leave one kind out",
                "fieldPath": ".architectures"
            },
            {
                "rule": format!("!has(self.defaultErrnoRet) || self.defaultAction in {ERRNO_ACTIONS}"),
                "message": "defaultErrnoRet needs defaultAction SCMP_ACT_ERRNO or SCMP_ACT_TRACE",
                "fieldPath": ".defaultErrnoRet"
            },
            errno_in_range("defaultErrnoRet", "defaultAction"),
            listener::PATH_IS_ABSOLUTE.rule(),
            listener::NOTIFY_NEEDS_PATH.rule(),
            listener::PATH_NEEDS_NOTIFY.rule(),
            listener::METADATA_NEED_PATH.rule(),
            listener::FLAG_NEEDS_PATH.rule(),
            {
                "rule": format!("!has(self.syscalls) || self.syscalls.map(s, has(s.names) ? size(s.names) : 1).sum() <= {}", limits::NAMES),
                "message": format!("at most {} names in all", limits::NAMES),
                "fieldPath": ".syscalls"
            },
            {
                "rule": format!("!has(self.syscalls) || self.syscalls.map(s, has(s.args) ? size(s.args) : 0).sum() <= {}", limits::ARGUMENTS),
                "message": format!("at most {} arguments in all", limits::ARGUMENTS),
                "fieldPath": ".syscalls"
            }
        ],
        "properties": {
            "defaultAction": one_of(Action::DEFAULT_NAMES, "The action for calls that no rule names."),
            "defaultErrnoRet": errno("The errno of the default action SCMP_ACT_ERRNO (EPERM if absent), or the number that SCMP_ACT_TRACE passes to the tracer."),
            "architectures": {
                "description": "System call tables that the filter covers in addition to the node's own, which it always covers; SCMP_ARCH_NATIVE is refused. A call through any other table kills the program, even if the default action permits calls: 32-bit programs need SCMP_ARCH_X86 or SCMP_ARCH_ARM.",
                "type": "array",
                "maxItems": limits::ARCHITECTURES,
                // Also NATIVE, so that a rule can reject it with a message.
                "items": one_of(&[Architecture::NAMES, &[dialect::NATIVE]].concat(), "A system call table.")
            },
            "flags": {
                "description": "Flags for seccomp(2).",
                "type": "array",
                "maxItems": limits::FLAGS,
                "items": one_of(Flag::NAMES, "A flag.")
            },
            "listenerPath": listener::path(),
            "listenerMetadata": listener::metadata(),
            "syscalls": {
                "description": "The rules.",
                "type": "array",
                "maxItems": limits::RULES,
                "items": rule()
            }
        }
    });
    for (field, message) in dialect::PROFILE {
        refuse(&mut schema, field, message);
    }
    schema
}

/// Declares a field of another dialect and rejects it. If the schema did not declare it, the API server would silently
/// drop it for clients without strict validation. CEL sees only fields that have a type.
fn refuse(schema: &mut Schema, field: &str, message: &str) {
    let mut shape = match field {
        "archMap" => json!({
            "type": "array", "maxItems": 64,
            "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true }
        }),
        "includes" | "excludes" => json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
        _ => json!({ "type": "string", "maxLength": 4096 }),
    };
    shape["description"] = format!("Refused: {message}.").into();
    let schema = schema.ensure_object();
    schema["properties"][field] = shape;
    if let Some(rules) = schema["x-kubernetes-validations"].as_array_mut() {
        let rule = format!("!has(self.{field})");
        rules.push(json!({ "rule": rule, "message": message, "fieldPath": format!(".{field}") }));
    }
}

fn rule() -> Schema {
    let name = |at_least: usize| {
        let repeat = if at_least == 0 { '*' } else { '+' };
        json!({
            "description": "The name of a system call.",
            "type": "string",
            "minLength": at_least,
            "maxLength": limits::NAME_LENGTH,
            "pattern": format!("^[a-z0-9_]{repeat}$")
        })
    };
    let mut rule = json_schema!({
        "description": "Sets the action for some system calls.",
        "type": "object",
        "required": ["action"],
        "x-kubernetes-validations": [
            { "rule": "has(self.names) != (has(self.name) && self.name != '')", "message": "give either names or name" },
            {
                "rule": format!("!has(self.errnoRet) || self.action in {ERRNO_ACTIONS}"),
                "message": "errnoRet needs action SCMP_ACT_ERRNO or SCMP_ACT_TRACE",
                "fieldPath": ".errnoRet"
            },
            errno_in_range("errnoRet", "action"),
            listener::WRITE_IS_NEVER_NOTIFIED.rule(),
            {
                "rule": "!has(self.args) || self.args.all(a, self.args.exists_one(b, b.index == a.index))",
                "message": "two comparisons of one argument: runtimes take these as alternatives; write two rules",
                "fieldPath": ".args"
            }
        ],
        "properties": {
            "name": name(0),
            "names": {
                "description": "The system calls of the rule.",
                "type": "array",
                "minItems": 1,
                "maxItems": limits::NAMES_PER_RULE,
                "items": name(1)
            },
            "action": one_of(Action::NAMES, "The action for these calls."),
            "errnoRet": errno("The errno of the action SCMP_ACT_ERRNO (EPERM if absent), or the number that SCMP_ACT_TRACE passes to the tracer."),
            "args": {
                "description": "Comparisons that must all hold for the rule to apply.",
                "type": "array",
                "maxItems": limits::ARGUMENTS_PER_RULE,
                "items": argument()
            }
        }
    });
    for (field, message) in dialect::RULE {
        refuse(&mut rule, field, message);
    }
    rule
}

fn argument() -> Value {
    // The API server's JSON numbers end at 2^63-1, so a larger u64 is a string.
    let value = |what: &str| {
        json!({
            "description": format!("{what} From 0 to 2^64-1; above 2^63-1 as text."),
            "x-kubernetes-int-or-string": true,
            "maxLength": 20,
            // Explicit, because kube's derive otherwise makes an optional value of two types nullable.
            "nullable": false
        })
    };
    // Character by character instead of by a regular expression: Kubernetes 1.33 assumes that a value of two types is as
    // long as a whole request (`SchemaDeclType` in k8s.io/apiserver 0.33, pkg/cel/common/schemas.go; 0.34 counts with
    // `maxLength`), and refuses the definition for what the expression could cost.
    let characters = |field: &str, first: usize, end: usize, ranges: &[[char; 2]]| {
        let positions: Vec<_> = (first..end).map(|position| position.to_string()).collect();
        let character = format!("self.{field}.charAt(i)");
        let ranges: Vec<_> = ranges
            .iter()
            .map(|[low, high]| format!("({character} >= '{low}' && {character} <= '{high}')"))
            .collect();
        let (positions, ranges) = (positions.join(","), ranges.join(" || "));
        format!("[{positions}].all(i, i >= size(self.{field}) || {ranges})")
    };
    // Decimal strings of twenty digits have the same order as their numbers.
    let in_range = |field: &str| {
        let hexadecimal = format!(
            "size(self.{field}) > 2 && size(self.{field}) <= 18 && {}",
            characters(field, 2, 18, &[['0', '9'], ['a', 'f'], ['A', 'F']])
        );
        let decimal = format!(
            "size(self.{field}) > 0 && size(self.{field}) <= 20 && {} && \
             (size(self.{field}) == 1 || !self.{field}.startsWith('0')) && \
             (size(self.{field}) < 20 || self.{field} <= '{}')",
            characters(field, 0, 20, &[['0', '9']]),
            u64::MAX
        );
        let text = format!("self.{field}.startsWith('0x') ? {hexadecimal} : {decimal}");
        json!({
            "rule": format!("!has(self.{field}) || (type(self.{field}) == int ? self.{field} >= 0 : ({text}))"),
            "message": format!("{field}: a whole number from 0 to 2^64-1, above 2^63-1 as a string"),
            "fieldPath": format!(".{field}")
        })
    };
    json!({
        "description": "Compares one argument of a call with a value.",
        "type": "object",
        "required": ["index", "value", "op"],
        "x-kubernetes-validations": [in_range("value"), in_range("valueTwo")],
        "properties": {
            "index": {
                "description": "The index of the argument, from 0 to 5.",
                "type": "integer", "format": "int32", "minimum": 0, "maximum": limits::ARGUMENT_INDEX
            },
            "value": value("The value that the argument is compared with; the mask, for SCMP_CMP_MASKED_EQ."),
            "valueTwo": value("The value that the masked argument must equal, for SCMP_CMP_MASKED_EQ."),
            "op": one_of(Comparison::NAMES, "The comparison.")
        }
    })
}

fn one_of(words: &[&str], description: &str) -> Value {
    json!({ "description": description, "type": "string", "enum": words })
}

/// The bounds for every action; [`errno_in_range`] has the stricter one for SCMP_ACT_ERRNO.
fn errno(description: &str) -> Value {
    json!({ "description": description, "type": "integer", "format": "int32", "minimum": 0, "maximum": limits::TRACE })
}

fn errno_in_range(field: &str, action: &str) -> Value {
    json!({
        "rule": format!("!has(self.{field}) || self.{action} != 'SCMP_ACT_ERRNO' || self.{field} <= {}", limits::ERRNO),
        "message": format!("at most {} beside SCMP_ACT_ERRNO: with more no runtime starts a container", limits::ERRNO),
        "fieldPath": format!(".{field}")
    })
}
