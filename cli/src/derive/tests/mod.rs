use clap::Parser;
use derive::testing::program;
use profile::Profile;
use serde_json::{Value, json};

use super::{DeriveArgs, DeriveCommandError, DerivedText, Place};

mod arguments;
mod images;
mod overrides;

#[derive(Debug, Parser)]
struct Only {
    #[command(flatten)]
    args: DeriveArgs,
}

fn args(arguments: &[&str]) -> DeriveArgs {
    Only::try_parse_from([&["derive"], arguments].concat()).unwrap().args
}

/// Derives what is on this machine.
fn derive(args: &DeriveArgs, checked: Option<&Profile>) -> Result<DerivedText, DeriveCommandError> {
    match args.place()? {
        Place::Here(here) => super::derive(args, here, checked, &mut |_| {}),
        Place::Registry(image) => panic!("{image} is in a registry"),
    }
}

/// A program below a root of its own.
fn root(code: &[u8]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("bin")).unwrap();
    std::fs::write(root.path().join("bin/Some_Program"), program(code)).unwrap();
    root
}

/// mov eax, 39; syscall; mov eax, 60; syscall; hlt
const TWO: &[u8] = &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0xf4];
/// syscall; hlt
const OPEN: &[u8] = &[0x0f, 0x05, 0xf4];

fn run(code: &[u8], more: &[&str], checked: Option<&Profile>) -> Result<DerivedText, DeriveCommandError> {
    let root = root(code);
    let fixed = [root.path().to_str().unwrap(), "--program", "/bin/Some_Program"];
    derive(&args(&[&fixed, more].concat()), checked)
}

#[test]
fn the_profile_permits_what_the_program_and_the_runtime_do() {
    let own = run(TWO, &["--runtime", "none"], None).unwrap();
    assert_eq!(
        own.text,
        "apiVersion: seccomp.imjasonh.dev/v1alpha1\nkind: SeccompProfile\nmetadata:\n  name: some-program\nspec:\n  \
         contents:\n    defaultAction: SCMP_ACT_ERRNO\n    architectures: [SCMP_ARCH_X86_64]\n    syscalls:\n      - \
         action: SCMP_ACT_ALLOW\n        names: [exit, getpid]\n"
    );
    assert!(own.success && own.remarks.is_empty() && own.evidence.is_none());
    let names = |text: &str| -> Vec<String> {
        let profile: Value = serde_json::from_str(text).unwrap();
        serde_json::from_value(profile["syscalls"][0]["names"].clone()).unwrap()
    };
    let crun = names(&run(TWO, &["--runtime", "crun", "-o", "json"], None).unwrap().text);
    assert_eq!(crun, ["close", "close_range", "execve", "exit", "getpid"]);
    let all = names(&run(TWO, &["--allow-privilege-escalation", "-o", "json"], None).unwrap().text);
    assert!(["setgroups", "capset", "setresuid"].iter().all(|it| all.contains(&(*it).to_owned())), "{all:?}");
}

#[test]
fn a_number_that_is_not_known_is_refused_or_widened() {
    let error = run(OPEN, &[], None).unwrap_err();
    assert_eq!(error.reason(), "OpenNumbers");
    assert!(
        error.to_string().contains("Some_Program: 0x400078: the number of the call is not known"),
        "{error}"
    );
    let widened = run(OPEN, &["--open-numbers", "runtime-default"], None).unwrap();
    assert!(widened.text.contains("openat") && !widened.text.contains("bpf"), "{}", widened.text);
    assert!(widened.remarks.last().unwrap().contains("containerd"), "{:?}", widened.remarks);
}

#[test]
fn each_call_has_evidence() {
    let shown = run(TWO, &["--why", "getpid", "--evidence", "it.json"], None).unwrap();
    assert_eq!(
        shown.text,
        "why getpid? /bin/Some_Program\n  entry          Some_Program: 0x400078\n  kernel         Some_Program: 0x40007d\n"
    );
    let evidence: Value = serde_json::from_str(&shown.evidence.unwrap()).unwrap();
    assert_eq!(evidence["programs"][0]["because"], json!("named"));
    let call = &evidence["programs"][0]["calls"][0];
    assert_eq!((&call["name"], &call["number"]), (&json!("getpid"), &json!(39)));
    assert_eq!(
        call["chain"][1],
        json!({"step": "kernel", "object": "/bin/Some_Program", "address": "0x40007d"})
    );
    assert!(matches!(run(TWO, &["--why", "bpf"], None), Err(DeriveCommandError::Unreached(_))));
    assert!(matches!(run(TWO, &["--why", "none"], None), Err(DeriveCommandError::NoCall(_))));
}

#[test]
fn a_profile_is_compared_with_what_the_program_can_reach() {
    let profile = |names: Value, more: Value| {
        let rules = json!([{ "names": names, "action": "SCMP_ACT_ALLOW" }, more]);
        Profile::from_value(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })).unwrap()
    };
    let condition = |name| {
        let argument = json!({ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" });
        json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument] })
    };
    let crun = &["--runtime", "crun"];
    let checked =
        run(TWO, crun, Some(&profile(json!(["execve", "close", "bpf"]), condition("exit")))).unwrap();
    assert_eq!(
        checked.text,
        "reached and refused (1): getpid\nreached and refused for some arguments (1): exit\npermitted and not reached (1): bpf\n\
         made by the container runtime and refused (1): close_range\n"
    );
    assert!(!checked.success);
    let all = json!(["exit", "execve", "close", "close_range"]);
    let more = json!({"names": ["getpid"], "action": "SCMP_ACT_ALLOW"});
    let equal = run(TWO, crun, Some(&profile(all, more)));
    assert!(equal.unwrap().success);
}

#[test]
fn a_target_that_names_no_program_is_an_error_that_says_what_to_do() {
    let root = root(TWO);
    let path = root.path().to_str().unwrap();
    let program = format!("{path}/bin/Some_Program");
    let failed = |arguments: &[&str]| derive(&args(arguments), None).unwrap_err();
    assert_eq!(failed(&[path]).reason(), "NoProgram");
    assert_eq!(failed(&[&program, "--program", "/x"]).reason(), "NoDirectory");
    assert_eq!(failed(&[&program, "--root", "/proc"]).reason(), "Outside");
    assert_eq!(failed(&["/none"]).reason(), "Unreadable");
    // A link in the image does not lead out of it.
    std::os::unix::fs::symlink(&program, root.path().join("bin/link")).unwrap();
    assert_eq!(failed(&[path, "--program", "/bin/link"]).reason(), "Unreadable");
    let found = derive(&args(&[&program, "--root", path, "--runtime", "none"]), None).unwrap();
    assert!(found.text.contains("[exit, getpid]"), "{}", found.text);
}
