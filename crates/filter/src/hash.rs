//! Hash tables of small keys, which diagrams look up for every bit of an argument.

use foldhash::fast::RandomState;

/// A map with a fast hash. It is seeded anew in each process, so that no profile is made to collide.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// A set with the same hash.
pub(crate) type HashSet<K> = std::collections::HashSet<K, RandomState>;
