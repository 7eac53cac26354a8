//! Which connection is closed when there are too many.

use std::net::IpAddr;

/// A connection, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its source address.
    pub(super) source: IpAddr,
    /// Its request is complete, and the answer on its way.
    pub(super) is_answered: bool,
}

/// The index among `connections`, oldest first, of the one to evict for a new connection from `new_source`; `None` where
/// there is none.
///
/// It is one of the source address that has the most of them, so that a client that opens hundreds loses its own, and
/// neither the kubelet nor Prometheus, which have one each. Of that address it is the oldest whose request is not
/// complete: a probe sends its own at once.
pub(super) fn evict(connections: &[Candidate], new_source: IpAddr) -> Option<usize> {
    let count = |source: IpAddr| {
        connections.iter().filter(|connection| connection.source == source).count()
            + usize::from(source == new_source)
    };
    let (mut largest, mut most) = (connections.first()?.source, 0);
    for connection in connections {
        let count = count(connection.source);
        // Of two addresses with equally many, the one with the older connection.
        if count > most {
            (largest, most) = (connection.source, count);
        }
    }
    let from_largest =
        || connections.iter().enumerate().filter(|(_, connection)| connection.source == largest);
    let incomplete = from_largest().find(|(_, connection)| !connection.is_answered);
    incomplete.or_else(|| from_largest().next()).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn incomplete(last: u8) -> Candidate {
        Candidate { source: address(last), is_answered: false }
    }

    fn answered(last: u8) -> Candidate {
        Candidate { source: address(last), is_answered: true }
    }

    #[test]
    fn the_address_with_the_most_connections_loses_one() {
        let connections = [incomplete(1), incomplete(9), incomplete(9), answered(2)];
        assert_eq!(evict(&connections, address(9)), Some(1));
        assert_eq!(evict(&connections, address(1)), Some(0), "each has two by now, and this is the oldest");
        assert_eq!(evict(&connections, address(3)), Some(1));
    }

    #[test]
    fn a_connection_that_is_answered_stays_before_one_whose_request_is_incomplete() {
        assert_eq!(evict(&[answered(9), incomplete(9), incomplete(9)], address(1)), Some(1));
        assert_eq!(evict(&[answered(9), answered(9)], address(1)), Some(0));
    }

    #[test]
    fn where_each_has_its_own_address_the_oldest_is_evicted() {
        assert_eq!(evict(&[incomplete(1), incomplete(2), incomplete(3)], address(4)), Some(0));
    }

    #[test]
    fn where_there_is_no_connection_none_is_evicted() {
        assert_eq!(evict(&[], address(1)), None);
    }
}
