//! The plot in `docs/derive.md` shows what was measured.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use syscalls::{Architecture, Syscall};

const WIDTH: f64 = 980.0;
const HEIGHT: f64 = 440.0;
/// Where the axes begin and end.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 960.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 395.0;
/// The highest number of calls of the axis.
const MOST: f64 = 400.0;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// For each derived program: the calls that were derived, and those that were traced; by the first.
fn programs() -> Vec<(usize, usize)> {
    let table = include_str!("../benches/breadth/measured.tsv");
    let row = |line: &str| {
        let cells: Vec<_> = line.split('\t').collect();
        Some((cells.get(4)?.parse().ok()?, cells.get(5)?.parse().ok()?))
    };
    let mut programs: Vec<_> = table.lines().filter_map(row).collect();
    programs.sort_unstable();
    programs
}

/// How many calls of `x86_64` containerd's default profile permits, whatever their arguments are.
fn runtime_default() -> usize {
    let text = fs::read_to_string(repository().join("profiles/runtime-default.yaml")).unwrap();
    let rules = text.split("- action: ").skip(1).filter(|it| it.starts_with("SCMP_ACT_ALLOW"));
    let plain = rules.filter(|it| !it.contains("args:"));
    let names = plain.filter_map(|it| it.split_once("names: [")?.1.split(']').next());
    let names: BTreeSet<_> = names.flat_map(|it| it.split([',', '\n'])).map(str::trim).collect();
    names
        .into_iter()
        .filter(|it| Syscall::from_name(it).is_some_and(|it| it.number(Architecture::X86_64).is_some()))
        .count()
}

fn height(calls: f64) -> f64 {
    BOTTOM - calls / MOST * (BOTTOM - TOP)
}

/// A line across the plot, with its words above it.
fn level(svg: &mut String, calls: f64, color: &str, words: &str) {
    let y = height(calls);
    writeln!(
        svg,
        r#"  <line x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}" stroke="{color}" stroke-width="2"/>
  <text x="{:.1}" y="{:.1}" fill="{color}">{words}</text>"#,
        LEFT + 10.0,
        y - 7.0
    )
    .unwrap();
}

fn plot() -> String {
    let (programs, default) = (programs(), runtime_default());
    let mean = programs.iter().map(|it| it.0 as f64).sum::<f64>() / programs.len() as f64;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="14">
  <title>Calls of {} programs of Debian 12, derived and traced, beside the runtime's default</title>
  <rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>
  <text x="{LEFT}" y="28" font-weight="bold">System calls of {} programs, by the number that was derived</text>
"##,
        programs.len(),
        programs.len()
    );
    for calls in (0..=MOST as usize).step_by(50) {
        let y = height(calls as f64);
        writeln!(
            svg,
            r##"  <line x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}" stroke="#e2e6ec"/>
  <text x="{:.1}" y="{:.1}" text-anchor="end" font-size="12" fill="#444">{calls}</text>"##,
            LEFT - 8.0,
            y + 4.0
        )
        .unwrap();
    }
    let step = (RIGHT - LEFT) / programs.len() as f64;
    for (index, (derived, traced)) in programs.iter().enumerate() {
        let x = LEFT + index as f64 * step;
        for (calls, color) in [(*derived, "#7aa6d8"), (*traced, "#1f4e85")] {
            let y = height(calls as f64);
            writeln!(
                svg,
                r#"  <rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{color}"/>"#,
                step * 0.85,
                BOTTOM - y
            )
            .unwrap();
        }
    }
    level(&mut svg, default as f64, "#b3261e", &format!("containerd's default profile: {default} calls"));
    level(&mut svg, mean, "#1b6e3c", &format!("derived, mean: {mean:.1}"));
    writeln!(
        svg,
        r##"  <rect x="{LEFT}" y="412" width="14" height="14" fill="#7aa6d8"/>
  <text x="82" y="424">derived</text>
  <rect x="160" y="412" width="14" height="14" fill="#1f4e85"/>
  <text x="182" y="424">seen in a short run: with --version, with --help, and without arguments</text>
</svg>"##
    )
    .unwrap();
    svg
}

/// With `UPDATE_DOCS=1` (`make generate`) it writes the plot.
#[test]
fn the_plot_in_the_docs_is_of_the_figures() {
    let path = repository().join("docs/images/derive-calls.svg");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, plot()).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(known == plot(), "{}: run UPDATE_DOCS=1 cargo test -p derive --test plot", path.display());
}
