//! Sets of rules that libseccomp merges to something that none of them says.

use filter::diagram::Forest;
use filter::{Arguments, Verdict};

use crate::library::Outcome;
use crate::sets::Set;
use crate::{bpf, recorded};

/// A set as [`Set::line`], arguments, and the verdict that they get: if the first argument is greater than 2, or if it is at
/// most 1 and the second one is 1. Neither is so of these.
pub(crate) const SETS: [(&str, Arguments, Verdict); 2] = [
    (
        "c000003e 7fff0000 27 1 r 50063 c 0 6 2 0 r 50062 c 0 3 1 0 c 1 4 1 0",
        [1, 7, 0, 0, 0, 0],
        Verdict::Errno(0x63),
    ),
    (
        "c000003e 50061 27 1 r 7fff0000 c 0 6 2 0 r 7fff0000 c 0 3 1 0 c 1 4 1 0",
        [1, 7, 0, 0, 0, 0],
        Verdict::Allow,
    ),
];

#[test]
fn libseccomp_gives_a_verdict_to_arguments_that_no_rule_gives_them() {
    for version in ["2.5.4", "2.6.1"] {
        let recorded = recorded(version);
        for (line, arguments, verdict) in SETS {
            let set = Set::parse(line);
            let says = |rule: &filter::tree::CallRule| rule.conditions.iter().all(|it| it.holds(&arguments));
            assert!(!set.rules.iter().any(says) && verdict != set.default);
            let Outcome::Program(program) = Outcome::parse(recorded[line]) else { panic!("{line}") };
            let (architecture, number) = set.target();
            let mut forest = Forest::default();
            let node = bpf::Run::new(&program, architecture, number).diagram(&mut forest);
            assert_eq!(forest.decide(node, &arguments), Some(verdict), "libseccomp {version}: {line}");
        }
    }
}
