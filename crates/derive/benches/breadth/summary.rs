//! The figures of one program as a line, and those of all.

use std::collections::BTreeMap;

use crate::Row;

pub(crate) const HEAD: &str = "package\tversion\tprogram\toutcome\tcalls\ttraced\tmissed\tmissed with modules\ttime, s\tprocessor, s\tpeak memory, MiB";

/// A line; `-` is what a program does not have.
pub(crate) fn line(row: &Row) -> String {
    let absent = || "-".to_owned();
    let measured = &row.measured;
    let calls = if row.refused().is_some() { absent() } else { measured.calls.len().to_string() };
    let traced = row.traced.as_ref().map_or_else(absent, |it| it.calls.len().to_string());
    format!(
        "{}\t{}\t{}\t{}\t{calls}\t{traced}\t{}\t{}\t{:.2}\t{:.2}\t{}",
        row.drawn.package,
        row.drawn.version,
        row.drawn.program,
        row.refused().unwrap_or("derived"),
        row.missing_from(measured).len(),
        row.missed.len(),
        measured.seconds,
        measured.processor,
        measured.peak_kib / 1024
    )
}

/// Prints the figures of all.
pub(crate) fn print(rows: &[Row]) {
    let mut outcomes = BTreeMap::<&str, usize>::new();
    for row in rows {
        *outcomes.entry(row.refused().unwrap_or("derived")).or_default() += 1;
    }
    let derived = rows.iter().filter(|it| it.refused().is_none());
    let calls: Vec<_> = derived.map(|it| it.measured.calls.len() as f64).collect();
    let of = |what: fn(&Row) -> f64| rows.iter().map(what).collect::<Vec<_>>();
    println!("\n{} programs", rows.len());
    outcomes.iter().for_each(|(outcome, count)| println!("{outcome}: {count}"));
    println!("started: {}", rows.iter().filter(|it| it.traced.is_some()).count());
    let missing = rows.iter().filter(|it| !it.missing_from(&it.measured).is_empty());
    println!("with a missed call: {}", missing.count());
    println!(
        "with a missed call although its modules are named: {}",
        rows.iter().filter(|it| !it.missed.is_empty()).count()
    );
    println!("calls: {}", distribution(calls));
    println!("time, s: {}", distribution(of(|it| it.measured.seconds)));
    println!("processor, s: {}", distribution(of(|it| it.measured.processor)));
    println!("peak memory, MiB: {}", distribution(of(|it| it.measured.peak_kib as f64 / 1024.0)));
}

fn distribution(mut values: Vec<f64>) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    format!(
        "mean {:.2}, least {:.2}, a tenth {:.2}, median {:.2}, nine tenths {:.2}, most {:.2}",
        values.iter().sum::<f64>() / values.len() as f64,
        at(0.0),
        at(0.1),
        at(0.5),
        at(0.9),
        at(1.0)
    )
}
