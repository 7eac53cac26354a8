//! What a call costs under a filter that permits it, refuses it or logs it, with and without an observer.

use e2e::kernel_records;
use serde_json::{Value, json};

use crate::apart::{Apart, Pods, observe_if_apart};
use crate::container::{Options, Root, Start};
use crate::installed::Installed;

const TEST: &str = "costs::a_permitted_call_costs_little_and_a_record_costs_much";

/// How often each is measured, one after the other; each time it is compared with what was measured beside it.
const ROUNDS: usize = 5;

/// What a filter does with the call, and whether it has the flag that makes records of it.
type Filter = (&'static str, bool);

/// What the filter does with the call, and whether somebody reads the records.
const KINDS: [(&str, Option<Filter>, bool); 8] = [
    ("no filter", None, false),
    ("permitted", Some(("SCMP_ACT_ALLOW", false)), false),
    ("refused", Some(("SCMP_ACT_ERRNO", false)), false),
    ("refused, with records (spec.report)", Some(("SCMP_ACT_ERRNO", true)), false),
    ("logged", Some(("SCMP_ACT_LOG", true)), false),
    ("permitted, beside an observer", Some(("SCMP_ACT_ALLOW", false)), true),
    ("refused, with records, beside an observer", Some(("SCMP_ACT_ERRNO", true)), true),
    ("logged, beside an observer", Some(("SCMP_ACT_LOG", true)), true),
];

/// A profile that does this with the call, and permits all others but one.
fn profile((action, has_flag): Filter) -> Value {
    let mut profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
    });
    // libseccomp refuses a rule with the default action.
    let (name, action) =
        if action == "SCMP_ACT_ALLOW" { ("acct", "SCMP_ACT_ERRNO") } else { ("getppid", action) };
    profile["syscalls"] = json!([{ "names": [name], "action": action }]);
    if has_flag {
        profile["flags"] = json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"]);
    }
    profile
}

/// How often a container makes the call in a fifth of a second of its processor time or, if it makes records, in a fifth of
/// a second: then it mostly waits for the kernel's audit.
fn calls_of_a_while(root: &Root, filter: Option<Filter>, makes_records: bool) -> f64 {
    let seccomp = filter.map(profile);
    let kind = if makes_records { "200" } else { "100" };
    let calls = [format!("{kind}:6e:0:0:0:0:0:0")];
    let start = root.start(&Installed::runc(), Options::HARMLESS, seccomp.as_ref(), &calls);
    let Start::Ran(printed) = start else { panic!("{start:?}") };
    let count = printed.lines().find_map(|line| line.split_once(" returns ")?.1.parse::<f64>().ok());
    count.unwrap_or_else(|| panic!("{printed}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "long: measures for a minute"]
fn a_permitted_call_costs_little_and_a_record_costs_much() {
    observe_if_apart();
    let _alone = kernel_records::alone().unwrap();
    let (root, pods) = (Root::new(), Pods::new());
    let (links, reports) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut costs = vec![Vec::new(); KINDS.len()];
    let mut bare = Vec::new();
    for round in 1..=ROUNDS {
        let without = [false, true].map(|makes_records| calls_of_a_while(&root, None, makes_records));
        bare.push(2e8 / without[0]);
        for ((_, filter, is_observed), costs) in KINDS.iter().zip(&mut costs) {
            let observer = is_observed.then(|| Apart::start(TEST, &pods, links.path(), reports.path()));
            let makes_records = filter.is_some_and(|(_, makes_records)| makes_records);
            let count = calls_of_a_while(&root, *filter, makes_records);
            costs.push(without[usize::from(makes_records)] / count);
            drop(observer);
        }
        eprintln!("round {round} of {ROUNDS}");
    }
    let bare = median(bare);
    eprintln!(
        "a call without a filter takes {bare:.0} ns of its process's time; a call takes so many times that, with records in all:"
    );
    let costs: Vec<_> = costs.into_iter().map(median).collect();
    for ((name, ..), cost) in KINDS.iter().zip(&costs) {
        eprintln!("{name}: {cost:.2}");
    }
    // A permitted call costs no record, whoever watches.
    assert!(costs[1] < costs[3] && costs[5] < costs[6], "{costs:?}");
}
