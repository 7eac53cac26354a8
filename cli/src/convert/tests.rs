use clap::Parser;

use super::*;
use crate::manifest::profiles_in;
use crate::options::{Options, Task};

const DOCKER: &str = r#"{
  "defaultAction": "SCMP_ACT_ERRNO",
  "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
  "syscalls": [
    {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
    {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}
  ]
}"#;

const OPERATOR: &str = "\
apiVersion: security-profiles-operator.x-k8s.io/v1beta1
kind: SeccompProfile
metadata: {name: web, labels: {app: web}}
spec:
  defaultAction: SCMP_ACT_ERRNO
  baseProfileName: runc
  architectures: [SCMP_ARCH_NATIVE, SCMP_ARCH_X86_64]
  syscalls:
    - {action: SCMP_ACT_ALLOW, names: [write, read, close], errnoRet: 0}
    - {action: SCMP_ACT_ERRNO, names: [mount], errnoRet: 38}
    - {action: SCMP_ACT_ALLOW, names: [socket], args: [{index: 0, op: SCMP_CMP_EQ}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
";

const RUNC: &str = "\
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: SeccompProfile
metadata: {name: runc}
spec:
  defaultAction: SCMP_ACT_KILL
  syscalls:
    - {action: SCMP_ACT_ALLOW, names: [close, execve]}
";

fn args(words: &[&str]) -> ConvertArgs {
    let words = ["kubectl-seccomp", "convert"].into_iter().chain(words.iter().copied());
    match Options::try_parse_from(words).unwrap().task {
        Task::Convert(args) => args,
        other => panic!("{other:?}"),
    }
}

fn input(path: &str) -> Input {
    let text = match path {
        "docker.json" => DOCKER,
        "web.yaml" => OPERATOR,
        "runc.yaml" => RUNC,
        "config.yaml" => "kind: ConfigMap\napiVersion: v1\n",
        other => other,
    };
    Input { path: path.into(), text: text.to_owned() }
}

fn converted(words: &[&str]) -> Result<Conversion, ConversionError> {
    let args = args(words);
    let files: Vec<_> = args.files.iter().map(|path| input(path.to_str().unwrap())).collect();
    let bases: Vec<_> = args.bases.iter().map(|base| input(base.path.to_str().unwrap())).collect();
    convert(&files, &bases, &args)
}

fn shown(words: &[&str]) -> String {
    match converted(words) {
        Ok(Conversion { text, remarks }) => format!("{}\n\n{text}", remarks.join("\n")),
        Err(error) => format!("{}: {error}", error.reason()),
    }
}

#[test]
fn a_profile_of_docker_becomes_an_object() {
    insta::assert_snapshot!(shown(&["docker.json"]));
    insta::assert_snapshot!("for_runtimes", shown(&["--to=oci", "--cap-add=SYS_ADMIN", "docker.json"]));
}

#[test]
fn a_profile_of_the_security_profiles_operator_becomes_an_object() {
    insta::assert_snapshot!(shown(&["web.yaml", "--base", "runc.yaml"]));
}

#[test]
fn a_base_may_be_among_the_files_or_be_given_by_its_reference() {
    let alone = converted(&["web.yaml", "--base=runc.yaml"]).unwrap().text;
    assert_eq!(converted(&["web.yaml", "runc.yaml", "--only=web"]).unwrap().text, alone);
    assert_eq!(converted(&["web.yaml", "--base=runc=runc.yaml"]).unwrap().text, alone);
    let both = converted(&["web.yaml", "runc.yaml"]).unwrap().text;
    assert_eq!(profiles_in(&both).unwrap().len(), 2);
}

#[test]
fn what_was_converted_is_converted_to_itself() {
    let text = converted(&["docker.json", "--name=a"]).unwrap().text;
    let again = convert(&[Input { path: "-".into(), text: text.clone() }], &[], &args(&["-"])).unwrap();
    assert_eq!((again.text, again.remarks), (text, vec![]));
}

#[test]
fn what_cannot_be_converted_is_refused_with_advice() {
    let cases: [&[&str]; 10] = [
        &["web.yaml"],
        &["config.yaml"],
        &["docker.json", "docker.json"],
        &["docker.json", "web.yaml", "--to=oci", "--base=runc.yaml"],
        &["docker.json", "--cap-add=SYS_ADMNI"],
        &["docker.json", "--only=web"],
        &["web.yaml", "--base=runc=docker.json"],
        &["{\"defaultAction\": \"SCMP_ACT_LOG\"}"],
        &["docker.json", "--architecture=s390x", "--architecture=amd64"],
        &["{\"defaultAction\": \"SCMP_ACT_LOG\", \"syscalls\": [{\"include\": {}}]}"],
    ];
    insta::assert_snapshot!(cases.map(shown).join("\n"));
}
