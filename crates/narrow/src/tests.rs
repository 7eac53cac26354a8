use filter::{RuntimeDefault, Verdict};
use profile::{Architecture, Flag};

use super::*;

fn amd64() -> BTreeSet<Machine> {
    BTreeSet::from([Machine::Amd64])
}

fn baseline() -> Profile {
    RuntimeDefault::CONTAINERD.profile(Architecture::X86_64).unwrap()
}

fn refused(text: &str) -> &'static str {
    narrow(text, &baseline(), &amd64()).unwrap_err().reason()
}

/// The filter of a profile under runc.
fn loaded(profile: &Profile) -> Filter {
    let number = numbers(Libseccomp::V2_6_1);
    Filter::new(profile, &setting(Runtime::RUNC_1_2, Libseccomp::V2_6_1, Machine::Amd64, &number)).unwrap()
}

fn decide(profile: &Profile, number: u32) -> Verdict {
    loaded(profile).decide(&filter::Call { architecture: Architecture::X86_64, number, arguments: [0; 6] })
}

const BPF: u32 = 321;
const READ: u32 = 0;
const WRITE: u32 = 1;

#[test]
fn an_image_takes_away_and_never_adds() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],
        "syscalls":[{"names":["read","bpf"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let narrowed = narrow(text, &baseline(), &amd64()).unwrap();
    assert_eq!(decide(&narrowed.profile, READ), Verdict::Allow);
    assert_ne!(decide(&narrowed.profile, WRITE), Verdict::Allow, "the image does not permit it");
    assert_ne!(decide(&narrowed.profile, BPF), Verdict::Allow, "the baseline does not permit it");
    assert_eq!(decide(&narrowed.image, BPF), Verdict::Allow);
}

#[test]
fn a_profile_that_permits_everything_becomes_the_baseline() {
    let narrowed = narrow(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#, &baseline(), &amd64()).unwrap();
    assert_eq!(loaded(&narrowed.profile).more_permissive(&loaded(&baseline())), Ok(None));
    assert_eq!(decide(&narrowed.profile, READ), Verdict::Allow);
}

#[test]
fn the_flags_are_those_of_the_baseline() {
    let with = |flags: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","flags":[{flags}]}}"#);
    let log = r#""SECCOMP_FILTER_FLAG_LOG""#;
    let narrowed = narrow(&with(log), &baseline(), &amd64()).unwrap();
    assert_eq!(narrowed.profile.flags(), []);
    let logging = Profile::from_slice(with(log).as_bytes()).unwrap();
    let narrowed = narrow(&with(""), &logging, &amd64()).unwrap();
    assert_eq!(narrowed.profile.flags(), [Flag::Log]);
}

#[test]
fn whoever_asks_another_program_is_refused() {
    let rule = |action: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["mkdir"],"action":"{action}"}}]}}"#
        )
    };
    assert_eq!(refused(&rule("SCMP_ACT_TRACE")), "ProfileAsks");
    assert_eq!(refused(r#"{"defaultAction":"SCMP_ACT_TRACE"}"#), "ProfileAsks");
    let listener = rule("SCMP_ACT_NOTIFY").replacen('{', r#"{"listenerPath":"/run/a.sock","#, 1);
    assert_eq!(refused(&listener), "ProfileListener");
    assert!(narrow(&rule("SCMP_ACT_NOTIFY"), &baseline(), &amd64()).is_err());
}

#[test]
fn what_is_no_profile_is_refused_with_its_reason() {
    assert_eq!(refused(""), "ProfileNotJson");
    assert_eq!(
        refused(r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultAction":"SCMP_ACT_ERRNO"}"#),
        "ProfileNotJson"
    );
    assert_eq!(refused(&" ".repeat(LARGEST + 1)), "ProfileTooLarge");
    assert!(narrow("{}", &baseline(), &amd64()).is_err());
    assert!(narrow(r#"{"defaultAction":"SCMP_ACT_ALOW"}"#, &baseline(), &amd64()).is_err());
}

#[test]
fn dockers_dialect_is_converted_with_remarks() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"EPERM",
        "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
        "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
                    {"names":["bpf"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
    let narrowed = narrow(text, &baseline(), &amd64()).unwrap();
    assert_eq!(decide(&narrowed.profile, READ), Verdict::Allow);
    assert_ne!(decide(&narrowed.profile, BPF), Verdict::Allow);
    assert!(!narrowed.remarks.is_empty());
}

#[test]
fn a_baseline_that_denies_everything_leaves_nothing() {
    let nothing = Profile::from_slice(br#"{"defaultAction":"SCMP_ACT_KILL_PROCESS"}"#).unwrap();
    for text in [r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#, r#"{"defaultAction":"SCMP_ACT_LOG"}"#] {
        match narrow(text, &nothing, &amd64()) {
            Ok(narrowed) => {
                assert_eq!(loaded(&narrowed.profile).more_permissive(&loaded(&nothing)), Ok(None));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
