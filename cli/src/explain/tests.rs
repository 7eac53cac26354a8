//! What is said of profiles.

use std::collections::BTreeSet;

use clap::Parser;
use proptest::prelude::*;

use super::call::{Access, Because};
use super::*;
use crate::options::{Options, Task};
use crate::setting::SettingOptions;
use crate::show::Paint;
use crate::sources::Source;

const WEB: &str = "\
apiVersion: seccomp.imjasonh.dev/v1alpha1
kind: SeccompProfile
metadata:
  name: web
spec:
  contents:
    defaultAction: SCMP_ACT_ERRNO
    architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
    syscalls:
      - names: [read, writ, openat, exit_group, clone, getpid, renameat2]
        action: SCMP_ACT_ALLOW
      - names: [socket]
        action: SCMP_ACT_ALLOW
        args: [{ index: 0, value: 1, op: SCMP_CMP_EQ }]
      - names: [socket]
        action: SCMP_ACT_ALLOW
        args: [{ index: 0, value: 10, op: SCMP_CMP_EQ }, { index: 1, value: 1, op: SCMP_CMP_EQ }]
      - names: [ptrace]
        action: SCMP_ACT_KILL_PROCESS
      - names: [uname]
        action: SCMP_ACT_LOG
      - names: [clone3]
        action: SCMP_ACT_ERRNO
        errnoRet: 38
";

fn view(text: &str, options: &[&str]) -> ExplainView {
    let line = ["kubectl-seccomp", "explain", "web.yaml"].iter().chain(options);
    let Task::Explain(args) = Options::try_parse_from(line).unwrap().task else { unreachable!() };
    let mut view = ExplainView::default();
    view.add(&Source::of("web.yaml", None, text.to_owned()).unwrap(), args.setting);
    view
}

/// A plain profile with these rules, as JSON.
fn plain(default: &str, rules: &str) -> String {
    format!(r#"{{"defaultAction": "SCMP_ACT_{default}", "syscalls": [{rules}]}}"#)
}

#[test]
fn only_architectures_whose_programs_the_node_runs_are_shown() {
    let shown = |architecture| {
        let text = WEB.replace("SCMP_ARCH_X86]", "SCMP_ARCH_X86, SCMP_ARCH_ARM]");
        let view = view(&text, &["--architecture", architecture]);
        let filter = view.profiles[0].filter.as_ref().unwrap();
        filter.architectures.iter().map(|it| it.architecture).collect::<Vec<_>>()
    };
    assert_eq!(shown("x86_64"), [profile::Architecture::X86]);
    assert_eq!(shown("aarch64"), [profile::Architecture::Arm]);
}

#[test]
fn a_call_that_is_too_complex_to_be_compared_leaves_the_others_to_be_explained() {
    let bit = |bit: u32| {
        let argument = |index| {
            format!(
                r#"{{"index": {index}, "value": "{0}", "valueTwo": "{0}", "op": "SCMP_CMP_MASKED_EQ"}}"#,
                1_u64 << bit
            )
        };
        let arguments: Vec<_> = (0..6).map(argument).collect();
        format!(r#"{{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{}]}}"#, arguments.join(","))
    };
    let mut rules: Vec<_> = (0..64).map(bit).collect();
    rules.push(r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW"}"#.to_owned());
    let view = view(&plain("ERRNO", &rules.join(",")), &[]);
    let text = view.render(Paint::Plain);
    assert!(text.contains("Not compared, because their conditions are too complex: socket."), "{text}");
    assert!(text.contains("socket depends on its arguments in too many ways to be spelt out"), "{text}");
    assert!(view.page().contains("too complex: socket."));
}

#[test]
fn a_profile_is_explained_by_groups_with_its_findings_in_place() {
    insta::assert_snapshot!(view(WEB, &[]).render(Paint::Plain));
}

#[test]
fn colours_mark_what_is_permitted_and_what_is_not() {
    let text = view(WEB, &[]).render(Paint::Colours).replace('\x1b', "ESC");
    assert!(text.contains("  ESC[32mpermitted:ESC[0m read\n"), "{text}");
    assert!(text.contains("  ESC[33mdepends:ESC[0m socket is permitted if"), "{text}");
    assert!(text.contains("  ESC[31mrefused, ends the process:ESC[0m ptrace\n"), "{text}");
}

#[test]
fn programs_read_the_same_as_people() {
    let mut value = serde_json::to_value(view(WEB, &[])).unwrap();
    // The whole is long: one group, and the rest without them.
    let profile = &mut value["profiles"][0];
    let groups = profile["groups"].take();
    let network = groups.as_array().unwrap().iter().find(|it| it["group"] == "network").unwrap();
    profile["groups"] = network.clone();
    profile["comparison"]["refused"] = serde_json::Value::Null;
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
}

/// The node decides what a profile does.
#[test]
fn the_answer_is_that_of_the_node() {
    let of = |options: &[&str], name: &str| {
        let view = view(WEB, options);
        let case = view.profiles[0].call(name).cases[0].clone();
        (case.verdict, case.because)
    };
    let enosys = (filter::Verdict::Errno(38), Because::AboveHighest);
    assert_eq!(of(&[], "openat2"), enosys);
    assert_eq!(of(&["--runtime", "crun"], "openat2"), (filter::Verdict::Errno(1), Because::Default));
    let arm = view(WEB, &["--architecture", "arm64"]);
    let filter = arm.profiles[0].filter.as_ref().unwrap();
    assert_eq!(filter.uncovered, [profile::Architecture::Arm]);
    assert!(filter.comparison.is_some());
    let riscv = view(WEB, &["--architecture", "riscv64"]).render(Paint::Plain);
    assert!(riscv.contains("None is known for riscv64."), "{riscv}");
}

#[test]
fn a_profile_with_which_nothing_starts_is_said_to_be_so() {
    let flags = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}"#;
    let view = view(flags, &["--runtime", "runc-1.1"]);
    assert!(!view.all_start());
    let text = view.render(Paint::Plain);
    assert!(
        text.contains("No container starts with it: runc 1.1.3 to 1.1.14 refuses every seccomp flag"),
        "{text}"
    );
    assert!(text.contains("[flags-refused-by-old-runc] at web.yaml:1:"), "{text}");
}

/// The answer for programs is that of the finding.
#[test]
fn a_profile_that_denies_the_runtime_what_it_needs_in_every_container_starts_none() {
    let starts = |text: &str, options: &[&str]| {
        let view = view(text, options);
        let mut findings = view.profiles.iter().flat_map(|it| &it.findings);
        let is_found =
            findings.any(|it| it.rule == "cannot-start" && it.message.starts_with("no container starts"));
        assert_eq!(view.all_start(), !is_found, "{text}");
        view.all_start()
    };
    let permitting =
        |names: &str| plain("ERRNO", &format!(r#"{{"names": [{names}], "action": "SCMP_ACT_ALLOW"}}"#));
    assert!(!starts(&plain("ERRNO", ""), &[]));
    assert!(!starts(&permitting(r#""execve""#), &[]));
    assert!(!starts(&plain("ERRNO", ""), &["--runtime", "runc-1.1.15"]));
    // Containers without `allowPrivilegeEscalation: false` need more, others start.
    assert!(starts(&permitting(r#""execve""#), &["--runtime", "crun"]));
    assert!(starts(&plain("LOG", ""), &[]));
    // What a runtime needs there was not measured.
    assert!(starts(&plain("ERRNO", ""), &["--architecture", "aarch64"]));
}

#[test]
fn the_rule_that_keeps_containers_from_starting_is_named_with_its_line() {
    let profile = "defaultAction: SCMP_ACT_ALLOW\narchitectures: [SCMP_ARCH_X86]\nsyscalls:\n\
                   - {names: [semop], action: SCMP_ACT_TRAP}\n- {names: [close, semop], action: SCMP_ACT_ERRNO}\n";
    let text = view(profile, &[]).render(Paint::Plain);
    let place =
        "No container starts with it: at web.yaml:5:19, syscalls[1].names[1] (semop): libseccomp refuses";
    // However the lines are broken.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(place), "{text}");
}

#[test]
fn a_call_is_explained_in_one_sentence() {
    let sentence = |rules: &str, name: &str| {
        let view = view(&plain("ERRNO", rules), &[]);
        let call = view.profiles[0].call(name);
        (call.access, call.sentence())
    };
    let rule = |name: &str, action: &str, args: &str| {
        format!(r#"{{"names": ["{name}"], "action": "SCMP_ACT_{action}", "args": [{args}]}}"#)
    };
    let arg = |index: u8, value: u64, op: &str| {
        format!(r#"{{"index": {index}, "value": {value}, "op": "SCMP_CMP_{op}"}}"#)
    };
    // Comparisons of one argument, in the order of the values.
    let several = [
        rule("socket", "ALLOW", &arg(0, 40, "EQ")),
        rule("socket", "ALLOW", &arg(0, 2, "LT")),
        rule("socket", "ALLOW", &arg(0, 10, "EQ")),
    ];
    assert_eq!(
        sentence(&several.join(","), "socket"),
        (
            Access::Conditional,
            "is permitted if the first argument (domain) is less than 2 (AF_INET), or is 10 (AF_INET6) or 40 \
             (AF_VSOCK); otherwise it fails with EPERM (1, operation not permitted)"
                .to_owned()
        )
    );
    // The order is that of the filter, not that of the rules.
    let overlapping =
        [rule("kill", "ALLOW", &arg(0, 1, "EQ")), rule("kill", "KILL_PROCESS", &arg(1, 9, "EQ"))];
    assert_eq!(
        sentence(&overlapping.join(","), "kill").1,
        "ends the process if the second argument (sig) is 9; it is permitted if the first argument (pid) is 1; \
         otherwise it fails with EPERM (1, operation not permitted)"
    );
}

/// A tracer or an agent may permit everything.
#[test]
fn a_call_that_another_process_decides_is_neither_permitted_nor_refused() {
    let view = view(&plain("TRACE", ""), &[]);
    let counts = view.profiles[0].filter.as_ref().unwrap().counts();
    assert_eq!((counts.permitted, counts.refused), (0, 0));
    assert!(view.render(Paint::Plain).contains("  a tracer decides: access, "));
}

#[test]
fn the_default_itself_permits_as_much_as_the_default() {
    for architecture in ["x86_64", "aarch64"] {
        let name = if architecture == "aarch64" { "arm64" } else { "amd64" };
        let path = format!("{}/../crates/filter/data/containerd-{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let shown = view(&text, &["--architecture", architecture]).render(Paint::Plain);
        assert!(shown.contains("  It permits as much, for every call and all arguments.\n"), "{shown}");
    }
    let all = view(&plain("ALLOW", ""), &[]).render(Paint::Plain);
    assert!(
        all.contains("  Calls that Linux does not have yet are permitted, unlike by the default.\n"),
        "{all}"
    );
    assert!(
        all.contains("    Mounts and namespaces: fsconfig")
            || all.contains("  Mounts and namespaces: fsconfig")
    );
}

/// The page is complete by itself, and a browser runs nothing in it.
#[test]
fn a_page_names_every_call_once_and_loads_nothing() {
    let mut explained = view(WEB, &[]);
    explained.profiles.extend(view(&plain("ALLOW", ""), &["--architecture", "arm64"]).profiles);
    explained.profiles.extend(view(&plain("ERRNO", ""), &["--architecture", "riscv64"]).profiles);
    let page = explained.page();
    for word in ["://", "<script", "src=", "url(", "@import", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
    let ids = balanced(&page);
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "an id twice");
    for (at, profile) in explained.profiles.iter().enumerate() {
        for call in profile.filter.iter().flat_map(|it| &it.groups).flat_map(|group| &group.calls) {
            let id = format!("p{at}-call-{}", call.name);
            assert_eq!(ids.iter().filter(|it| **it == id).count(), 1, "{id}");
            assert!(page.contains(&format!("id=\"{id}\">{}</code>", call.name)), "{id}");
        }
    }
    for target in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(ids.contains(&target.to_owned()), "{target}");
    }
}

/// The ids in a page whose elements all end, in the right order.
fn balanced(page: &str) -> Vec<String> {
    let (mut open, mut ids) = (Vec::new(), Vec::new());
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.split(' ').next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
            None if ["!DOCTYPE", "meta"].contains(&name) => {}
            None => open.push(name),
        }
        if let Some((_, rest)) = tag.split_once(" id=\"") {
            ids.push(rest.split('"').next().unwrap().to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    ids
}

/// What a file says is text in the page, whatever it is.
#[test]
fn what_a_profile_says_stays_text_in_the_page() {
    let hostile = WEB.replace("name: web", "name: \"</title><script>alert(1)</script>\"");
    let mut explained = view(&hostile, &[]);
    explained.profiles[0].file = "\"><img src=x onerror=alert(1)>".to_owned();
    let page = explained.page();
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert_eq!(page.matches("</title>").count(), 1);
    balanced(&page);
    let unloadable = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}"#;
    let page = view(unloadable, &["--runtime", "runc-1.1"]).page();
    assert!(page.contains("No container starts with it: runc 1.1.3"));
    balanced(&page);
}

proptest! {
    /// Whatever the rules and their arguments are, every call is explained, in lines that fit.
    #[test]
    fn every_profile_is_explained(
        rules in prop::collection::vec(
            (
                prop::sample::select(vec!["socket", "clone", "read", "ioctl", "no_such_call"]),
                prop::sample::select(vec!["ALLOW", "LOG", "TRAP", "KILL_PROCESS"]),
                prop::collection::vec((0_u8..3, 0_u64..4, 0_usize..7), 0..3),
            ),
            0..5,
        ),
    ) {
        let rules: Vec<String> = rules.into_iter().map(|(name, action, mut args)| {
            args.sort_unstable();
            args.dedup_by_key(|(index, ..)| *index);
            let args: Vec<String> = args.into_iter().map(|(index, value, op)| {
                let op = profile::Comparison::NAMES[op];
                format!(r#"{{"index": {index}, "value": {value}, "valueTwo": {value}, "op": "{op}"}}"#)
            }).collect();
            format!(r#"{{"names": ["{name}"], "action": "SCMP_ACT_{action}", "args": [{}]}}"#, args.join(","))
        }).collect();
        let text = plain("ERRNO", &rules.join(","));
        let Ok(source) = Source::of("a", None, text) else { return Ok(()) };
        let mut view = ExplainView::default();
        view.add(&source, SettingOptions::default());
        for line in view.render(Paint::Plain).lines() {
            prop_assert!(line.chars().count() <= 110, "{line}");
        }
        balanced(&view.page());
    }
}
