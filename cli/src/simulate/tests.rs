//! The answers as users see them.

use super::*;
use crate::manifest::profiles_in;
use crate::setting::{LibseccompOption, RuntimeOption};
use crate::show::Paint;

const PROFILE: &str = "\
apiVersion: seccomp.imjasonh.dev/v1alpha1
kind: SeccompProfile
metadata:
  name: web
spec:
  contents:
    defaultAction: SCMP_ACT_ERRNO
    architectures: [SCMP_ARCH_X86_64]
    syscalls:
      - names: [read, openat, listns, exit_group]
        action: SCMP_ACT_ALLOW
      - names: [socket]
        action: SCMP_ACT_ALLOW
        args: [{index: 0, op: SCMP_CMP_EQ, value: 1}]
      - names: [socket]
        action: SCMP_ACT_LOG
        args: [{index: 1, op: SCMP_CMP_EQ, value: 3}]
      - names: [mount]
        action: SCMP_ACT_ERRNO
";

fn subject_of(text: &str) -> Subject {
    let profile = profiles_in(text).unwrap().remove(0);
    Subject { file: "web.yaml".to_owned(), profile }
}

fn simulated(calls: &[&str], setting: SettingOptions) -> Result<CallsView, CliError> {
    let calls: Vec<_> = calls.iter().map(|call| (*call).to_owned()).collect();
    CallsView::of(&subject_of(PROFILE), &calls, setting)
}

#[test]
fn each_verdict_is_shown_with_the_place_that_decides() {
    let calls = [
        "openat",
        "socket",
        "socket(16, 3, 0)",
        "socket(AF_UNIX)",
        "257",
        "mount",
        "syscall_0x1f4",
        "i386:read",
    ];
    let view = simulated(&calls, SettingOptions::default()).unwrap();
    assert!(!view.permits_all());
    insta::assert_snapshot!(view.render(Paint::Plain));
}

#[test]
fn programs_read_the_same_as_people() {
    let view = simulated(&["socket(16)", "syscall_0x1f4"], SettingOptions::default()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&view).unwrap());
}

#[test]
fn a_name_that_the_library_does_not_know_is_said_to_be_ignored() {
    let setting = SettingOptions { libseccomp: LibseccompOption::V2_6_0, ..SettingOptions::default() };
    let text = simulated(&["listns"], setting).unwrap().render(Paint::Plain);
    insta::assert_snapshot!(text);
}

#[test]
fn calls_that_are_permitted_whatever_their_arguments_are_are_a_success() {
    assert!(simulated(&["openat", "socket(1, 3)"], SettingOptions::default()).unwrap().permits_all());
    let only_crun = SettingOptions { runtime: RuntimeOption::Crun, ..SettingOptions::default() };
    assert!(!simulated(&["socket(2)"], only_crun).unwrap().permits_all());
}

#[test]
fn a_call_that_does_not_exist_is_an_error() {
    let error = simulated(&["opeant"], SettingOptions::default()).unwrap_err();
    assert_eq!(error.reason(), "UnknownCall");
    assert!(error.to_string().starts_with("\"opeant\": "));
}
