//! Profiles of the Security Profiles Operator.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use convert::operator::{OperatorProfile, convert};
use convert::{ConvertError, Converted};
use serde_json::{Value, json};

fn object(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "security-profiles-operator.x-k8s.io/v1", "kind": "SeccompProfile",
           "metadata": {"name": name}, "spec": spec})
}

fn converted(object: &Value, bases: &[Value]) -> Result<Converted, ConvertError> {
    let bases: Vec<_> = bases.iter().map(|base| OperatorProfile::read(base).unwrap()).collect();
    let profile = OperatorProfile::read(object)?;
    let find = |_: &OperatorProfile, name: &str| bases.iter().find(|base| base.name() == Some(name));
    convert(&profile, &find)
}

fn rules(converted: &Converted) -> Value {
    serde_json::to_value(&converted.profile).unwrap()["syscalls"].take()
}

#[test]
fn a_profile_is_written_as_the_operator_writes_it() {
    let mut object = object(
        "a",
        json!({
            "state": "Disabled", "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_NATIVE"], "flags": null,
            "syscalls": [
                {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
                {"names": ["umount2"], "action": "SCMP_ACT_ERRNO", "errnoRet": "38"},
                {"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1,
                 "args": [{"index": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "op": "SCMP_CMP_EQ", "value": 1}]},
            ],
        }),
    );
    object["metadata"]["labels"] = json!({"spo.x-k8s.io/partial": "true"});
    object["status"] = json!({"status": "Installed"});
    let converted = converted(&object, &[]).unwrap();
    let remarks: String = converted.remarks.iter().map(|remark| format!("{remark}\n")).collect();
    insta::assert_snapshot!(remarks + &serde_json::to_string_pretty(&converted.profile).unwrap());
}

#[test]
fn bases_are_merged_along_their_chain_and_only_their_rules() {
    let own = object(
        "own",
        json!({"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": "middle", "syscalls": [
        {"names": ["write", "read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["socket"], "action": "SCMP_ACT_LOG"}]}),
    );
    let middle = object(
        "middle",
        json!({"defaultAction": "SCMP_ACT_KILL", "baseProfileName": "last",
        "architectures": ["SCMP_ARCH_ARM"], "syscalls": [
        {"names": ["read", "close"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}),
    );
    let last = object(
        "last",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": [
        {"names": ["close", "execve"], "action": "SCMP_ACT_ALLOW"}]}),
    );
    let merged = converted(&own, &[middle.clone(), last]).unwrap();
    assert_eq!(
        rules(&merged),
        json!([
            {"names": ["close", "execve"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["socket"], "action": "SCMP_ACT_LOG"},
        ])
    );
    assert_eq!(merged.profile.default_action().name(), "SCMP_ACT_ERRNO");
    assert!(merged.profile.architectures().is_empty() && merged.profile.flags().is_empty());
    assert_eq!(converted(&own, &[middle]).unwrap_err().reason(), "BaseMissing");
}

#[test]
fn without_the_base_the_rules_are_those_that_the_operator_has_merged() {
    let mut own = object(
        "own",
        json!({"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": "oci://example.com/runc:v1",
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}),
    );
    let error = converted(&own, &[]).unwrap_err();
    assert_eq!(error.reason(), "BaseInRegistry");
    insta::assert_snapshot!(error);
    own["metadata"]["annotations"] =
        json!({"syscalls": r#"[{"names":["execve","read"],"action":"SCMP_ACT_ALLOW"}]"#});
    let merged = converted(&own, &[]).unwrap();
    assert_eq!(rules(&merged), json!([{"names": ["execve", "read"], "action": "SCMP_ACT_ALLOW"}]));
}

#[test]
fn a_circle_of_bases_is_refused() {
    let own = object("own", json!({"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": "own"}));
    assert_eq!(converted(&own, std::slice::from_ref(&own)).unwrap_err(), ConvertError::BaseTooDeep);
}

#[test]
fn mistakes_are_refused_at_their_place() {
    let wrong = [
        json!({"defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": 1, "syscall": []}),
        json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW"}]}),
        json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALOW"}]}),
        json!({"defaultAction": "SCMP_ACT_LOG", "state": "off", "disabled": "yes", "baseProfileName": 1}),
        json!([]),
    ];
    let messages = wrong.map(|spec| converted(&object("a", spec), &[]).unwrap_err().to_string());
    insta::assert_snapshot!(messages.join("\n"));
}
