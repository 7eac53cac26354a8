//! What a thousand agents would otherwise all do in the same instant.

use std::hash::{DefaultHasher, Hash, Hasher};

use api::NodeName;

/// A number below `end` that is the node's own and stays the same.
#[must_use]
pub(crate) fn below(end: u32, node: &NodeName) -> u32 {
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    u32::try_from(hasher.finish() % u64::from(end.max(1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_spread_over_all_numbers_evenly() {
        let mut counts = [0_u32; 10];
        for number in 0..1000 {
            let node = format!("node-{number}").parse().unwrap();
            counts[below(10, &node) as usize] += 1;
            assert_eq!(below(10, &node), below(10, &node));
        }
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
    }

    #[test]
    fn nothing_is_below_nothing_but_zero() {
        assert_eq!(below(0, &"node-1".parse().unwrap()), 0);
    }
}
