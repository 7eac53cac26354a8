//! The state of profiles as text: an overview of all, or one profile with every node.

use api::ProfileWarning;
use k8s_openapi::jiff::Timestamp;

use super::{ProfileStatus, StatusView, because};
use crate::node_profile_state::{NodeProfileState, NodeState};
use crate::show::{Cell, Paint, Table, Tone, age, escaped};

/// The maximum number of nodes that the overview names for one profile; the profile's own page names all.
pub(super) const MAX_NAMED: usize = 10;

impl StatusView {
    /// The view as text.
    #[must_use]
    pub fn render(&self, paint: Paint, now: Timestamp) -> String {
        match &self.profiles[..] {
            [profile] if self.single => profile.render(paint, now),
            [] => "There are no profiles.\n".to_owned(),
            profiles => overview(profiles, paint, now),
        }
    }
}

impl ProfileStatus {
    fn tone(&self) -> Tone {
        match self.state.as_str() {
            "Ready" if self.why.is_empty() => Tone::Good,
            "Failed" | "Rejected" => Tone::Bad,
            _ => Tone::Waiting,
        }
    }

    fn render(&self, paint: Paint, now: Timestamp) -> String {
        let since = age(self.since.as_ref(), now);
        let state = if since.is_empty() { self.state.clone() } else { format!("{} for {since}", self.state) };
        let mut lines = format!(
            "Profile:   {}\nState:     {}",
            paint.text(&self.name, Tone::Heading),
            paint.text(&state, self.tone())
        );
        if let Some(ready) = &self.ready {
            lines += &format!(", on {} nodes", escaped(ready));
        }
        lines.push('\n');
        for why in &self.why {
            lines += &format!("           {}\n", paint.text(why, Tone::Plain));
        }
        let field = |name: &str, value: Option<&str>| {
            value.map(|value| format!("{name:<11}{}\n", paint.text(value, Tone::Plain))).unwrap_or_default()
        };
        lines += &field("Path:", self.localhost_profile.as_deref());
        lines += &field("Hash:", self.content_hash.as_deref());
        lines += &field("In use:", self.in_use.map(|in_use| if in_use { "yes" } else { "no" }));
        for (at, warning) in self.warnings.iter().enumerate() {
            let ProfileWarning { rule, severity, path, message } = warning;
            let label = if at == 0 { "Warnings:" } else { "" };
            let tone = if severity == "error" { Tone::Bad } else { Tone::Waiting };
            let what = paint.text(&format!("{severity}[{rule}]"), tone);
            lines +=
                &format!("{label:<11}{what} {}\n", paint.text(&format!("{path}: {message}"), Tone::Plain));
        }
        lines.push('\n');
        if self.nodes.is_empty() {
            return lines
                + "No node is expected to hold it. Is the operator running, and do the agents' node selector and affinity match any node?\n";
        }
        let mut table = Table::new(["NODE", "STATE", "SINCE", "WHY"]);
        for node_state in &self.nodes {
            table.row([
                (&node_state.node).into(),
                state_cell(node_state),
                age(node_state.since.as_ref(), now).into(),
                because(node_state).into(),
            ]);
        }
        lines + &table.render(paint)
    }
}

fn overview(profiles: &[ProfileStatus], paint: Paint, now: Timestamp) -> String {
    let mut table = Table::new(["PROFILE", "STATE", "READY", "SINCE", "IN USE", "WHY"]);
    for profile in profiles {
        table.row([
            (&profile.name).into(),
            Cell::toned(&profile.state, profile.tone()),
            profile.ready.as_deref().unwrap_or("?").into(),
            age(profile.since.as_ref(), now).into(),
            profile.in_use.map_or("?", |in_use| if in_use { "yes" } else { "no" }).into(),
            profile.why.join("; ").into(),
        ]);
    }
    let mut text = table.render(paint);
    if profiles.iter().any(|profile| profile.behind().next().is_some()) {
        let mut table = Table::new(["PROFILE", "NODE", "STATE", "SINCE", "WHY"]);
        for profile in profiles {
            for node_state in profile.behind().take(MAX_NAMED) {
                table.row([
                    (&profile.name).into(),
                    (&node_state.node).into(),
                    state_cell(node_state),
                    age(node_state.since.as_ref(), now).into(),
                    because(node_state).into(),
                ]);
            }
            let more = profile.behind().count().saturating_sub(MAX_NAMED);
            if more > 0 {
                let all = format!("kubectl seccomp status {}", profile.name);
                table.row([
                    (&profile.name).into(),
                    format!("and {more} more").into(),
                    "".into(),
                    "".into(),
                    all.into(),
                ]);
            }
        }
        text.push('\n');
        text += &table.render(paint);
    }
    text
}

/// A node's state in its colour.
fn state_cell(node_state: &NodeProfileState) -> Cell {
    let state = node_state.state;
    let tone = match state {
        NodeState::Ready if !node_state.is_right() => Tone::Bad,
        NodeState::Ready | NodeState::Removed => Tone::Good,
        NodeState::Failed => Tone::Bad,
        NodeState::Pending | NodeState::Removing | NodeState::Joining | NodeState::Unreachable => {
            Tone::Waiting
        }
    };
    Cell::toned(state, tone)
}
