//! What the user sees of a learning. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lint::Nodes;
use profile::Profile;
use serde::Serialize;
use syscalls::Syscall;

use super::contents;
use super::session::{Limits, Session};
use super::sightings::{SeenCall, Sightings};
use crate::findings::in_words;
use crate::output::json_lines;
use crate::profile_text::seccomp_profile;
use crate::show::{Paint, Table, age, count, escaped};

/// How far a learning is, in one line.
pub(super) fn progress(session: &Session, limits: Limits, now: Duration) -> String {
    let new = match session.new_calls() {
        0 => String::new(),
        new => format!(", {new} of them new in this round"),
    };
    let calls = count(session.calls().len(), "call");
    let (quiet, of) = (short(session.quiet_for(now)), short(limits.quiet));
    format!("round {}: {calls} known{new}; quiet for {quiet} of {of}", session.round())
}

/// A time in whole seconds, as the options take it.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The result, with the evidence for it.
#[derive(Debug)]
pub(super) struct ResultView<'v> {
    /// The profile's name.
    pub(super) name: &'v str,
    /// The profile.
    pub(super) profile: &'v Profile,
    /// What was seen.
    pub(super) sightings: &'v Sightings,
    /// How many rounds it took.
    pub(super) rounds: u32,
    /// Calls that are permitted although they were not seen in this run, each kind with its reason.
    pub(super) unseen: Vec<(usize, &'static str)>,
}

impl ResultView<'_> {
    /// The profile as a manifest.
    pub(super) fn manifest(&self) -> String {
        seccomp_profile(self.name, self.profile)
    }

    /// The evidence as text.
    pub(super) fn render(&self, paint: Paint, now: Timestamp) -> String {
        let calls = self.sightings.calls();
        let mut text = String::new();
        if !calls.is_empty() {
            text += "\n";
            let mut table = Table::new(["CALL", "COUNT", "PODS", "CONTAINERS", "FIRST", "LAST"]);
            for it in &calls {
                table.row([
                    shown(it).into(),
                    it.count.into(),
                    it.pods.len().into(),
                    it.containers.iter().cloned().collect::<Vec<_>>().join(",").into(),
                    age(it.first.as_ref(), now).into(),
                    age(it.last.as_ref(), now).into(),
                ]);
            }
            text += &table.render(paint);
        }
        let names: BTreeSet<_> = calls.iter().map(|it| &it.call).collect();
        let (pods, rounds) = (count(self.sightings.pods(), "pod"), count(self.rounds as usize, "round"));
        text += &format!("\n{} seen in {pods}, in {rounds}\n", count(names.len(), "call"));
        for (number, why) in self.unseen.iter().filter(|(number, _)| *number > 0) {
            text += &format!("{} permitted {why}\n", count(*number, "more call"));
        }
        text += &in_words(&lint::check(self.profile, &Nodes::default()), paint);
        for remark in self.remarks() {
            text += &format!("{}\n", escaped(remark));
        }
        text
    }

    /// The evidence as JSON.
    pub(super) fn evidence(&self) -> String {
        let evidence =
            Evidence { calls: self.sightings.calls(), rounds: self.rounds, remarks: self.remarks() };
        json_lines(&evidence)
    }

    /// What is missing, or may be.
    fn remarks(&self) -> Vec<String> {
        let permitted = contents::permitted_by_rule(self.profile);
        let calls = self.sightings.calls();
        let names: BTreeSet<_> = calls.iter().filter_map(|it| Syscall::from_name(&it.call)).collect();
        let refused = names.into_iter().map(Syscall::name).filter(|name| !permitted.contains(name));
        let refused = refused.map(|name| {
            format!(
                "not learned: {name}: no rules permit it but with the arguments with which it is refused now"
            )
        });
        refused.chain(self.sightings.remarks()).collect()
    }
}

/// A call, with its architecture unless it is that of the node.
fn shown(call: &SeenCall) -> String {
    match call.architecture.as_str() {
        "x86_64" | "aarch64" => call.call.clone(),
        architecture => format!("{architecture}:{}", call.call),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Evidence {
    calls: Vec<SeenCall>,
    rounds: u32,
    remarks: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_the_options_take_them() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (600, "10m"), (3661, "1h1m1s"), (7200, "2h")] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
            assert_eq!(crate::duration::duration(text), Ok(Duration::from_secs(seconds)));
        }
    }
}
