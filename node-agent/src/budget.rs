//! How many profiles an agent takes: what its memory and its report have room for. Pure.
//!
//! An agent keeps the contents of every profile, to repair files while the API server is away. With one profile too
//! many the kernel would end it for lack of memory at every start, or the API server would reject its report as too
//! large, and the node would get no profile at all. So a profile for which there is no room is refused by itself: its
//! file stays as it is, and the report has the reason.

use std::fmt;

use api::MAX_FILES;

/// Most bytes that are reserved for everything but contents: an agent takes 6.2 MiB without any profile, and up to some
/// 6 MiB more while it reads pages of the largest ones (docs/performance.md), with some more for what the allocator
/// does not give back.
const RESERVED: u64 = 16 * 1024 * 1024;

/// Bytes that are reserved of a limit. A small one has no room for [`RESERVED`] beside contents, and an agent that
/// refuses every profile is of no use: with 16 MiB, of which four fifths are kept, it has been seen to read the largest
/// profiles with half a MiB to spare, and a usual one takes much less.
fn reserved(limit: u64) -> u64 {
    RESERVED.min(limit - limit / 5)
}

/// Bytes that a profile takes beside its contents: its name, uid and hashes in the state of the watch, of the profiles
/// and of the keeper, and in the report.
const OVERHEAD: u64 = 2048;

/// Most bytes of the names and hashes in one report. etcd takes 1.5 MiB in one request, of which a hundred problems can
/// take a third.
pub const MAX_LISTED_BYTES: usize = 1_000_000;

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes in memory, [`OVERHEAD`] each profile included.
    memory: u64,
    /// The limit that this follows from.
    limit: u64,
}

impl Budget {
    /// For an agent that may take `limit` bytes of memory in all.
    #[must_use]
    pub fn of(limit: u64) -> Self {
        Self { memory: limit - reserved(limit), limit }
    }

    /// With room for so many bytes of contents and what is beside them.
    #[cfg(test)]
    pub(crate) fn with_room(memory: u64) -> Self {
        Self { memory, limit: RESERVED + memory }
    }
}

/// No limit on the memory.
impl Default for Budget {
    fn default() -> Self {
        Self::of(u64::MAX)
    }
}

/// Why there is no room for a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The report has no room for its name.
    TooMany,
    /// The memory has no room for its contents.
    Memory {
        /// What the agent may take in all.
        limit: u64,
    },
}

impl Refusal {
    /// Every reason that there is.
    pub const REASONS: [&'static str; 2] = ["TooManyProfiles", "MemoryLimit"];

    /// Why, in one word.
    #[must_use]
    pub fn reason(self) -> &'static str {
        let [too_many, memory] = Self::REASONS;
        match self {
            Self::TooMany => too_many,
            Self::Memory { .. } => memory,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(
                f,
                "there are more profiles than a node can report: {MAX_FILES}, with names of {MAX_LISTED_BYTES} bytes in all; \
                 the file stays as it is until others are deleted"
            ),
            Self::Memory { limit } => write!(
                f,
                "with all profiles before it, its contents do not fit into the agent's memory limit of {} MiB; the file \
                 stays as it is until agent.resources.limits.memory is raised, or other profiles are deleted or made smaller",
                limit / (1024 * 1024)
            ),
        }
    }
}

/// Bytes that a file takes in a report: `"name":"hash",`, with 32 digits of the hash.
#[must_use]
pub fn listed_bytes(name: &str) -> usize {
    name.len() + 38
}

/// Bytes that the time of a file's change takes in a report beside its name: `"":"2027-01-15T08:00:00Z",`.
pub const CHANGED_BYTES: usize = 26;

/// How much of a budget is used.
#[derive(Debug, Default)]
pub(crate) struct Account {
    budget: Budget,
    profiles: usize,
    listed: usize,
    memory: u64,
}

/// What one profile takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    listed: usize,
    memory: u64,
}

impl Cost {
    /// Of a profile with contents of so many bytes.
    pub(crate) fn of(name: &str, contents: usize) -> Self {
        Self { listed: listed_bytes(name), memory: contents as u64 + OVERHEAD }
    }
}

impl Account {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Whether there is room for one more profile.
    pub(crate) fn has_room(&self, cost: Cost) -> Result<(), Refusal> {
        if self.profiles >= MAX_FILES || self.listed + cost.listed > MAX_LISTED_BYTES {
            return Err(Refusal::TooMany);
        }
        if self.memory.saturating_add(cost.memory) > self.budget.memory {
            return Err(Refusal::Memory { limit: self.budget.limit });
        }
        Ok(())
    }

    pub(crate) fn charge(&mut self, cost: Cost) {
        self.profiles += 1;
        self.listed += cost.listed;
        self.memory = self.memory.saturating_add(cost.memory);
    }

    pub(crate) fn release(&mut self, cost: Cost) {
        self.profiles = self.profiles.saturating_sub(1);
        self.listed = self.listed.saturating_sub(cost.listed);
        self.memory = self.memory.saturating_sub(cost.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_limit_leaves_8_mib() {
        let mut account = Account::new(Budget::of(24 * 1024 * 1024));
        let largest = Cost::of("largest", 450_000);
        let mut taken = 0;
        while account.has_room(largest).is_ok() {
            account.charge(largest);
            taken += 1;
        }
        assert_eq!(taken, 18);
        account.has_room(Cost::of("small", 100)).unwrap();
        let refusal = account.has_room(largest).unwrap_err();
        assert_eq!(refusal.reason(), "MemoryLimit");
        assert!(refusal.to_string().contains("memory limit of 24 MiB"), "{refusal}");
        account.release(largest);
        account.has_room(largest).unwrap();
    }

    #[test]
    fn a_limit_below_the_charts_leaves_a_fifth_and_room_for_usual_profiles() {
        for (limit, most) in [(12, 496), (16, 661), (20, 826)] {
            let mut account = Account::new(Budget::of(limit * 1024 * 1024));
            let usual = Cost::of("usual", 3024);
            let mut taken = 0;
            while account.has_room(usual).is_ok() {
                account.charge(usual);
                taken += 1;
            }
            assert_eq!(taken, most, "{limit} MiB");
        }
        let none = Account::new(Budget::of(1024));
        assert_eq!(none.has_room(Cost::of("a", 1)), Err(Refusal::Memory { limit: 1024 }));
    }

    #[test]
    fn what_a_limit_leaves_never_shrinks_as_it_grows() {
        let left = |limit: u64| Budget::of(limit).memory;
        for limit in (0..64).map(|number| number << 20) {
            assert!(left(limit) <= left(limit + (1 << 20)), "{limit}");
        }
        assert_eq!(left(u64::MAX), u64::MAX - RESERVED);
    }

    #[test]
    fn a_report_has_room_for_ten_thousand_names_of_a_usual_length_and_for_fewer_long_ones() {
        for (length, most) in [(60, MAX_FILES), (240, MAX_LISTED_BYTES / (240 + 38))] {
            let mut account = Account::default();
            let cost = Cost::of(&"a".repeat(length), 1);
            for _ in 0..most {
                account.has_room(cost).unwrap();
                account.charge(cost);
            }
            assert_eq!(account.has_room(cost), Err(Refusal::TooMany), "{length}");
        }
    }
}
