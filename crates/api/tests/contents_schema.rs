//! The schema of `spec.contents` matches the parser, as far as a schema can.

#![expect(clippy::expect_used, reason = "a helper of tests may fail")]

use api::SeccompProfile;
use kube::CustomResourceExt;
use profile::{Action, Architecture, Comparison, Flag, dialect, limits};
use serde_json::{Value, json};

/// The part of the schema at a JSON pointer.
fn schema(pointer: &str) -> Value {
    let crd = serde_json::to_value(SeccompProfile::crd()).expect("a definition is JSON");
    let contents = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        ["contents"];
    contents.pointer(pointer).cloned().unwrap_or_default()
}

const RULE: &str = "/properties/syscalls/items";
const ARGUMENT: &str = "/properties/syscalls/items/properties/args/items";

fn rules(pointer: &str) -> Vec<Value> {
    schema(&format!("{pointer}/x-kubernetes-validations")).as_array().cloned().unwrap_or_default()
}

#[test]
fn bounds_and_words_are_those_of_the_parser() {
    let at = |parent: &str, rest: &str| schema(&format!("{parent}{rest}"));
    for (found, wanted) in [
        (at("", "/properties/architectures/maxItems"), json!(limits::ARCHITECTURES)),
        (at("", "/properties/flags/maxItems"), json!(limits::FLAGS)),
        (at("", "/properties/syscalls/maxItems"), json!(limits::RULES)),
        (at("", "/properties/defaultErrnoRet/maximum"), json!(f64::from(limits::TRACE))),
        (at(RULE, "/properties/errnoRet/maximum"), json!(f64::from(limits::TRACE))),
        (at(RULE, "/properties/names/maxItems"), json!(limits::NAMES_PER_RULE)),
        (at(RULE, "/properties/names/items/maxLength"), json!(limits::NAME_LENGTH)),
        (at(RULE, "/properties/name/maxLength"), json!(limits::NAME_LENGTH)),
        (at(RULE, "/properties/args/maxItems"), json!(limits::ARGUMENTS_PER_RULE)),
        (at(ARGUMENT, "/properties/index/maximum"), json!(f64::from(limits::ARGUMENT_INDEX))),
        (at("", "/properties/listenerPath/maxLength"), json!(limits::LISTENER_PATH)),
        (at("", "/properties/listenerMetadata/maxLength"), json!(limits::LISTENER_METADATA)),
        (at("", "/properties/defaultAction/enum"), json!(Action::DEFAULT_NAMES)),
        (at("", "/properties/flags/items/enum"), json!(Flag::NAMES)),
        (at(RULE, "/properties/action/enum"), json!(Action::NAMES)),
        (at(ARGUMENT, "/properties/op/enum"), json!(Comparison::NAMES)),
    ] {
        assert_eq!(found, wanted);
    }
}

#[test]
fn totals_over_all_rules_have_the_bounds_of_the_parser() {
    let sums: Vec<_> = rules("").iter().filter_map(|rule| rule["rule"].as_str()).map(str::to_owned).collect();
    for sum in [
        // A rule with the older field `name` has one name.
        format!(".map(s, has(s.names) ? size(s.names) : 1).sum() <= {}", limits::NAMES),
        format!(".map(s, has(s.args) ? size(s.args) : 0).sum() <= {}", limits::ARGUMENTS),
    ] {
        assert!(sums.iter().any(|rule| rule.ends_with(&sum)), "{sum} in {sums:#?}");
    }
}

#[test]
fn the_number_of_errno_is_bounded_by_a_rule_and_that_of_trace_by_its_type() {
    for (parent, field, action) in [("", "defaultErrnoRet", "defaultAction"), (RULE, "errnoRet", "action")] {
        let bound = format!(
            "!has(self.{field}) || self.{action} != 'SCMP_ACT_ERRNO' || self.{field} <= {}",
            limits::ERRNO
        );
        let bounds = |rule: &Value| rule["rule"] == bound && rule["fieldPath"] == format!(".{field}");
        assert!(rules(parent).iter().any(bounds), "{bound}");
    }
}

#[test]
fn every_part_of_a_listener_is_rejected_without_the_others() {
    let notifies = "(has(self.syscalls) && self.syscalls.exists(s, s.action == 'SCMP_ACT_NOTIFY'))";
    for (parent, field, rule) in [
        ("", "listenerPath", format!("has(self.listenerPath) || !{notifies}")),
        ("", "listenerPath", format!("!has(self.listenerPath) || {notifies}")),
        ("", "listenerMetadata", "has(self.listenerPath) || !has(self.listenerMetadata)".to_owned()),
        (
            "",
            "flags",
            "has(self.listenerPath) || !has(self.flags) || !('SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV' in self.flags)"
                .to_owned(),
        ),
        // Not even a complete listener can have `write`.
        (
            RULE,
            "action",
            "self.action != 'SCMP_ACT_NOTIFY' || !(has(self.names) && 'write' in self.names || \
             has(self.name) && self.name == 'write')"
                .to_owned(),
        ),
    ] {
        let stands = |found: &Value| found["rule"] == rule && found["fieldPath"] == format!(".{field}");
        assert!(rules(parent).iter().any(stands), "{field}: {rule}\n{:#?}", rules(parent));
    }
}

#[test]
fn a_value_is_never_null() {
    for value in ["value", "valueTwo"] {
        let value = schema(&format!("{ARGUMENT}/properties/{value}"));
        assert_eq!(value["x-kubernetes-int-or-string"], true);
        assert_ne!(value["nullable"], true);
    }
}

#[test]
fn fields_of_other_dialects_are_kept_long_enough_to_be_refused() {
    for (parent, fields) in [("", dialect::PROFILE), (RULE, dialect::RULE)] {
        for (field, message) in fields {
            // CEL does not see a field that has no type.
            assert!(schema(&format!("{parent}/properties/{field}/type")).is_string(), "{field}");
            let refusal = json!({ "rule": format!("!has(self.{field})"), "message": message, "fieldPath": format!(".{field}") });
            assert!(rules(parent).contains(&refusal), "{field}");
        }
    }
}

#[test]
fn the_native_architecture_passes_the_enum_so_that_a_rule_can_refuse_it_by_name() {
    let words: Vec<_> = Architecture::NAMES.iter().copied().chain([dialect::NATIVE]).collect();
    assert_eq!(schema("/properties/architectures/items/enum"), json!(words));
    let refusal = json!({
        "rule": "!has(self.architectures) || !('SCMP_ARCH_NATIVE' in self.architectures)",
        "message": dialect::NATIVE_REFUSED,
        "fieldPath": ".architectures"
    });
    assert!(rules("").contains(&refusal));
}

#[test]
fn rules_refuse_mixed_byte_orders_and_repeated_argument_indices() {
    let rule = |parent: &str, field: &str| {
        let of = |rule: &&Value| rule["fieldPath"] == field;
        rules(parent)
            .iter()
            .filter(of)
            .filter_map(|rule| rule["rule"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
            .join("\n")
    };
    for word in Architecture::NAMES {
        let big = Architecture::from_name(word).is_some_and(Architecture::is_big_endian);
        assert_eq!(rule("", ".architectures").contains(&format!("'{word}'")), big, "{word}");
    }
    assert!(rule(RULE, ".args").contains("exists_one(b, b.index == a.index)"));
}
