//! Chooses the connection to close when there are too many.

use std::net::IpAddr;

/// The facts about a connection that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its source address.
    pub(super) source: IpAddr,
    /// Whether its request is complete, and the answer is being sent.
    pub(super) is_answered: bool,
}

/// The index among `connections`, oldest first, of the one to evict for a new connection from `new_source`; `None` if
/// there is none.
///
/// It belongs to the origin with the most connections, so that a client that opens hundreds loses its own, and not the
/// kubelet or Prometheus, which have one each. Of that origin, or of all origins with equally many, the oldest
/// connection with an incomplete request is chosen: a probe sends its request at once, and a scrape is not interrupted
/// while there is a silent connection.
pub(super) fn evict(connections: &[Candidate], new_source: IpAddr) -> Option<usize> {
    let new_origin = origin(new_source);
    let count = |of: &Candidate| {
        let same = |other: &&Candidate| origin(other.source) == origin(of.source);
        connections.iter().filter(same).count() + usize::from(origin(of.source) == new_origin)
    };
    let most = connections.iter().map(count).max()?;
    let of_the_most = || connections.iter().enumerate().filter(|(_, connection)| count(connection) == most);
    let incomplete = of_the_most().find(|(_, connection)| !connection.is_answered);
    incomplete.or_else(|| of_the_most().next()).map(|(index, _)| index)
}

/// The origin of an address: for IPv6 its first 64 bits, because a host may choose the others freely (RFC 4291).
fn origin(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        ip @ IpAddr::V4(_) => ip,
    }
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

    #[test]
    fn among_origins_with_equally_many_one_that_is_answered_stays() {
        assert_eq!(evict(&[answered(1), incomplete(2), incomplete(3)], address(4)), Some(1));
        assert_eq!(evict(&[answered(1), answered(2)], address(4)), Some(0));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one() {
        let of = |ip: &str, is_answered| Candidate { source: ip.parse().unwrap(), is_answered };
        let connections =
            [of("2001:db8:1::1", false), of("2001:db8:2::1", false), of("2001:db8:2::2", false)];
        assert_eq!(evict(&connections, address(4)), Some(1));
    }
}
