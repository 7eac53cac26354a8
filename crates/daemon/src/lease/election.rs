//! The decisions of the leader election: plain state, with time as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The durations of the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long another process's lease counts as held after its last visible renewal.
    pub duration: Duration,
    /// How long this process is the leader after the beginning of its last renewal; less than `duration`.
    pub renew_deadline: Duration,
    /// The pause between two reads or renewals; less than `renew_deadline`.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// A timing that would allow two leaders, or none for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected --lease-duration > --lease-renew-deadline > --lease-retry > 0")]
pub struct UnsafeTiming;

impl Timing {
    /// Checks that the durations have the required order.
    ///
    /// # Errors
    /// The durations are not in order.
    pub fn checked(self) -> Result<Self, UnsafeTiming> {
        let ordered =
            self.duration > self.renew_deadline && self.renew_deadline > self.retry && !self.retry.is_zero();
        if ordered { Ok(self) } else { Err(UnsafeTiming) }
    }
}

/// A lease as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseState {
    /// Its resource version.
    pub version: String,
    /// Its holder, if there is one.
    pub holder: Option<String>,
    /// How long it is held after a renewal.
    pub duration: Duration,
    /// How often its holder has changed.
    pub transitions: i32,
}

/// What a candidate does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Do nothing: another process is the leader.
    Wait,
    /// Write this process's identity into the lease: it is absent, free, expired or held by this process.
    Take,
}

/// One candidate's view of the election.
#[derive(Debug)]
pub struct Election {
    identity: String,
    timing: Timing,
    /// The lease, and since when it has been seen unchanged.
    seen: Option<(LeaseState, Instant)>,
    /// When this process's last successful renewal began.
    renewed: Option<Instant>,
    /// Whether a write has failed since the lease was last known: it may have arrived, or may still arrive.
    write_uncertain: bool,
}

impl Election {
    /// A candidate that has not read the lease yet. `identity` must be unique.
    #[must_use]
    pub fn new(identity: String, timing: Timing) -> Self {
        Self { identity, timing, seen: None, renewed: None, write_uncertain: false }
    }

    /// The identity of this process.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The timing.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Whether the lease must be read before it is written: this process is not the leader, or the result of its last
    /// write is unknown.
    #[must_use]
    pub fn must_read(&self) -> bool {
        self.renewed.is_none() || self.write_uncertain
    }

    /// Records the lease that was read; `None` if there is none. A leader stays leader if no other process has held it
    /// since.
    pub fn read(&mut self, lease: Option<LeaseState>, now: Instant) {
        self.write_uncertain = false;
        let ours = |lease: &LeaseState| lease.holder.as_ref() == Some(&self.identity);
        let before = self.seen.take();
        let transitions = before.as_ref().filter(|(seen, _)| ours(seen)).map(|(seen, _)| seen.transitions);
        let goes_on = |lease: &LeaseState| ours(lease) && Some(lease.transitions) == transitions;
        if !lease.as_ref().is_some_and(goes_on) {
            self.renewed = None;
        }
        self.seen = match (lease, before) {
            (Some(lease), Some((seen, since))) if lease == seen => Some((seen, since)),
            (Some(lease), _) => Some((lease, now)),
            (None, _) => None,
        };
    }

    /// What to do now.
    #[must_use]
    pub fn decide(&self, now: Instant) -> Decision {
        match &self.seen {
            Some((LeaseState { holder: Some(holder), duration, .. }, since))
                if *holder != self.identity && now < *since + *duration =>
            {
                Decision::Wait
            }
            _ => Decision::Take,
        }
    }

    /// A write that began at `started` succeeded, and this process holds the lease.
    pub fn written(&mut self, lease: LeaseState, started: Instant) {
        self.seen = Some((lease, started));
        self.renewed = Some(started);
        self.write_uncertain = false;
    }

    /// A write was refused or not answered. It may have arrived, or may still arrive, so the lease must be read. Until
    /// then a leader stays leader as long as its last renewal permits, because no other process can take over before.
    pub fn write_failed(&mut self) {
        self.write_uncertain = true;
    }

    /// Until when this process is the leader without another renewal; `None` if it is not.
    #[must_use]
    pub fn leads_until(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + self.timing.renew_deadline)
    }

    /// The end of a round that begins now, whatever conflicts occur: there is time for a slow read and a slow write. A
    /// leader's round ends early enough for a pause and another write before its lease expires.
    #[must_use]
    pub fn round_ends(&self, now: Instant) -> Instant {
        let retry = self.timing.retry;
        let usual = now + 2 * retry;
        let last = self.leads_until().and_then(|until| until.checked_sub(2 * retry));
        last.map_or(usual, |last| usual.min(last)).max(now + retry)
    }

    /// How long to wait before the next read: until another process's lease may expire, if that is sooner than usual.
    #[must_use]
    pub fn pause(&self, now: Instant) -> Duration {
        let expires = match &self.seen {
            Some((LeaseState { holder: Some(holder), duration, .. }, since)) if *holder != self.identity => {
                Some((*since + *duration).saturating_duration_since(now))
            }
            _ => None,
        };
        expires
            .map_or(self.timing.retry, |expires| expires.clamp(Duration::from_millis(10), self.timing.retry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(identity: &str) -> Election {
        Election::new(identity.to_owned(), Timing::default())
    }

    fn lease(version: u32, holder: Option<&str>) -> LeaseState {
        LeaseState {
            version: version.to_string(),
            holder: holder.map(str::to_owned),
            duration: Duration::from_secs(15),
            transitions: 3,
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_absent_or_free_lease_is_taken_at_once() {
        let mut a = candidate("a");
        assert_eq!(a.decide(Instant::now()), Decision::Take);
        a.read(Some(lease(1, None)), Instant::now());
        assert_eq!(a.decide(Instant::now()), Decision::Take);
    }

    #[test]
    fn the_lease_of_another_holder_is_taken_one_duration_after_it_was_last_seen_to_change() {
        let (mut a, start) = (candidate("a"), Instant::now());
        a.read(Some(lease(1, Some("b"))), start);
        a.read(Some(lease(1, Some("b"))), after(start, 14));
        assert_eq!(a.decide(after(start, 14)), Decision::Wait);
        assert_eq!(a.pause(after(start, 14)), Duration::from_secs(1));
        a.read(Some(lease(2, Some("b"))), after(start, 14));
        assert_eq!(a.decide(after(start, 28)), Decision::Wait);
        assert_eq!(a.decide(after(start, 29)), Decision::Take);
    }

    #[test]
    fn a_leader_stops_a_deadline_after_its_last_renewal_began() {
        let (mut a, start) = (candidate("a"), Instant::now());
        assert_eq!(a.leads_until(), None);
        a.written(lease(1, Some("a")), start);
        assert_eq!(a.leads_until(), Some(after(start, 10)));
        a.read(Some(lease(1, Some("a"))), after(start, 5));
        assert_eq!(a.leads_until(), Some(after(start, 10)));
        a.read(None, after(start, 6));
        assert_eq!(a.leads_until(), None);
    }

    #[test]
    fn a_leader_whose_write_was_refused_reads_the_lease_and_goes_on_if_it_is_its_own_still() {
        let (mut a, start) = (candidate("a"), Instant::now());
        a.written(lease(1, Some("a")), start);
        assert!(!a.must_read());
        a.write_failed();
        assert!(a.must_read());
        assert_eq!(a.leads_until(), Some(after(start, 10)));
        a.read(Some(lease(2, Some("a"))), after(start, 1));
        assert!(!a.must_read());
        // A late write may have begun long ago, so it does not extend the leadership.
        assert_eq!((a.leads_until(), a.decide(after(start, 1))), (Some(after(start, 10)), Decision::Take));
        a.read(Some(LeaseState { transitions: 5, ..lease(3, Some("a")) }), after(start, 2));
        assert_eq!((a.leads_until(), a.must_read()), (None, true));
    }

    #[test]
    fn a_leader_that_finds_another_holder_in_the_lease_stops_leading() {
        let (mut a, start) = (candidate("a"), Instant::now());
        a.written(lease(1, Some("a")), start);
        a.read(Some(lease(2, Some("b"))), after(start, 1));
        assert_eq!((a.leads_until(), a.decide(after(start, 1))), (None, Decision::Wait));
    }

    #[test]
    fn a_leader_has_stopped_before_anybody_else_can_take_over() {
        let start = Instant::now();
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        a.written(lease(1, Some("a")), start);
        // At the earliest, b sees the renewal at the moment when it began.
        b.read(Some(lease(1, Some("a"))), start);
        let first =
            (0..60).map(|second| after(start, second)).find(|now| b.decide(*now) == Decision::Take).unwrap();
        assert!(a.leads_until().unwrap() < first);
    }

    #[test]
    fn a_round_of_a_leader_leaves_time_for_the_next_one() {
        let (mut a, start) = (candidate("a"), Instant::now());
        assert_eq!(a.round_ends(start), after(start, 4));
        a.written(lease(1, Some("a")), start);
        assert_eq!(a.round_ends(after(start, 2)), after(start, 6));
        assert_eq!(a.round_ends(after(start, 4)), after(start, 6));
        // The last round takes the remaining time.
        assert_eq!(a.round_ends(after(start, 8)), after(start, 10));
    }

    #[test]
    fn timing_out_of_order_is_refused() {
        assert!(Timing::default().checked().is_ok());
        let default = Timing::default();
        assert!(Timing { renew_deadline: default.duration, ..default }.checked().is_err());
        assert!(Timing { retry: default.renew_deadline, ..default }.checked().is_err());
        assert!(Timing { retry: Duration::ZERO, ..default }.checked().is_err());
    }
}
