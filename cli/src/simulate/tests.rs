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

/// One row of the model stands for several versions, of which some do not load the profile.
#[test]
fn what_may_keep_a_runtime_from_loading_the_profile_is_a_note() {
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_RISCV64"],
        "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], "listenerPath": "/run/agent.sock",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#;
    let notes = |profile: &str, runtime, libseccomp| {
        let setting = SettingOptions { runtime, libseccomp, ..SettingOptions::default() };
        let view = CallsView::of(&subject_of(profile), &["read".to_owned()], setting).unwrap();
        let text = view.render(Paint::Plain);
        text.lines().filter_map(|line| Some(line.strip_prefix("note: ")?.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(
        notes(profile, RuntimeOption::Runc, LibseccompOption::V2_5_4),
        [
            "runc before 1.5 does not know SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, and later versions refuse it with libseccomp \
          before 2.6: no container starts"
        ]
    );
    assert_eq!(
        notes(profile, RuntimeOption::Crun, LibseccompOption::V2_6_1),
        [
            "crun sets SECCOMP_FILTER_FLAG_TSYNC, which the kernel refuses beside a listener: no container starts"
        ]
    );
    let without_flags = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_RISCV64"]}"#;
    assert_eq!(
        notes(without_flags, RuntimeOption::Runc1_1, LibseccompOption::V2_5_4),
        ["runc before 1.1.8 does not know SCMP_ARCH_RISCV64, and starts no container with it"]
    );
    assert_eq!(notes(without_flags, RuntimeOption::Runc, LibseccompOption::V2_6_1), Vec::<String>::new());
    // Long enough for the kernel's limit.
    let names: Vec<_> = syscalls::Syscall::all().map(syscalls::Syscall::name).collect();
    let little_endian =
        ["X86_64", "X86", "X32", "AARCH64", "ARM", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC64LE", "RISCV64"];
    let long = serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
        "architectures": little_endian.map(|name| format!("SCMP_ARCH_{name}")),
    });
    let long = notes(&long.to_string(), RuntimeOption::Runc, LibseccompOption::V2_6_1);
    assert!(long.iter().any(|note| note.ends_with("and the kernel loads at most 4096")), "{long:?}");
}

#[test]
fn a_call_that_no_filter_decides_is_made_whatever_the_profile_says() {
    let view = simulated(&["uretprobe"], SettingOptions::default()).unwrap();
    assert!(view.permits_all());
    let text = view.render(Paint::Plain);
    assert!(
        text.contains("note: Linux passes uretprobe around every filter, so that its verdict has no effect"),
        "{text}"
    );
}

#[test]
fn a_number_of_x32_needs_x32_in_the_profile() {
    let text = simulated(&["0x40000000"], SettingOptions::default()).unwrap().render(Paint::Plain);
    assert!(text.contains("the profile does not list SCMP_ARCH_X32"), "{text}");
}

/// The condition of the second profile holds for no argument of 32 bits as it is written.
#[test]
fn a_condition_is_shown_as_the_architecture_compares_it() {
    let profile = r#"{"defaultAction": "SCMP_ACT_KILL_THREAD", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_LOG",
                      "args": [{"index": 2, "value": 6393076910245587, "op": "SCMP_CMP_GT"}]}]}"#;
    let calls = ["i386:ioctl", "ioctl"].map(str::to_owned);
    let view = CallsView::of(&subject_of(profile), &calls, SettingOptions::default()).unwrap();
    let text = view.render(Paint::Plain);
    assert!(text.contains("arg2 > 0x3641c6d3 ") && text.contains("arg2 > 0x16b6783641c6d3 "), "{text}");
}

/// libseccomp 2.5.4 merges these rules so that two verdicts remain where none of them applies as it is written.
#[test]
fn what_no_condition_tells_apart_is_marked_as_uncertain() {
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
        {"names": ["futex"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": [
            {"index": 0, "value": 7711477300594475726, "op": "SCMP_CMP_LE"}, {"index": 1, "value": 2, "op": "SCMP_CMP_GT"}]},
        {"names": ["futex"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 2, "value": 9223372036854775807, "op": "SCMP_CMP_LE"},
            {"index": 0, "value": 1294153170627221, "op": "SCMP_CMP_LT"},
            {"index": 1, "value": 7, "op": "SCMP_CMP_MASKED_EQ", "valueTwo": 1}]},
        {"names": ["futex"], "action": "SCMP_ACT_TRACE", "args": [
            {"index": 0, "value": 4294967297, "op": "SCMP_CMP_LT"}, {"index": 1, "value": 4294967296, "op": "SCMP_CMP_EQ"}]}]}"#;
    let setting = SettingOptions { libseccomp: LibseccompOption::V2_5_4, ..SettingOptions::default() };
    let view = CallsView::of(&subject_of(profile), &["futex".to_owned()], setting).unwrap();
    let text = view.render(Paint::Plain);
    assert_eq!(
        (text.matches("otherwise perhaps").count(), text.matches("otherwise ").count()),
        (2, 2),
        "{text}"
    );
    assert_eq!(serde_json::to_string(&view).unwrap().matches(r#""perhaps":true"#).count(), 2);
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
fn standard_input_is_read_once() {
    use crate::options::{Options, Task};
    use clap::Parser;
    let origins =
        |words: &[&str]| match Options::parse_from([&["kubectl-seccomp", "simulate"], words].concat()).task {
            Task::Simulate(args) => args.origins(),
            task => panic!("{task:?}"),
        };
    assert!(origins(&["-", "--", "read"]).is_ok());
    for twice in [&["--trace", "-", "-"][..], &["--trace", "-", "--trace", "-", "web"]] {
        assert_eq!(origins(twice).unwrap_err().reason(), "StandardInputTwice");
    }
}

#[test]
fn a_call_that_does_not_exist_is_an_error() {
    let error = simulated(&["opeant"], SettingOptions::default()).unwrap_err();
    assert_eq!(error.reason(), "UnknownCall");
    assert!(error.to_string().starts_with("\"opeant\": "));
}

const LOG: &str = "\
execve(\"/bin/true\", [\"true\"], 0x7ffd /* 20 vars */) = 0
[pid 7] openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = 3
[pid 7] read(3,  <unfinished ...>
[pid 8] socket(AF_NETLINK, SOCK_DGRAM, 0) = 3
[pid 7] <... read resumed>\"root\", 4) = 4
[pid 8] socket(AF_NETLINK, SOCK_DGRAM|SOCK_CLOEXEC, 0) = 4
[pid 8] socket(AF_UNIX, SOCK_STREAM, 0) = 5
[pid 8] socket(AF_OF_NEXT_YEAR, SOCK_STREAM, 0) = 6
hello from the program
[pid 8] syscall_0x1f4(0x1, 0, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)
[pid 8] unheard_of(1) = 0
[pid 8] +++ exited with 0 +++
";

fn traced(log: &str) -> TraceView {
    let subject = subject_of(PROFILE);
    let mut trace = Trace::new(&subject, SettingOptions::default()).unwrap();
    trace.read("trace.log", log.as_bytes()).unwrap();
    trace.view()
}

#[test]
fn of_a_log_the_refused_calls_are_shown_with_their_first_line() {
    let view = traced(LOG);
    assert!(!view.permits_all());
    insta::assert_snapshot!(view.render(Paint::Plain));
}

#[test]
fn programs_read_the_same_of_a_log() {
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&traced("socket(AF_X) = 3\nlistns(1) = 0\nx\n")).unwrap()
    );
}

#[test]
fn a_number_that_strace_has_no_name_for_gets_the_name_that_the_kernel_has() {
    let text = traced("syscall_0x1c3(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = 0\n").render(Paint::Plain);
    assert!(text.starts_with("refused: cachestat, 1 call: "), "{text}");
}

#[test]
fn a_log_whose_calls_are_all_permitted_is_a_success() {
    let view = traced("openat(AT_FDCWD, \"/a\") = 3\nsocket(AF_UNIX, SOCK_STREAM, 0) = 4\n");
    assert!(view.permits_all());
    assert_eq!(view.render(Paint::Plain), "2 calls of 2 kinds: 2 permitted\n");
}

#[test]
fn a_call_that_may_have_been_made_through_a_multiplexer_is_refused_only_if_both_ways_are() {
    let profile = "\
defaultAction: SCMP_ACT_ERRNO
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls: [{names: [socketcall], action: SCMP_ACT_ALLOW}]
";
    let subject = subject_of(profile);
    let mut trace = Trace::new(&subject, SettingOptions::default()).unwrap();
    let log = "[ Process PID=7 runs in 32 bit mode. ]\nsocket(AF_UNIX, SOCK_STREAM, 0) = 3\n";
    trace.read("trace.log", log.as_bytes()).unwrap();
    let text = trace.view().render(Paint::Plain);
    assert!(
        text.starts_with("possibly refused: i386:socket, 1 call: depends on how the call was made\n"),
        "{text}"
    );
}

#[test]
fn a_multiplexer_that_the_log_shows_by_its_own_name_is_decided_by_the_code_of_the_call() {
    let profile = "\
defaultAction: SCMP_ACT_ERRNO
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls: [{names: [socket], action: SCMP_ACT_ALLOW}]
";
    let subject = subject_of(profile);
    let mut trace = Trace::new(&subject, SettingOptions::default()).unwrap();
    let log = "[ Process PID=7 runs in 32 bit mode. ]\nsocketcall(0x1, 0xff8a1b20) = 3\nsocketcall(0x3, 0xff8a1b20) = -1\n";
    trace.read("trace.log", log.as_bytes()).unwrap();
    let text = trace.view().render(Paint::Plain);
    assert!(text.starts_with("refused: i386:socketcall, 1 call: "), "{text}");
    assert!(text.ends_with("2 calls of 1 kind: 1 permitted, 1 refused\n"), "{text}");
}

#[test]
fn calls_beyond_what_is_remembered_are_decided_too() {
    let log: String = (10_000..20_000).map(|number| format!("syscall_{number:#x}(0x1) = -1\n")).collect();
    let view = traced(&log);
    let refused: u64 = view.refused.iter().map(|it| it.count).sum();
    assert_eq!((refused, view.permitted), (10_000, 0));
    assert!(view.refused.len() <= 4096);
}

#[test]
fn the_files_of_processes_are_found_by_their_common_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["log.12", "log.7", "log.7.old", "log.x", "other.1"] {
        std::fs::write(path(name), "").unwrap();
    }
    assert_eq!(logs(&[path("log")]), [path("log.12"), path("log.7")]);
    assert_eq!(logs(&[path("log.7"), path("none")]), [path("log.7"), path("none")]);
}

proptest::proptest! {
    /// No bit pattern that agrees with what is known may be refused if the answer is that the call is permitted.
    #[test]
    fn no_call_of_a_log_is_permitted_that_the_filter_may_refuse(first in 0..3_u64, second in 0..5_u64, hidden: bool) {
        let subject = subject_of(PROFILE);
        let explainer = SettingOptions::default().explainer(&subject.profile.profile).unwrap();
        let shown = if hidden { "AF_OF_NEXT_YEAR".to_owned() } else { first.to_string() };
        let view = traced(&format!("socket({shown}, {second}, 0) = 3\n"));
        let arguments = [first, second, 0, 0, 0, 0];
        let call = filter::Call { architecture: profile::Architecture::X86_64, number: 41, arguments };
        let permitted = explainer.filter().decide(&call).permission() >= filter::Permission::Log;
        proptest::prop_assert!(permitted || !view.permits_all());
        if !hidden {
            proptest::prop_assert_eq!(permitted, view.permits_all());
        }
    }
}
