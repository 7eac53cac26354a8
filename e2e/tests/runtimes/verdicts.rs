//! Random profiles, and what becomes of calls in containers under them.

use std::collections::BTreeMap;
use std::time::Instant;

use filter::tree::Refusal;
use filter::{Call, Filter, Runtime, Unloadable, numbers};
use profile::Profile;
use serde_json::{Value, json};
use syscalls::Libseccomp;

use crate::calls;
use crate::container::{Options, Root, Start};
use crate::installed::{Installed, libseccomp};
use crate::outcome::Outcome;
use crate::profiles::Sample;
use crate::sets::Random;

/// A profile, and the calls to make under it.
struct Case {
    profile: Profile,
    json: Value,
    calls: Vec<Call>,
}

/// Random cases that are the same in every run. Each also permits the calls of `needed`.
fn cases(count: usize, libseccomp: Libseccomp, needed: &[&str]) -> Vec<Case> {
    let number = numbers(libseccomp);
    let mut random = Random(17);
    let mut cases = Vec::new();
    while cases.len() < count {
        let Sample { profile: mut json, names } = Sample::new(&mut random);
        json["syscalls"][0]["names"].as_array_mut().unwrap().extend(needed.iter().map(|name| json!(name)));
        // The parser refuses some that libseccomp would refuse as well.
        let Ok(profile) = Profile::from_value(&json) else { continue };
        let setting = Installed::runc().setting(libseccomp, &number);
        // With some sets of rules libseccomp does not return.
        if let Err(Unloadable::Rules { refusal: Refusal::Unpredictable { .. }, .. }) =
            Filter::new(&profile, &setting)
        {
            continue;
        }
        let calls = calls::of(&names, &number, &mut random);
        cases.push(Case { profile, json, calls });
    }
    cases
}

/// What becomes of the calls without a filter.
fn bare(root: &Root, runtime: &Installed, cases: &[Case]) -> BTreeMap<Call, Outcome> {
    let mut calls: Vec<Call> = cases.iter().flat_map(|case| case.calls.iter().copied()).collect();
    calls.sort_unstable();
    calls.dedup();
    let mut outcomes = BTreeMap::new();
    for some in calls.chunks(1000) {
        let found = make(root, runtime, None, some).unwrap_or_else(|why| panic!("without a filter: {why}"));
        outcomes
            .extend(some.iter().copied().zip(found.unwrap_or_else(|why| panic!("without a filter: {why}"))));
    }
    outcomes
}

/// The outcomes of the calls, or why the container did not start; an error if the start or the probe itself went wrong.
fn make(
    root: &Root,
    runtime: &Installed,
    profile: Option<&Value>,
    calls: &[Call],
) -> Result<Result<Vec<Outcome>, String>, String> {
    let words: Vec<_> = calls.iter().map(calls::word).collect();
    match root.start(runtime, Options::HARMLESS, profile, &words) {
        Start::Ran(printed) => Outcome::parse(&printed, calls.len()).map(Ok),
        Start::Refused(why) => Ok(Err(why)),
        Start::Late => Err("no start within the limit".to_owned()),
    }
}

/// The numbers of a comparison, and each difference.
#[derive(Default)]
struct Comparison {
    started: usize,
    refused: usize,
    calls: usize,
    /// Calls above the border of the runtime's stub.
    above: usize,
    differences: Vec<String>,
}

/// Compares the model with the runtime, on all calls of all cases.
fn compare(
    root: &Root,
    (runtime, libseccomp): (&Installed, Libseccomp),
    cases: &[Case],
    bare: &BTreeMap<Call, Outcome>,
) -> Comparison {
    let number = numbers(libseccomp);
    let setting = runtime.setting(libseccomp, &number);
    let mut comparison = Comparison::default();
    for case in cases {
        let model = Filter::new(&case.profile, &setting);
        let made = make(root, runtime, Some(&case.json), &case.calls);
        let differences = &mut comparison.differences;
        match (model, made) {
            (Err(_), Ok(Err(_))) => comparison.refused += 1,
            (Ok(filter), Ok(Ok(outcomes))) => {
                comparison.started += 1;
                comparison.calls += outcomes.len();
                let above = |call: &&Call| {
                    filter.highest(call.architecture).is_some_and(|border| call.number > border)
                };
                comparison.above += case.calls.iter().filter(above).count();
                for (call, outcome) in case.calls.iter().zip(outcomes) {
                    let (verdict, bare) = (filter.decide(call), bare[call]);
                    if !outcome.is(verdict, bare) {
                        differences.push(format!(
                            "{:?} {} {:x?}: the model says {verdict}, and {outcome} (without a filter: {bare})\n    {}",
                            call.architecture, call.number, call.arguments, case.json
                        ));
                    }
                }
            }
            (Err(why), _) => differences.push(format!("starts, although {why}\n    {}", case.json)),
            (Ok(_), Ok(Err(why)) | Err(why)) => differences.push(format!("{why}\n    {}", case.json)),
        }
    }
    comparison
}

/// Compares, prints what was compared, and fails if anything differs.
fn hold(runtimes: &[Installed], count: usize) {
    let root = Root::new();
    for runtime in runtimes {
        let Some(libseccomp) = runtime.libseccomp() else { return };
        // Later versions of crun than Debian 12's make this call under the filter.
        let needed = if runtime.name.starts_with("crun-1.2") { &["close_range"][..] } else { &[] };
        let cases = cases(count, libseccomp, needed);
        let since = Instant::now();
        let bare = bare(&root, runtime, &cases);
        let Comparison { started, refused, calls, above, differences } =
            compare(&root, (runtime, libseccomp), &cases, &bare);
        println!(
            "{}, libseccomp {libseccomp}: {count} profiles, {started} started, {refused} refused; {calls} calls, {above} above \
             the border; {} differ; {:.0?}",
            runtime.name,
            differences.len(),
            since.elapsed(),
        );
        let examples = differences.iter().take(5).map(|it| format!("{it}\n")).collect::<String>();
        assert!(differences.is_empty(), "{examples}");
    }
}

#[test]
fn twelve_random_profiles_mean_under_runc_what_the_model_says() {
    hold(&[Installed::runc()], 12);
}

/// Otherwise a comparison that finds no difference would show nothing.
#[test]
fn the_calls_show_that_runc_is_not_what_the_model_says_of_crun() {
    let Some(libseccomp) = libseccomp() else { return };
    let root = Root::new();
    let cases = cases(12, libseccomp, &[]);
    let runc = Installed::runc();
    let bare = bare(&root, &runc, &cases);
    let mistaken = runc.mistaken_for(Runtime::CRUN);
    let Comparison { above, differences, .. } = compare(&root, (&mistaken, libseccomp), &cases, &bare);
    assert_eq!(above, 0);
    let enosys = differences.iter().filter(|it| it.contains("returns -38 "));
    assert!(enosys.count() > 10, "{differences:#?}");
}

#[test]
#[ignore = "long: 600 containers, and Debian's runtimes"]
fn random_profiles_mean_under_runc_and_crun_what_the_model_says() {
    let [old_runc, crun] = Installed::of_debian();
    hold(&[Installed::runc(), old_runc, crun], 200);
}

#[test]
#[ignore = "long: 600 containers, and versions of runc that are built"]
fn random_profiles_mean_under_other_versions_of_runc_what_the_model_says() {
    hold(&Installed::other_runc(), 200);
}

#[test]
#[ignore = "long: 400 containers, and versions of crun that are downloaded"]
fn random_profiles_mean_under_other_versions_of_crun_what_the_model_says() {
    hold(&Installed::other_crun(), 200);
}
