//! The plot of a sweep: four panels over the number of nodes.

use super::phases::Phase;
use super::result::{Figures, Sample, median};
use super::svg::{Anchor, Svg};

const PANEL: (f64, f64) = (460.0, 290.0);
const GAP: f64 = 20.0;

/// One line of a panel.
struct Line {
    name: &'static str,
    colour: &'static str,
    /// A limit, or a floor: nothing that our programs did.
    dashed: bool,
    points: Vec<(f64, f64)>,
}

/// The drawing for figures of several sizes.
pub(super) fn of(all: &[Figures]) -> String {
    let (width, height) = (2.0 * PANEL.0 + 3.0 * GAP, 2.0 * PANEL.1 + 3.0 * GAP);
    let profiles = all.first().map_or(0, |figures| figures.profiles);
    let title = format!("{profiles} profiles on a growing number of nodes: time, writes, bytes, CPU seconds");
    let mut svg = Svg::new(width, height, &title);
    let line = |name, colour, dashed, of: &dyn Fn(&Figures) -> Option<f64>| Line {
        name,
        colour,
        dashed,
        points: all.iter().filter_map(|figures| Some((figures.nodes as f64, of(figures)?))).collect(),
    };
    let wall = |sample: &Sample| sample.wall;
    let rollout = |of: fn(&Sample) -> f64| move |figures: &Figures| figures.median(Phase::Rollout, of);
    let writes = |phase| move |figures: &Figures| figures.median(phase, |sample| sample.writes as f64);
    let panels = [
        (
            "seconds until all are Ready",
            vec![
                line("rollout", "#1f5fa8", false, &|figures| figures.median(Phase::Rollout, wall)),
                line("its floor", "#1f5fa8", true, &|figures| figures.floor(Phase::Rollout, wall)),
                line("four events' floor", "#777777", true, &|figures| median(&figures.fixed_floors, wall)),
                line("agents elsewhere", "#2e7d4f", false, &|figures| median(&figures.elsewhere, wall)),
                line("update", "#b5570a", false, &|figures| figures.median(Phase::Update, wall)),
                line("its floor", "#b5570a", true, &|figures| figures.floor(Phase::Update, wall)),
            ],
        ),
        (
            "API writes by our accounts",
            vec![
                line("2N + 4P + 50", "#777777", true, &|figures| Some(figures.most_writes() as f64)),
                line("rollout", "#1f5fa8", false, &writes(Phase::Rollout)),
                line("update", "#b5570a", false, &writes(Phase::Update)),
                line("delete", "#2e7d4f", false, &writes(Phase::Delete)),
            ],
        ),
        (
            "KB to one agent in a rollout",
            vec![
                line("4 x the stored", "#777777", true, &|figures| Some(4.0 * figures.stored as f64 / 1e3)),
                line("received", "#1f5fa8", false, &|figures| {
                    let nodes = figures.nodes.max(1) as f64;
                    figures.median(Phase::Rollout, |sample| sample.received as f64 / nodes / 1e3)
                }),
            ],
        ),
        (
            "CPU seconds of a rollout",
            vec![
                line("API server", "#1f5fa8", false, &rollout(|sample| sample.cpu.api_server)),
                line("its part in the floor", "#1f5fa8", true, &|figures| {
                    figures.floor(Phase::Rollout, |sample| sample.cpu.api_server)
                }),
                line("all agents", "#b5570a", false, &rollout(|sample| sample.cpu.agents)),
                line("etcd", "#7a3fa0", false, &rollout(|sample| sample.cpu.etcd)),
                line("operator", "#2e7d4f", false, &rollout(|sample| sample.cpu.operator)),
            ],
        ),
    ];
    for (number, (title, lines)) in panels.iter().enumerate() {
        let (column, row) = ((number % 2) as f64, (number / 2) as f64);
        let corner = (GAP + column * (PANEL.0 + GAP), GAP + row * (PANEL.1 + GAP));
        panel(&mut svg, corner, title, lines);
    }
    svg.finish()
}

fn panel(svg: &mut Svg, (left, top): (f64, f64), title: &str, lines: &[Line]) {
    svg.rectangle(left, top, PANEL.0, PANEL.1);
    svg.text(left + 16.0, top + 26.0, Anchor::Start, "b", title);
    let (x0, x1, y0, y1) = (left + 56.0, left + PANEL.0 - 150.0, top + PANEL.1 - 40.0, top + 46.0);
    let most = |of: fn(&(f64, f64)) -> f64| {
        lines.iter().flat_map(|line| line.points.iter().map(of)).fold(f64::MIN_POSITIVE, f64::max)
    };
    let (nodes, step) = (most(|point| point.0), round_step(most(|point| point.1)));
    let ceiling = step * (most(|point| point.1) / step).ceil();
    let x = |value: f64| x0 + (x1 - x0) * value / nodes;
    let y = |value: f64| y0 + (y1 - y0) * value / ceiling;
    let mut tick = 0.0;
    while tick <= ceiling + step / 2.0 {
        svg.line(&[(x0, y(tick)), (x1, y(tick))], "#c3cad4", 1.0, false);
        svg.text(x0 - 6.0, y(tick) + 4.0, Anchor::End, "s", &label(tick, step));
        tick += step;
    }
    let mut sizes: Vec<_> = lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    for size in sizes {
        svg.text(x(size), y0 + 16.0, Anchor::Middle, "s", &format!("{size:.0}"));
    }
    svg.text(f64::midpoint(x0, x1), y0 + 32.0, Anchor::Middle, "s", "nodes");
    for (number, line) in lines.iter().enumerate() {
        let points: Vec<_> = line.points.iter().map(|(nodes, value)| (x(*nodes), y(*value))).collect();
        svg.line(&points, line.colour, 1.8, line.dashed);
        if !line.dashed {
            points.iter().for_each(|(x, y)| svg.dot(*x, *y, line.colour));
        }
        let at = y1 + 8.0 + 20.0 * number as f64;
        svg.line(&[(x1 + 12.0, at), (x1 + 32.0, at)], line.colour, 1.8, line.dashed);
        svg.text(x1 + 38.0, at + 4.0, Anchor::Start, "s", line.name);
    }
}

/// 1, 2 or 5 times a power of ten, so that some four of it reach `most`.
fn round_step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 4.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| most / (step * power) <= 5.0);
    step.unwrap_or(10.0) * power
}

fn label(value: f64, step: f64) -> String {
    if step < 1.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (most, step) in [(4.0, 1.0), (7.3, 2.0), (2130.0, 500.0), (0.9, 0.2)] {
            assert!((round_step(most) - step).abs() < 1e-9, "{most}: {}", round_step(most));
        }
    }

    #[test]
    fn a_sweep_shows_every_size_and_every_line() {
        let figures = |nodes| {
            let mut figures = Figures { nodes, profiles: 5, stored: 1000, ..Figures::default() };
            let sample = Sample { wall: nodes as f64, ..Sample::default() };
            figures.phases.insert(Phase::Rollout, vec![sample.clone()]);
            figures.elsewhere.push(sample.clone());
            figures.floors.insert(Phase::Rollout, vec![sample]);
            figures
        };
        let text = of(&[figures(100), figures(1000)]);
        for part in [">100<", ">1000<", ">its floor<", ">rollout<", ">agents elsewhere<", ">2N + 4P + 50<"] {
            assert!(text.contains(part), "{part}");
        }
    }
}
