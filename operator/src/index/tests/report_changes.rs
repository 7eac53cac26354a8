//! A report is compared with the one before: the result is as if every profile had been counted again.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

const PROFILES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What one report lists: of each profile the contents that lie on the disk, or a problem.
fn entries() -> impl Strategy<Value = BTreeMap<usize, (Option<u8>, bool)>> {
    btree_map(0..PROFILES.len() + 1, (proptest::option::of(0..3u8), any::<bool>()), 0..6)
}

fn facts(number: u32, entries: &BTreeMap<usize, (Option<u8>, bool)>) -> ReportFacts {
    let name = |number: usize| PROFILES.get(number).copied().unwrap_or("unknown");
    let files: Vec<_> =
        entries.iter().filter_map(|(at, (content, _))| Some((name(*at), (*content)?))).collect();
    let problem = |name: &str| FileProblem {
        name: name.to_owned(),
        state: ProblemKind::Failed.into(),
        reason: "R".to_owned(),
        message: String::new(),
    };
    let problems = entries.iter().filter(|(_, (_, has))| *has).map(|(at, _)| name(*at));
    let problems = problems.map(|name| (name.to_owned(), problem(name))).collect();
    ReportFacts { version: version(7, number), problems, ..report("n1", &files) }
}

fn cluster() -> Index {
    let mut index = Index::new("profiles");
    for name in ["n1", "n2"] {
        index.apply_node(node(name), at(0));
        index.apply_pod(agent(name, true), at(0));
        index.apply_report(report(name, &[]), UpdateSource::Watch, at(0));
    }
    for (number, name) in (0..).zip(PROFILES) {
        index.apply_profile(profile(name, number % 2), UpdateSource::Watch, at(0));
    }
    index.take_dirty();
    index
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_report_changes_is_counted_as_if_every_profile_were_counted_again(
        reports in vec(entries(), 1..8),
    ) {
        let (mut compared, mut counted) = (cluster(), cluster());
        for (number, entries) in (2..).zip(&reports) {
            let facts = facts(number, entries);
            compared.apply_report(facts.clone(), UpdateSource::Watch, at(1));
            counted.change_node("n1", at(1), |node| node.set_report(Some(facts), at(1)));
            prop_assert_eq!(compared.take_dirty(), counted.take_dirty());
            prop_assert_eq!(compared.nodes["n1"].lacking(), counted.nodes["n1"].lacking());
            prop_assert_eq!(compared.nodes["n1"].behind, counted.nodes["n1"].behind);
            for name in PROFILES {
                let of = |index: &Index| {
                    let profile = &index.profiles[name];
                    (profile.tally, profile.pending.clone(), profile.failed.clone())
                };
                prop_assert_eq!(of(&compared), of(&counted));
            }
        }
    }
}

#[test]
fn of_a_report_that_changes_one_entry_only_that_profile_is_reconciled() {
    let mut index = cluster();
    let files: Vec<_> = (0..).zip(PROFILES).map(|(number, name)| (name, number % 2)).collect();
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n1", &files) },
        UpdateSource::Watch,
        at(1),
    );
    assert_eq!(index.take_dirty().profiles.len(), PROFILES.len());
    let mut files = files;
    files[3].1 = 9;
    index.apply_report(
        ReportFacts { version: version(7, 3), ..report("n1", &files) },
        UpdateSource::Watch,
        at(2),
    );
    assert_eq!(index.take_dirty().profiles, BTreeSet::from(["d".to_owned()]));
    // The same report again, as after a write of the operator's own conditions.
    index.apply_report(
        ReportFacts { version: version(7, 4), ..report("n1", &files) },
        UpdateSource::Watch,
        at(3),
    );
    assert_eq!(index.take_dirty().profiles, BTreeSet::new());
}
