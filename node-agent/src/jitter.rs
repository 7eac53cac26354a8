//! A delay for what a thousand agents would otherwise all do in the same instant.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use api::NodeName;

/// A number within `range` that depends on the node's name alone, so that it survives a restart; the start of an empty
/// range.
#[must_use]
pub(crate) fn node_jitter(range: Range<u32>, node: &NodeName) -> u32 {
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    let count = range.end.saturating_sub(range.start).max(1);
    range.start + u32::try_from(hasher.finish() % u64::from(count)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_spread_over_all_numbers_evenly() {
        let mut counts = [0_u32; 10];
        for number in 0..1000 {
            let node = format!("node-{number}").parse().unwrap();
            counts[node_jitter(5..15, &node) as usize - 5] += 1;
            assert_eq!(node_jitter(5..15, &node), node_jitter(5..15, &node));
        }
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
    }

    #[test]
    fn within_an_empty_range_there_is_its_start() {
        assert_eq!(node_jitter(7..7, &"node-1".parse().unwrap()), 7);
    }
}
