//! What to do next about the certificates: pure decisions over plain data, time included.
//!
//! An *authority* is a key pair with a self-signed certificate. The newest two are in a Secret, newest first. The *bundle* is
//! the list of the authorities' certificates in the webhook configuration: whom the API server trusts. A *leaf* is the
//! certificate of one replica, which is signed by an authority and never leaves its memory.
//!
//! A new authority is first stored, then published beside the old ones, and only then used: each replica moves to it once
//! it has seen it in the configuration for [`Periods::settle`], because each of several API servers has the change at
//! another moment. An old one is removed when no leaf of it can be valid any more. So the API server trusts every
//! replica's leaf at every moment, whichever replica stops, starts or leads in between.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock::UnixTime;
use super::fingerprint::Fingerprint;

/// How many certificates of authorities that are not in the Secret the bundle keeps, the newest: the Secret would have to
/// be lost more often within [`Periods::retention`].
const MOST_UNKNOWN: usize = 16;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// How long an authority is valid. A new one is made when a third of this time is left.
    pub authority: Duration,
    /// How long a leaf is valid. A new one is signed when a third of this time is left.
    pub leaf: Duration,
    /// How long an authority must be seen in the configuration before a replica moves to it.
    pub settle: Duration,
}

impl Periods {
    /// How long an authority's certificate stays in the bundle after the next authority was made: a leaf may have been
    /// signed by the old one meanwhile.
    fn retention(&self) -> Duration {
        self.leaf + self.leaf / 7
    }

    /// How long this process must have seen the newest authority in the configuration before it removes an older one,
    /// whatever the clock says.
    fn patience(&self) -> Duration {
        self.settle * 20
    }
}

/// An authority, as far as decisions depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorityFacts {
    /// Its certificate.
    pub id: Fingerprint,
    /// When it was made.
    pub created: UnixTime,
    /// When its certificate expires.
    pub expires: UnixTime,
}

/// What is in the Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// No authority: there is no Secret, or it cannot be read as one.
    Nothing,
    /// One or two authorities.
    Authorities {
        /// The newest.
        current: AuthorityFacts,
        /// The one before.
        previous: Option<AuthorityFacts>,
    },
}

impl Stored {
    /// The authorities, newest first.
    fn ids(&self) -> Vec<Fingerprint> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Authorities { current, previous } => {
                [Some(current), previous.as_ref()].into_iter().flatten().map(|it| it.id).collect()
            }
        }
    }
}

/// Since when, by the monotonic clock, this process has seen each authority in the configuration without interruption.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    since: BTreeMap<Fingerprint, Duration>,
}

impl Seen {
    /// The configuration has this bundle when the monotonic clock shows `at`.
    pub fn see(&mut self, bundle: &[Fingerprint], at: Duration) {
        self.since.retain(|id, _| bundle.contains(id));
        for id in bundle {
            self.since.entry(*id).or_insert(at);
        }
    }

    /// Whether the authority is in the configuration.
    #[must_use]
    pub fn contains(&self, id: Fingerprint) -> bool {
        self.since.contains_key(&id)
    }

    /// How long it takes until another authority has been in the configuration for `period`; `None` if all have.
    #[must_use]
    pub fn next_at(&self, period: Duration, at: Duration) -> Option<Duration> {
        let remaining = self.since.values().map(|since| (*since + period).saturating_sub(at));
        remaining.filter(|remaining| !remaining.is_zero()).min()
    }

    /// Whether the authority has been in the configuration for so long.
    fn for_at_least(&self, id: Fingerprint, period: Duration, at: Duration) -> bool {
        self.since.get(&id).is_some_and(|since| at.saturating_sub(*since) >= period)
    }
}

/// A replica's certificate, as far as decisions depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafFacts {
    /// Who has signed it.
    pub authority: Fingerprint,
    /// When it expires.
    pub expires: UnixTime,
}

/// What a leader does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// Make an authority and store it as the current one. The present one stays as the previous one.
    Renew,
    /// Write this bundle into the configuration.
    Publish(Vec<Fingerprint>),
    /// Remove the previous authority from the Secret.
    Forget,
    /// Nothing, for now.
    Nothing,
}

/// What a leader does next, after it has read the configuration and *then* the Secret, in this order: an authority that is
/// in the bundle was stored before, so that one which is missing in the Secret is not a newer one of another leader.
#[must_use]
pub fn lead(
    stored: &Stored,
    bundle: &[Fingerprint],
    seen: &Seen,
    now: UnixTime,
    monotonic: Duration,
    periods: &Periods,
) -> Lead {
    let Stored::Authorities { current, previous } = stored else { return Lead::Renew };
    let settled = seen.for_at_least(current.id, periods.patience(), monotonic);
    let is_last = now >= current.created.plus(periods.retention()) && settled;
    // Two are enough: while the one before is still in use, a third must wait, unless the current one has expired.
    let must_renew = now >= current.expires.minus(periods.authority / 3);
    if must_renew && (previous.is_none() || is_last || now >= current.expires) {
        return Lead::Renew;
    }
    let mut wanted = stored.ids();
    if !is_last {
        // The bundle has the newest first, as it is written here.
        let unknown = bundle.iter().copied().filter(|id| !stored.ids().contains(id));
        wanted.extend(unknown.take(MOST_UNKNOWN));
    } else if previous.is_some() {
        return Lead::Forget;
    }
    let is_published = wanted.len() == bundle.len() && wanted.iter().all(|id| bundle.contains(id));
    if is_published { Lead::Nothing } else { Lead::Publish(wanted) }
}

/// The authority that must sign a new leaf for this replica now; `None` if it keeps the one that it has.
#[must_use]
pub fn sign(
    leaf: Option<&LeafFacts>,
    stored: &Stored,
    seen: &Seen,
    now: UnixTime,
    monotonic: Duration,
    periods: &Periods,
) -> Option<Fingerprint> {
    let stored = stored.ids();
    let trusted: Vec<_> = stored.iter().copied().filter(|id| seen.contains(*id)).collect();
    let settled = trusted.iter().copied().find(|id| seen.for_at_least(*id, periods.settle, monotonic));
    let Some(leaf) = leaf.filter(|leaf| seen.contains(leaf.authority)) else {
        // A process that has just started has seen none for long. The oldest is the one that every API server has.
        return settled.or(trusted.last().copied());
    };
    // As long as the API server trusts the present one, a leaf of an authority that it may not know yet is worse.
    let is_due = now >= leaf.expires.minus(periods.leaf / 3);
    let age = |id: Fingerprint| stored.iter().position(|stored| *stored == id).unwrap_or(usize::MAX);
    settled.filter(|settled| is_due || age(*settled) < age(leaf.authority))
}

/// Whether the configuration that this process has seen makes the API server trust a replica with this leaf.
#[must_use]
pub fn is_trusted(leaf: Option<&LeafFacts>, seen: &Seen, now: UnixTime) -> bool {
    leaf.is_some_and(|leaf| seen.contains(leaf.authority) && now < leaf.expires)
}

/// Whether a replica that has just started may have requests: every API server trusts its leaf by now.
#[must_use]
pub fn may_begin(
    leaf: Option<&LeafFacts>,
    seen: &Seen,
    now: UnixTime,
    monotonic: Duration,
    periods: &Periods,
) -> bool {
    is_trusted(leaf, seen, now)
        && leaf.is_some_and(|leaf| seen.for_at_least(leaf.authority, periods.settle, monotonic))
}
