//! When a workload has learned enough: the state of a learning, and what is to be done next. Pure; times are since its
//! beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use syscalls::Syscall;

/// For how many times the settling time a round goes on at most while ever new calls appear.
const SETTLINGS: u32 = 4;

/// The shortest quiet time: an observer reports at most every 30 s, and its report is read some seconds later.
const SHORTEST: Duration = Duration::from_mins(1);

/// How long what may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// For how long nothing new must have been seen.
    pub(super) quiet: Duration,
    /// How long after a new call further ones are awaited before the next round.
    pub(super) settle: Duration,
    /// How long it may learn in all.
    pub(super) at_most: Duration,
}

impl Limits {
    /// Why they make no sense; `None` if they do.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        if self.quiet < SHORTEST {
            Some("--quiet is too short: an observer reports at most every 30 s, so give at least 1m")
        } else if self.quiet >= self.at_most {
            Some(
                "--quiet is not shorter than --at-most, so that the workload could never be quiet for long enough",
            )
        } else {
            None
        }
    }
}

/// What the observers report at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sighting {
    /// The calls that were logged so far, of all rounds.
    pub(super) calls: BTreeSet<Syscall>,
    /// What was missed so far, by node with its pods, or with the last of them gone for some moments.
    pub(super) missed: BTreeMap<String, Missed>,
    /// How many calls were not listed so far, because a container's list was full.
    pub(super) not_listed: i64,
    /// How many calls there are of containers on these nodes that have no name yet: its own, or others'.
    pub(super) unnamed: i64,
    /// Those of these nodes from which no records come, or a word for none of its pods.
    pub(super) blind: BTreeSet<String>,
}

/// What the observer of a node says of records that it did not get, or does not list any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Missed {
    /// The node's present run: what it logged after its start and before the observer's is not counted as lost.
    pub(super) boot: String,
    /// How many records were lost.
    pub(super) lost: i64,
    /// How many calls newer ones have displaced.
    pub(super) forgotten: i64,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// To look again.
    Watch,
    /// Another round, with what was seen.
    Round,
    /// To end: nothing new was seen for long enough.
    Quiet,
    /// To end: it has learned for as long as it may, and is not quiet.
    Restless,
}

/// A learning.
#[derive(Debug, Clone)]
pub(super) struct Session {
    limits: Limits,
    /// The number of the round.
    round: u32,
    /// The number of the last round of an earlier run that is continued.
    earlier: u32,
    /// What the profile of the round does not log any more.
    known: BTreeSet<Syscall>,
    /// What was seen since.
    new: BTreeSet<Syscall>,
    first_new: Duration,
    latest_new: Duration,
    quiet_since: Duration,
    last: Option<Sighting>,
}

impl Session {
    /// A learning in which these calls are known.
    #[must_use]
    pub(super) fn new(limits: Limits, known: BTreeSet<Syscall>) -> Self {
        Self {
            limits,
            round: 0,
            earlier: 0,
            known,
            new: BTreeSet::new(),
            first_new: Duration::ZERO,
            latest_new: Duration::ZERO,
            quiet_since: Duration::ZERO,
            last: None,
        }
    }

    /// The same after this round of an earlier run: with another number its first round is another template, so that the pods
    /// are replaced, which have the filter of that round.
    #[must_use]
    pub(super) fn continued_after(mut self, round: u32) -> Self {
        (self.round, self.earlier) = (round, round);
        self
    }

    /// How many rounds there were.
    #[must_use]
    pub(super) fn rounds(&self) -> u32 {
        self.round - self.earlier
    }

    /// Begins a round: what was seen is known. Returns its number.
    pub(super) fn begin_round(&mut self) -> u32 {
        self.known.append(&mut self.new);
        self.round += 1;
        self.round
    }

    /// The pods of the round are ready.
    pub(super) fn rolled_out(&mut self, now: Duration) {
        self.quiet_since = now;
    }

    /// Takes what the observers report.
    #[must_use]
    pub(super) fn saw(&mut self, now: Duration, sighting: Sighting) -> Next {
        let unknown: Vec<_> = sighting
            .calls
            .iter()
            .filter(|call| !self.known.contains(call) && !self.new.contains(call))
            .collect();
        if !unknown.is_empty() {
            if self.new.is_empty() {
                self.first_new = now;
            }
            self.latest_new = now;
            self.quiet_since = now;
            self.new.extend(unknown);
        }
        // What was lost may have been new.
        if !sighting.blind.is_empty()
            || self.last.as_ref().is_some_and(|last| sighting.misses_more_than(last))
        {
            self.quiet_since = now;
        }
        self.last = Some(sighting);
        self.next(now)
    }

    /// Takes that the cluster gave no answer: what was seen meanwhile is not known.
    #[must_use]
    pub(super) fn missed(&mut self, now: Duration) -> Next {
        self.quiet_since = now;
        self.next(now)
    }

    fn next(&self, now: Duration) -> Next {
        let Limits { quiet, settle, at_most } = self.limits;
        // Within a minute or so, a container is named, or its calls count as unknown.
        let is_known = self.last.as_ref().is_none_or(|last| last.unnamed == 0);
        if now.saturating_sub(self.quiet_since) >= quiet && self.new.is_empty() && is_known {
            return Next::Quiet;
        }
        if now >= at_most {
            return Next::Restless;
        }
        let settled = now.saturating_sub(self.latest_new) >= settle
            || now.saturating_sub(self.first_new) >= settle.saturating_mul(SETTLINGS);
        if !self.new.is_empty() && settled { Next::Round } else { Next::Watch }
    }

    /// The calls that are known or were seen.
    pub(super) fn calls(&self) -> BTreeSet<Syscall> {
        self.known.union(&self.new).copied().collect()
    }

    /// The number of the round.
    #[must_use]
    pub(super) fn round(&self) -> u32 {
        self.round
    }

    /// How many calls were seen since the round began.
    #[must_use]
    pub(super) fn new_calls(&self) -> usize {
        self.new.len()
    }

    /// For how long nothing new has been seen, nor may have been missed.
    #[must_use]
    pub(super) fn quiet_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.quiet_since)
    }
}

impl Sighting {
    /// Whether more was missed than at an earlier moment. A node is new with whatever it has lost before; a count that is
    /// lower than before begins anew, and what it has missed is not known.
    fn misses_more_than(&self, earlier: &Self) -> bool {
        let is_more =
            |(node, now): (&String, &Missed)| earlier.missed.get(node).is_some_and(|before| now != before);
        self.missed.iter().any(is_more) || self.not_listed > earlier.not_listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn limits() -> Limits {
        Limits { quiet: seconds(600), settle: seconds(30), at_most: seconds(7200) }
    }

    fn calls(names: &[&str]) -> BTreeSet<Syscall> {
        names.iter().map(|name| Syscall::from_name(name).unwrap()).collect()
    }

    fn sighting(names: &[&str], lost: i64) -> Sighting {
        Sighting { calls: calls(names), missed: missed("n1", lost), ..Sighting::default() }
    }

    fn missed(node: &str, lost: i64) -> BTreeMap<String, Missed> {
        [(node.to_owned(), Missed { boot: "b".to_owned(), lost, forgotten: 0 })].into()
    }

    /// A session whose first round is ready at 60 s.
    fn begun() -> Session {
        let mut session = Session::new(limits(), calls(&["read"]));
        assert_eq!(session.begin_round(), 1);
        session.rolled_out(seconds(60));
        session
    }

    #[test]
    fn what_was_seen_is_known_in_the_next_round_and_it_ends_when_nothing_new_was_seen_for_long_enough() {
        let mut session = begun();
        let mut saw = |now, names: &[&str]| {
            let next = session.saw(seconds(now), sighting(names, 0));
            if next == Next::Round {
                session.begin_round();
                session.rolled_out(seconds(now + 20));
            }
            next
        };
        assert_eq!(saw(70, &["read"]), Next::Watch, "it is known");
        assert_eq!(saw(80, &["read", "write"]), Next::Watch, "others may follow at once");
        assert_eq!(saw(100, &["read", "write", "openat"]), Next::Watch);
        assert_eq!(saw(129, &["read", "write", "openat"]), Next::Watch);
        assert_eq!(saw(130, &["read", "write", "openat"]), Next::Round);
        assert_eq!(saw(200, &["read", "write", "openat", "mmap"]), Next::Watch);
        assert_eq!(saw(230, &["read", "write", "openat", "mmap"]), Next::Round);
        // The observers still have what was logged before.
        assert_eq!(saw(849, &["read", "write", "openat", "mmap"]), Next::Watch);
        assert_eq!(saw(850, &["read", "write", "openat", "mmap"]), Next::Quiet, "600 s after the rollout");
        assert_eq!(session.calls(), calls(&["read", "write", "openat", "mmap"]));
        assert_eq!((session.round(), session.new_calls()), (3, 0));
    }

    #[test]
    fn lost_records_reset_the_quiet_time_and_so_does_a_full_list_or_a_node_without_records() {
        for missed in [
            |it: &mut Sighting| it.missed = missed("n1", 8),
            // The observation was made anew.
            |it: &mut Sighting| it.missed = missed("n1", 0),
            // The node was.
            |it: &mut Sighting| it.missed.get_mut("n1").unwrap().boot = "c".to_owned(),
            |it: &mut Sighting| it.missed.get_mut("n1").unwrap().forgotten = 1,
            |it: &mut Sighting| it.not_listed = 3,
            |it: &mut Sighting| it.blind = BTreeSet::from(["n1".to_owned()]),
        ] {
            let mut session = begun();
            assert_eq!(session.saw(seconds(100), sighting(&[], 5)), Next::Watch);
            let mut now = sighting(&[], 5);
            missed(&mut now);
            assert_eq!(session.saw(seconds(659), now.clone()), Next::Watch);
            now.blind.clear();
            assert_eq!(session.saw(seconds(700), now.clone()), Next::Watch, "600 s would be over");
            assert_eq!(session.quiet_for(seconds(700)), seconds(41));
            assert_eq!(session.saw(seconds(1259), now), Next::Quiet);
        }
    }

    #[test]
    fn it_is_not_quiet_before_the_containers_that_make_calls_have_their_names() {
        let mut session = begun();
        assert_eq!(session.saw(seconds(100), sighting(&[], 0)), Next::Watch);
        let unnamed = Sighting { unnamed: 3, ..sighting(&[], 0) };
        assert_eq!(session.saw(seconds(700), unnamed), Next::Watch);
        // They were others'.
        assert_eq!(session.clone().saw(seconds(710), sighting(&[], 0)), Next::Quiet);
        // They were its own.
        assert_eq!(session.saw(seconds(710), sighting(&["write"], 0)), Next::Watch);
        assert_eq!(session.saw(seconds(740), sighting(&["write"], 0)), Next::Round);
    }

    #[test]
    fn while_the_cluster_gives_no_answer_it_is_not_quiet_and_the_bound_on_the_whole_holds() {
        let mut session = begun();
        assert_eq!(session.saw(seconds(100), sighting(&[], 0)), Next::Watch);
        assert_eq!(session.missed(seconds(650)), Next::Watch);
        assert_eq!(session.saw(seconds(700), sighting(&[], 0)), Next::Watch, "600 s would be over");
        assert_eq!(session.saw(seconds(1250), sighting(&[], 0)), Next::Quiet);
        assert_eq!(begun().missed(seconds(7200)), Next::Restless);
    }

    #[test]
    fn what_a_node_had_lost_before_its_first_pod_changes_nothing() {
        let mut session = begun();
        assert_eq!(session.saw(seconds(100), sighting(&[], 5)), Next::Watch);
        let mut two = sighting(&[], 5);
        two.missed.append(&mut missed("n2", 900));
        assert_eq!(session.saw(seconds(200), two.clone()), Next::Watch);
        assert_eq!(session.saw(seconds(660), two), Next::Quiet);
    }

    #[test]
    fn a_workload_that_never_gets_quiet_ends_in_time_with_what_it_has_learned() {
        let all = ["write", "openat", "mmap", "brk", "close", "fstat", "pread64", "lseek"];
        let mut session = Session::new(Limits { at_most: seconds(400), ..limits() }, BTreeSet::new());
        session.begin_round();
        session.rolled_out(seconds(10));
        let mut ended = None;
        for (number, _) in all.iter().enumerate() {
            let now = 20 + 60 * number as u64;
            match session.saw(seconds(now), sighting(&all[..=number], 0)) {
                Next::Restless => {
                    ended = Some(now);
                    break;
                }
                Next::Watch | Next::Round => {
                    if session.saw(seconds(now + 30), sighting(&all[..=number], 0)) == Next::Round {
                        session.begin_round();
                        session.rolled_out(seconds(now + 40));
                    }
                }
                Next::Quiet => panic!("it is not quiet"),
            }
        }
        assert_eq!(ended, Some(440));
        assert_eq!(session.calls().len(), 8);
    }

    #[test]
    fn a_round_does_not_wait_for_ever_for_the_last_new_call() {
        let all = ["write", "openat", "mmap", "brk", "close", "fstat", "pread64", "lseek"];
        let mut session = begun();
        let rounds = all
            .iter()
            .enumerate()
            .map(|(number, _)| session.saw(seconds(100 + 20 * number as u64), sighting(&all[..=number], 0)));
        let first = rounds.enumerate().find(|(_, next)| *next == Next::Round);
        assert_eq!(first, Some((6, Next::Round)), "after four times the settling time");
    }
}
