//! A model of the API server and of the replicas around it.

use std::time::Duration;

use super::super::clock::{Clock, UnixTime};
use super::super::fingerprint::Fingerprint;
use super::super::plan::{
    AuthorityFacts, Lead, LeafFacts, Periods, Seen, Stored, is_trusted, lead, may_begin, sign,
};

pub(super) const DAY: u64 = 24 * 3600;
pub(super) const PERIODS: Periods = Periods {
    authority: Duration::from_secs(90 * DAY),
    leaf: Duration::from_secs(7 * DAY),
    settle: Duration::from_secs(10),
};
/// When the world begins, in seconds since 1970.
const BEGIN: i64 = 1_800_000_000;

/// What is stored, with its version.
#[derive(Debug, Clone)]
struct Versioned<T> {
    value: T,
    version: u64,
}

impl<T> Versioned<T> {
    fn write(&mut self, value: T) {
        self.value = value;
        self.version += 1;
    }
}

/// What a leader has decided to write, on the versions that it has read.
#[derive(Debug, Clone)]
struct Pending {
    step: Lead,
    secret: u64,
    configuration: u64,
    now: UnixTime,
}

/// One process.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    pub(super) leaf: Option<LeafFacts>,
    seen: Seen,
    clock: Clock,
    /// How far its wall clock is from the true time, in seconds.
    offset: i64,
    /// Whether it has been ready since its start.
    pub(super) has_begun: bool,
    pending: Option<Pending>,
}

/// The API server, and two replicas.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// The true time since the beginning, in seconds.
    elapsed: u64,
    secret: Versioned<Option<Stored>>,
    configuration: Versioned<Vec<Fingerprint>>,
    /// Earlier bundles, each with the time until which it was the present one.
    earlier: Vec<(u64, Vec<Fingerprint>)>,
    pub(super) replicas: Vec<Replica>,
    authorities: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            elapsed: 0,
            secret: Versioned { value: None, version: 0 },
            configuration: Versioned { value: Vec::new(), version: 0 },
            earlier: Vec::new(),
            replicas: Vec::new(),
            authorities: 0,
        };
        world.replicas = (0..2).map(|_| world.started(0)).collect();
        world
    }

    /// A world in which everything has settled.
    pub(super) fn settled() -> Self {
        let mut world = Self::new();
        for _ in 0..3 {
            world.leads(0);
            world.wait(15);
        }
        assert!(world.replicas.iter().all(|replica| replica.has_begun));
        world
    }

    fn started(&self, offset: i64) -> Replica {
        Replica {
            leaf: None,
            seen: Seen::default(),
            clock: Clock::new(self.true_time(offset), self.monotonic()),
            offset,
            has_begun: false,
            pending: None,
        }
    }

    fn true_time(&self, offset: i64) -> UnixTime {
        UnixTime(BEGIN + self.elapsed as i64 + offset)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.elapsed)
    }

    fn now(&mut self, number: usize) -> UnixTime {
        let (wall, monotonic) = (self.true_time(self.replicas[number].offset), self.monotonic());
        self.replicas[number].clock.at(wall, monotonic)
    }

    pub(super) fn stored(&self) -> Stored {
        self.secret.value.unwrap_or(Stored::Nothing)
    }

    pub(super) fn bundle(&self) -> &[Fingerprint] {
        &self.configuration.value
    }

    /// Time passes. Each replica sees the configuration soon after it has changed, and again once what it has seen has
    /// settled, and signs what it needs.
    pub(super) fn wait(&mut self, seconds: u64) {
        let soon = seconds.min(1);
        let settled = (seconds - soon).min(PERIODS.settle.as_secs());
        for part in [soon, settled, seconds - soon - settled] {
            self.elapsed += part;
            for number in 0..self.replicas.len() {
                self.works(number);
            }
        }
    }

    /// A replica sees the configuration, reads the Secret, and signs a leaf if it needs one.
    pub(super) fn works(&mut self, number: usize) {
        let (now, monotonic, stored) = (self.now(number), self.monotonic(), self.stored());
        let bundle = self.configuration.value.clone();
        let replica = &mut self.replicas[number];
        replica.seen.see(&bundle, monotonic);
        let signer = sign(replica.leaf.as_ref(), &stored, &replica.seen, now, monotonic, &PERIODS);
        if let (Some(id), Stored::Authorities { current, previous }) = (signer, stored) {
            let authority = [Some(current), previous].into_iter().flatten().find(|it| it.id == id).unwrap();
            let expires = now.max(authority.created).plus(PERIODS.leaf).min(authority.expires);
            replica.leaf = Some(LeafFacts { authority: id, expires });
        }
        replica.has_begun |= may_begin(replica.leaf.as_ref(), &replica.seen, now, monotonic, &PERIODS);
    }

    /// A replica that takes itself for the leader reads, and decides.
    pub(super) fn decides(&mut self, number: usize) {
        let (now, monotonic) = (self.now(number), self.monotonic());
        let (bundle, stored) = (self.configuration.value.clone(), self.stored());
        let replica = &mut self.replicas[number];
        replica.seen.see(&bundle, monotonic);
        let step = lead(&stored, &bundle, &replica.seen, now, monotonic, &PERIODS);
        let (secret, configuration) = (self.secret.version, self.configuration.version);
        replica.pending = Some(Pending { step, secret, configuration, now });
    }

    /// It writes what it has decided, maybe much later; returns whether that changed anything.
    pub(super) fn writes(&mut self, number: usize) -> bool {
        let Some(pending) = self.replicas[number].pending.take() else { return false };
        let fits = match &pending.step {
            Lead::Renew | Lead::Forget => pending.secret == self.secret.version,
            Lead::Publish(_) => pending.configuration == self.configuration.version,
            Lead::Nothing => false,
        };
        if !fits {
            return false;
        }
        match (pending.step, self.stored()) {
            (Lead::Renew, stored) => {
                self.authorities += 1;
                let current = AuthorityFacts {
                    id: Fingerprint::of(&self.authorities.to_be_bytes()),
                    created: pending.now,
                    expires: pending.now.plus(PERIODS.authority),
                };
                let previous = match stored {
                    Stored::Authorities { current, .. } => Some(current),
                    Stored::Nothing => None,
                };
                self.secret.write(Some(Stored::Authorities { current, previous }));
            }
            (Lead::Forget, Stored::Authorities { current, .. }) => {
                self.secret.write(Some(Stored::Authorities { current, previous: None }));
            }
            (Lead::Publish(bundle), _) => {
                self.earlier.push((self.elapsed, self.configuration.value.clone()));
                self.configuration.write(bundle);
            }
            _ => {}
        }
        true
    }

    /// A replica leads until there is nothing to do.
    pub(super) fn leads(&mut self, number: usize) {
        for _ in 0..10 {
            self.decides(number);
            if !self.writes(number) {
                return;
            }
        }
        panic!("a leader that never ends: {self:?}");
    }

    pub(super) fn restarts(&mut self, number: usize, offset: i64) {
        self.replicas[number] = self.started(offset);
    }

    pub(super) fn sets_clock(&mut self, number: usize, offset: i64) {
        self.replicas[number].offset = offset;
    }

    pub(super) fn loses_secret(&mut self) {
        self.secret.write(None);
    }

    /// What is wrong: a replica that may have requests, and an API server that does not trust it, though it may have the
    /// configuration of up to `settle` ago.
    pub(super) fn wrong(&self) -> Option<String> {
        let since = self.elapsed.saturating_sub(PERIODS.settle.as_secs());
        let earlier = self.earlier.iter().filter(|(until, _)| *until > since).map(|(_, bundle)| bundle);
        let bundles: Vec<_> = earlier.chain([&self.configuration.value]).collect();
        self.replicas.iter().enumerate().filter(|(_, replica)| replica.has_begun).find_map(
            |(number, replica)| {
                let leaf = replica.leaf.as_ref()?;
                let trusted = bundles.iter().all(|bundle| bundle.contains(&leaf.authority));
                let valid = self.true_time(0) < leaf.expires;
                let ready = is_trusted(Some(leaf), &replica.seen, self.true_time(0));
                (!trusted || !valid || !ready).then(|| {
                    format!("replica {number}: trusted {trusted}, valid {valid}, ready {ready}: {leaf:?}")
                })
            },
        )
    }
}
