use std::path::PathBuf;

use clap::Parser;
use profile::Profile;

use super::*;
use crate::manifest::profile_in;
use crate::options::{Options, Task};
use crate::show::Paint;

const BEFORE: &str = r"
apiVersion: seccomp.imjasonh.dev/v1alpha1
kind: SeccompProfile
metadata: { name: web }
spec:
  contents:
    defaultAction: SCMP_ACT_ERRNO
    architectures: [SCMP_ARCH_X86_64]
    syscalls:
      - names: [read, write, bpf, ptrace, statx]
        action: SCMP_ACT_ALLOW
      - names: [clone]
        action: SCMP_ACT_ALLOW
        args: [{ index: 0, value: 2114060288, valueTwo: 0, op: SCMP_CMP_MASKED_EQ }]
";
const AFTER: &str = r"
defaultAction: SCMP_ACT_KILL_PROCESS
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
  - names: [write, read, statx, io_uring_setup]
    action: SCMP_ACT_ALLOW
  - names: [clone]
    action: SCMP_ACT_ALLOW
    args: [{ index: 0, value: 2114060288, valueTwo: 0, op: SCMP_CMP_MASKED_EQ }]
  - names: [clone]
    action: SCMP_ACT_LOG
    args: [{ index: 0, value: 0x10000000, valueTwo: 0x10000000, op: SCMP_CMP_MASKED_EQ }]
";

fn options(words: &[&str]) -> DiffArgs {
    match Options::parse_from([&["kubectl-seccomp", "diff"], words].concat()).task {
        Task::Diff(options) => options,
        task => panic!("{task:?}"),
    }
}

fn view_with(before: &str, after: &str, nodes: &[&str]) -> DiffView {
    let read =
        |name: &str, text| NamedProfile { name: name.to_owned(), profile: profile_in(text, "web").unwrap() };
    let nodes = options(&[&["a", "b"], nodes].concat()).nodes;
    DiffView::of(&read("web", before), &read("web.yaml", after), &nodes).unwrap()
}

fn view(before: &str, after: &str) -> DiffView {
    view_with(before, after, &[])
}

/// The text after the two lines with the hashes.
fn body(view: &DiffView) -> String {
    view.render(Paint::Plain).splitn(3, '\n').nth(2).unwrap_or_default().to_owned()
}

#[test]
fn changes_are_grouped_by_what_they_permit() {
    insta::assert_snapshot!(view(BEFORE, AFTER).render(Paint::Plain));
}

#[test]
fn removed_lines_are_red_and_added_lines_are_green() {
    let after = BEFORE.replace("ptrace, ", "");
    insta::assert_snapshot!(view(BEFORE, &after).render(Paint::Colours).replace('\x1b', "ESC"));
}

#[test]
fn programs_read_the_same_as_people() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&view(BEFORE, AFTER)).unwrap());
}

/// The highest call that a rule names moves from 332 to 437.
#[test]
fn calls_that_runc_no_longer_answers_are_named() {
    let after = format!("{BEFORE}      - {{ names: [openat2], action: SCMP_ACT_ERRNO }}\n");
    insta::assert_snapshot!(body(&view(BEFORE, &after)));
    let view = view_with(BEFORE, &after, &["--runtime", "crun"]);
    assert!(view.same && body(&view).contains("The same filter in other bytes"));
}

#[test]
fn a_condition_is_shown_as_it_is_written_with_a_call_that_shows_the_difference() {
    let with = |argument: &str| {
        format!(
            "defaultAction: SCMP_ACT_ERRNO\narchitectures: [SCMP_ARCH_X86_64]\nsyscalls: [{{ names: [socket, socketpair], action: SCMP_ACT_ALLOW, args: [{argument}] }}]\n"
        )
    };
    let before = with("{ index: 0, value: 40, op: SCMP_CMP_LT }");
    let mut shown = String::new();
    for other in ["{ index: 0, value: 41, op: SCMP_CMP_LE }", "{ index: 1, value: 7, op: SCMP_CMP_EQ }"] {
        shown += &body(&view(&before, &with(other)));
    }
    insta::assert_snapshot!(shown);
    let same = view(&before, &with("{ index: 0, value: 39, op: SCMP_CMP_LE }"));
    assert!(same.same, "{}", body(&same));
}

#[test]
fn an_architecture_that_only_one_profile_lists_is_one_change() {
    let both = BEFORE.replace("[SCMP_ARCH_X86_64]", "[SCMP_ARCH_X86_64, SCMP_ARCH_X86]");
    insta::assert_snapshot!(body(&view(&both, BEFORE)));
}

#[test]
fn nodes_on_which_only_one_profile_starts_are_a_difference() {
    let flags = BEFORE.replace("    syscalls:", "    flags: [SECCOMP_FILTER_FLAG_LOG]\n    syscalls:");
    insta::assert_snapshot!(body(&view_with(
        BEFORE,
        &flags,
        &["--runtime", "runc-1.1", "--runtime", "runc"]
    )));
    let big_endian = "defaultAction: SCMP_ACT_ERRNO\narchitectures: [SCMP_ARCH_S390X]\n";
    let other = format!("{big_endian}defaultErrnoRet: 5\n");
    let neither = view_with(big_endian, &other, &["--architecture", "amd64"]);
    assert!(!neither.same);
    insta::assert_snapshot!("neither_starts", body(&neither));
}

#[test]
fn a_condition_is_shown_as_each_architecture_compares_it() {
    let with = |action: &str| {
        format!(
            "defaultAction: SCMP_ACT_ERRNO\narchitectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]\nsyscalls: [{{ names: [ioctl], action: {action}, args: [{{ index: 2, value: 0x16b6783641c6d3, op: SCMP_CMP_GT }}] }}]\n"
        )
    };
    let text = body(&view(&with("SCMP_ACT_LOG"), &with("SCMP_ACT_ALLOW")));
    for line in ["SCMP_ACT_ALLOW if arg2 > 0x16b6783641c6d3", "SCMP_ACT_ALLOW if arg2 > 0x3641c6d3"] {
        assert!(text.contains(line), "{text}");
    }
}

/// A possible difference must not count as equality, neither in text nor in JSON nor in the exit code.
#[test]
fn possible_differences_on_other_nodes_do_not_count_as_the_same() {
    let named = BEFORE.replace("    syscalls:", "    flags: [SECCOMP_FILTER_FLAG_SPEC_ALLOW]\n    syscalls:");
    let unknown = format!("{BEFORE}      - {{ names: [epol_wait, a_later_call], action: SCMP_ACT_ALLOW }}\n");
    let mut shown = String::new();
    for other in [&named, &unknown] {
        let view = view(BEFORE, other);
        assert!(!view.same && !view.uncompared.is_empty(), "{other}");
        shown += &body(&view);
    }
    insta::assert_snapshot!(shown);
    insta::assert_snapshot!(
        "uncompared_for_programs",
        serde_json::to_string(&view(BEFORE, &unknown).uncompared).unwrap()
    );
    // A rule that repeats the default may still change what runc answers with ENOSYS.
    let repeated = format!("{BEFORE}      - {{ names: [a_later_call], action: SCMP_ACT_ERRNO }}\n");
    assert!(!view(BEFORE, &repeated).same);
}

#[test]
fn another_listener_is_shown() {
    let notifying = |metadata: &str| {
        let syscalls = "syscalls: [{ names: [mkdir], action: SCMP_ACT_NOTIFY }]";
        format!("defaultAction: SCMP_ACT_ALLOW\nlistenerPath: /run/a.sock\n{metadata}\n{syscalls}\n")
    };
    let text = view(&notifying(""), &notifying("listenerMetadata: b")).render(Paint::Plain);
    let shown = "listener:\n  - /run/a.sock\n  + /run/a.sock (metadata \"b\")\n";
    assert!(text.ends_with(shown), "{text}");
}

#[test]
fn another_spelling_is_the_same_filter() {
    assert_eq!(view(BEFORE, BEFORE).render(Paint::Plain), "");
    let other = BEFORE.replace("[read, write, bpf, ptrace, statx]", "[ptrace, read, bpf, write, statx]");
    let view = view(BEFORE, &other);
    assert!(view.same);
    let last = "The same filter in other bytes: applying it rewrites the file on every node.\n";
    assert!(view.render(Paint::Plain).ends_with(last));
}

#[test]
fn each_side_is_a_file_or_a_name() {
    let inputs = |words: &[&str]| options(words).inputs().unwrap();
    let (file, name) =
        (|path: &str| Input::File(PathBuf::from(path)), |name: &str| Input::Cluster(name.to_owned()));
    assert_eq!(inputs(&["web", "-f", "web"]), [name("web"), file("web")]);
    assert_eq!(inputs(&["Cargo.toml", "-f", "-"]), [name("Cargo.toml"), file("-")]);
    assert_eq!(inputs(&["seccompprofile/web", "-f", "web"]), [name("web"), file("web")]);
    assert_eq!(inputs(&["a.yaml", "-f", "b.yaml"]), [file("a.yaml"), file("b.yaml")]);
    assert_eq!(inputs(&["-", "-f", "b"]), [file("-"), file("b")]);
    assert_eq!(inputs(&["./Cargo.toml", "-"]), [file("./Cargo.toml"), file("-")]);
    assert_eq!(inputs(&["web", "Cargo.toml"]), [name("web"), file("Cargo.toml")]);
    assert_eq!(inputs(&["seccompprofile/a", "b"]), [name("a"), name("b")]);
    let refused =
        |words: &[&str]| Options::try_parse_from([&["kubectl-seccomp", "diff"], words].concat()).is_err();
    assert_eq!(options(&["-", "-"]).inputs().unwrap_err().reason(), "StandardInputTwice");
    assert_eq!(options(&["-", "-f", "-"]).inputs().unwrap_err().reason(), "StandardInputTwice");
    assert!(refused(&["web"]) && refused(&["web", "web", "-f", "web"]));
}

#[test]
fn the_whole_table_of_calls_is_compared_in_both_directions() {
    let names: Vec<_> = syscalls::Syscall::all().map(syscalls::Syscall::name).collect();
    let profile = |action: &str, rule: &str| {
        let text =
            serde_json::json!({ "defaultAction": action, "syscalls": [{ "names": names, "action": rule }] });
        Profile::from_value(&text).unwrap()
    };
    let named = |profile: &Profile| NamedProfile { name: "a".to_owned(), profile: profile.clone() };
    let (allow, deny) =
        (profile("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"), profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"));
    let view = DiffView::of(&named(&allow), &named(&deny), &NodeOptions::default()).unwrap();
    let of = |direction| view.calls.iter().filter(|it| it.change.direction == direction).count();
    assert!(of(Direction::LessPermissive) > 0 && of(Direction::MorePermissive) > 0);
    assert!(!view.same);
}
