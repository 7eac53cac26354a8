//! The figures of one size, as they are written to the JSON file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::phases::Phase;

pub use super::meter::{Sample, Seconds};

/// The events per profile of the floor that stays comparable between versions: as applied, with the finalizer, with a
/// first status, and Ready. A version that sends fewer is measured against what four cost, too.
pub const FLOOR_EVENTS: u64 = 4;

/// What was measured at one size.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Nodes.
    pub nodes: usize,
    /// Profiles.
    pub profiles: usize,
    /// Bytes of each profile's contents.
    pub profile_bytes: usize,
    /// Pods that use some profile.
    pub pods: usize,
    /// What all profiles take in etcd at the end of a rollout, in bytes.
    pub stored: u64,
    /// Each round of each phase.
    pub phases: BTreeMap<Phase, Vec<Sample>>,
    /// Each round of the floor of a rollout and of an update.
    pub floors: BTreeMap<Phase, Vec<Sample>>,
    /// Each round of the floor of a rollout with [`FLOOR_EVENTS`] events per profile.
    #[serde(default)]
    pub fixed_floors: Vec<Sample>,
    /// Each round of a rollout whose agents take their CPU time elsewhere.
    #[serde(default)]
    pub elsewhere: Vec<Sample>,
}

impl Figures {
    /// The median of a phase's rounds, if there were any.
    #[must_use]
    pub fn median(&self, phase: Phase, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.phases.get(&phase)?, of)
    }

    /// The median of a floor's rounds, if there were any.
    #[must_use]
    pub fn floor(&self, phase: Phase, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.floors.get(&phase)?, of)
    }

    /// How many times its floor a phase took.
    #[must_use]
    pub fn ratio(&self, phase: Phase) -> Option<f64> {
        Some(self.median(phase, |sample| sample.wall)? / self.floor(phase, |sample| sample.wall)?)
    }

    /// How many times the floor of [`FLOOR_EVENTS`] events a rollout took.
    #[must_use]
    pub fn ratio_of_fixed(&self) -> Option<f64> {
        let floor = median(&self.fixed_floors, |sample| sample.wall)?;
        Some(self.median(Phase::Rollout, |sample| sample.wall)? / floor)
    }

    /// How many times its floor a rollout took whose agents take their CPU time elsewhere.
    #[must_use]
    pub fn ratio_elsewhere(&self) -> Option<f64> {
        let wall = median(&self.elsewhere, |sample| sample.wall)?;
        Some(wall / self.floor(Phase::Rollout, |sample| sample.wall)?)
    }

    /// The worst round of a phase.
    #[must_use]
    pub fn worst(&self, phase: Phase, of: impl Fn(&Sample) -> u64) -> Option<u64> {
        self.phases.get(&phase)?.iter().map(of).max()
    }

    /// The writes that a rollout, an update or a deletion may cost.
    #[must_use]
    pub fn most_writes(&self) -> u64 {
        (2 * self.nodes + 4 * self.profiles + 50) as u64
    }
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Option<f64> {
    let mut figures: Vec<_> = samples.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    let lower = *figures.get(figures.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle_of_what_was_measured() {
        let samples = |walls: &[f64]| {
            walls.iter().map(|wall| Sample { wall: *wall, ..Sample::default() }).collect::<Vec<_>>()
        };
        for (walls, middle) in
            [(&[][..], None), (&[2.0], Some(2.0)), (&[3.0, 1.0, 9.0], Some(3.0)), (&[1.0, 2.0], Some(1.5))]
        {
            assert_eq!(median(&samples(walls), |sample| sample.wall), middle);
        }
    }

    #[test]
    fn figures_are_read_back_from_what_was_written() {
        let mut figures = Figures { nodes: 10, profiles: 2, ..Figures::default() };
        figures.phases.insert(Phase::RestartAgents, vec![Sample { writes: 3, ..Sample::default() }]);
        let text = serde_json::to_string(&figures).unwrap();
        assert!(text.contains(r#""restart-agents""#), "{text}");
        let read: Figures = serde_json::from_str(&text).unwrap();
        assert_eq!(read.worst(Phase::RestartAgents, |sample| sample.writes), Some(3));
        assert_eq!(read.most_writes(), 78);
    }
}
