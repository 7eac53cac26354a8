//! The table on the terminal.

use std::collections::BTreeMap;

use super::phases::Phase;
use super::result::{FLOOR_EVENTS, Figures, Sample, median};

/// The whole table, with the requests of each phase below it.
pub(super) fn table(figures: &Figures) -> String {
    let Figures { nodes, profiles, profile_bytes, pods, .. } = figures;
    let mut text = format!(
        "{nodes} nodes, {profiles} profiles of {:.1} KB, {pods} pods; the median of each phase's rounds\n\n{}\n",
        *profile_bytes as f64 / 1e3,
        heading()
    );
    for phase in figures.phases.keys() {
        text.push_str(&row(figures, *phase));
        text.push('\n');
        if *phase == Phase::Rollout && !figures.fixed_floors.is_empty() {
            text.push_str(&against_fixed_floor(figures));
            text.push('\n');
        }
        if *phase == Phase::Rollout && !figures.elsewhere.is_empty() {
            text.push_str(&elsewhere(figures));
            text.push('\n');
        }
    }
    for (phase, samples) in &figures.phases {
        let Some(sample) = samples.last().filter(|sample| !sample.requests.is_empty()) else { continue };
        text.push_str(&format!("\nrequests, {} (last round)\n", phase.name()));
        for (request, count) in &sample.requests {
            text.push_str(&format!("{count:>8} {request}\n"));
        }
    }
    text
}

/// What each way costs, the median of its rounds.
pub(super) fn ways(nodes: usize, samples: &BTreeMap<&str, Vec<Sample>>) -> String {
    let columns = ["seconds", "clients", "server", "etcd", "KB/client"];
    let mut text = format!("{:<40}", "CPU seconds of");
    columns.iter().for_each(|column| text.push_str(&format!("{column:>10}")));
    for (name, samples) in samples {
        let cells = [
            median(samples, |sample| sample.wall),
            median(samples, |sample| sample.cpu.agents),
            median(samples, |sample| sample.cpu.api_server),
            median(samples, |sample| sample.cpu.etcd),
            median(samples, |sample| sample.received as f64 / nodes.max(1) as f64 / 1e3),
        ];
        text.push_str(&format!("\n{name:<40}"));
        cells.into_iter().for_each(|cell| text.push_str(&format!("{:>10.2}", cell.unwrap_or_default())));
    }
    text
}

fn heading() -> String {
    let columns = [
        "seconds", "floor", "ratio", "writes", "most", "KB/agent", "operator", "agents", "server", "etcd",
        "others", "op. MiB", "etcd MB",
    ];
    let mut text = format!("{:<24}", "");
    columns.iter().for_each(|column| text.push_str(&format!("{column:>9}")));
    text
}

fn row(figures: &Figures, phase: Phase) -> String {
    let most = [Phase::Rollout, Phase::Update, Phase::Delete].contains(&phase).then(|| figures.most_writes());
    let samples = figures.phases.get(&phase).map_or(&[][..], Vec::as_slice);
    cells(phase.name(), figures, samples, figures.floor(phase, |sample| sample.wall), most)
}

/// The row of the rollout beside the floor that does not depend on the version.
fn against_fixed_floor(figures: &Figures) -> String {
    let samples = figures.phases.get(&Phase::Rollout).map_or(&[][..], Vec::as_slice);
    let floor = median(&figures.fixed_floors, |sample| sample.wall);
    cells(
        &format!("same, {FLOOR_EVENTS} events' floor"),
        figures,
        samples,
        floor,
        Some(figures.most_writes()),
    )
}

/// The row of the rollout to agents that take their CPU time elsewhere.
fn elsewhere(figures: &Figures) -> String {
    let floor = figures.floor(Phase::Rollout, |sample| sample.wall);
    cells("same, agents elsewhere", figures, &figures.elsewhere, floor, Some(figures.most_writes()))
}

fn cells(name: &str, figures: &Figures, samples: &[Sample], floor: Option<f64>, most: Option<u64>) -> String {
    let median = |of: fn(&Sample) -> f64| median(samples, of);
    let wall = median(|sample| sample.wall);
    let cells = [
        (wall, 2),
        (floor, 2),
        (wall.zip(floor).map(|(wall, floor)| wall / floor), 2),
        (median(|sample| sample.writes as f64), 0),
        (most.map(|most| most as f64), 0),
        (median(|sample| sample.received as f64 / 1e3).map(|all| all / figures.nodes.max(1) as f64), 1),
        (median(|sample| sample.cpu.operator), 2),
        (median(|sample| sample.cpu.agents), 2),
        (median(|sample| sample.cpu.api_server), 2),
        (median(|sample| sample.cpu.etcd), 2),
        (median(|sample| sample.cpu.others), 2),
        (median(|sample| sample.operator_peak as f64 / 1024.0), 1),
        (median(|sample| sample.etcd as f64 / 1e6), 1),
    ];
    let mut text = format!("{name:<24}");
    for (figure, digits) in cells {
        let cell = figure.map_or_else(String::new, |figure| format!("{figure:.digits$}"));
        text.push_str(&format!("{cell:>9}"));
    }
    text
}
