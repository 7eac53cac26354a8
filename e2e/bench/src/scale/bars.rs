//! The bars of the design, and which were not reached.

use super::phases::Phase;
use super::result::{FLOOR_EVENTS, Figures, Sample};

/// The operator's largest resident size, in KiB.
const OPERATOR_KIB: u64 = 64 * 1024;

/// What the bars of time are for: so many nodes and profiles. Below that, what does not grow with the nodes is most of
/// it.
const TIMED: (usize, usize) = (1000, 20);

/// The fewest nodes for which a rollout is compared with the floor of [`FLOOR_EVENTS`] events.
const SMALLEST: usize = 100;

/// More refusals for each node are a storm, where all agents share the API server's CPUs: those that were refused
/// are too many again. Where agents have their own, and under bare watchers, none is refused.
const STORM: f64 = 0.5;

/// Every bar that `figures` miss, in words.
pub(super) fn missed(figures: &Figures) -> Vec<String> {
    let mut missed = Vec::new();
    let mut at_most = |what: String, found: Option<f64>, bar: f64| {
        if let Some(found) = found.filter(|found| *found > bar) {
            missed.push(format!("{what}: {found:.2}, bar {bar:.2}"));
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "counts and bytes far below 2^53")]
    let number = |count: u64| count as f64;
    let Figures { nodes, profiles, stored, .. } = figures;
    let timed = (*nodes, *profiles) == TIMED;
    if timed {
        for phase in [Phase::Rollout, Phase::Update] {
            at_most(format!("{} against its floor", phase.name()), figures.ratio(phase), 1.5);
        }
        at_most("the same with agents elsewhere".to_owned(), figures.ratio_elsewhere(), 1.5);
    }
    if *nodes >= SMALLEST && *profiles == TIMED.1 {
        let bar = if *nodes > 500 { 1.8 } else { 1.3 };
        let what = format!("{} against the floor of {FLOOR_EVENTS} events", Phase::Rollout.name());
        at_most(what, figures.ratio_of_fixed(), bar);
    }
    for phase in [Phase::Rollout, Phase::Update, Phase::Delete] {
        let writes = figures.worst(phase, |sample| sample.writes).map(number);
        at_most(format!("writes of a {}", phase.name()), writes, number(figures.most_writes()));
    }
    for (phase, bar) in [(Phase::Rest, 0), (Phase::NotReady, 2 * profiles + 2 * nodes)] {
        let writes = figures.worst(phase, |sample| sample.writes).map(number);
        at_most(format!("writes, {}", phase.name()), writes, number(bar as u64));
    }
    let to_one = |sample: &Sample| number(sample.received) / number(*nodes as u64);
    let received = figures.median(Phase::Rollout, to_one).map(|bytes| bytes / number(*stored));
    at_most("bytes to one agent in a rollout, times the stored objects".to_owned(), received, 4.0);
    let each = |sample: &Sample| 1000.0 * sample.cpu.operator / number(sample.reports.max(1));
    let per_report = figures.median(Phase::Rollout, each).filter(|_| timed);
    at_most("the operator's CPU seconds for 1,000 reports".to_owned(), per_report, 1.0);
    for phase in Phase::ALL {
        let name = phase.name();
        let peak = figures.worst(phase, |sample| sample.operator_peak).map(number);
        at_most(format!("the operator's KiB, {name}"), peak, number(OPERATOR_KIB));
        let too_many = figures.worst(phase, |sample| sample.too_many).map(number);
        let storm = if phase == Phase::Rest { 0.0 } else { STORM * number(*nodes as u64) };
        at_most(format!("requests that were too many (429), {name}"), too_many, storm);
    }
    for (what, samples) in [
        ("floors", figures.floors.values().flatten().collect()),
        ("agents elsewhere", figures.elsewhere.iter().collect::<Vec<_>>()),
    ] {
        let too_many = samples.iter().map(|sample| sample.too_many).max().map(number);
        at_most(format!("requests that were too many (429), {what}"), too_many, 0.0);
    }
    let first = figures.median(Phase::FirstReport, |sample| sample.wall);
    at_most("seconds from an agent's start to its first report".to_owned(), first, 1.0);
    missed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_rollout_that_is_slow_chatty_and_large_misses_every_bar_and_one_that_is_not_misses_none() {
        let figures = |wall, writes, received| {
            let sample = Sample { wall, writes, received, reports: 1000, ..Sample::default() };
            let floor = Sample { wall: 1.0, ..Sample::default() };
            Figures {
                nodes: 1000,
                profiles: 20,
                stored: 100,
                phases: BTreeMap::from([(Phase::Rollout, vec![sample.clone()])]),
                floors: BTreeMap::from([(Phase::Rollout, vec![floor])]),
                elsewhere: vec![sample],
                ..Figures::default()
            }
        };
        assert_eq!(missed(&figures(1.5, 2130, 400_000)), Vec::<String>::new());
        assert_eq!(missed(&figures(1.6, 2131, 400_001)).len(), 4);
        // With fewer nodes the floor is too low for a comparison.
        assert_eq!(missed(&Figures { nodes: 100, ..figures(1.6, 331, 40_001) }).len(), 2);
        let fixed = |wall| vec![Sample { wall, ..Sample::default() }];
        for (nodes, floor, misses) in
            [(1000, 0.83, 0), (1000, 0.8, 1), (500, 1.2, 0), (500, 1.1, 1), (99, 0.1, 0)]
        {
            let figures = Figures { nodes, fixed_floors: fixed(floor), ..figures(1.49, 0, 0) };
            assert_eq!(missed(&figures).len(), misses, "{nodes} nodes, floor {floor}");
        }
    }

    #[test]
    fn a_storm_of_refusals_is_reported_and_so_is_each_refusal_in_a_floor_or_with_agents_elsewhere() {
        let refused = || vec![Sample { too_many: 1, ..Sample::default() }];
        let figures = Figures {
            phases: BTreeMap::from([(
                Phase::RestartAgents,
                vec![Sample { too_many: 51, ..Sample::default() }],
            )]),
            nodes: 100,
            floors: BTreeMap::from([(Phase::Update, refused())]),
            elsewhere: refused(),
            ..Figures::default()
        };
        assert_eq!(missed(&figures).len(), 3);
    }
}
