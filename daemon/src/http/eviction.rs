//! Which connection gives way when there are too many.

use std::net::IpAddr;

/// A connection, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guest {
    /// Where it comes from.
    pub(super) from: IpAddr,
    /// Its request is complete, and the answer on its way.
    pub(super) is_answered: bool,
}

/// The place among `guests`, in order of age, of the one that gives way to somebody from `newcomer`; `None` where there
/// is nobody.
///
/// It is one of the address that has the most of them, so that who opens hundreds pushes out his own, and neither the
/// kubelet nor Prometheus, who have one each. Of that address it is the oldest that has not said what it wants: a
/// probe says it at once.
pub(super) fn gives_way(guests: &[Guest], newcomer: IpAddr) -> Option<usize> {
    let count = |from: IpAddr| {
        guests.iter().filter(|guest| guest.from == from).count() + usize::from(from == newcomer)
    };
    let (mut crowd, mut most) = (guests.first()?.from, 0);
    for guest in guests {
        let count = count(guest.from);
        // Of two addresses that have as many, the one that has been here for longer.
        if count > most {
            (crowd, most) = (guest.from, count);
        }
    }
    let of_the_crowd = || guests.iter().enumerate().filter(|(_, guest)| guest.from == crowd);
    let silent = of_the_crowd().find(|(_, guest)| !guest.is_answered);
    silent.or_else(|| of_the_crowd().next()).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn silent(last: u8) -> Guest {
        Guest { from: address(last), is_answered: false }
    }

    fn answered(last: u8) -> Guest {
        Guest { from: address(last), is_answered: true }
    }

    #[test]
    fn who_opens_many_pushes_out_his_own() {
        let guests = [silent(1), silent(9), silent(9), answered(2)];
        assert_eq!(gives_way(&guests, address(9)), Some(1));
        assert_eq!(gives_way(&guests, address(1)), Some(0), "each has two by now, and this is the oldest");
        assert_eq!(gives_way(&guests, address(3)), Some(1));
    }

    #[test]
    fn who_has_said_what_he_wants_stays_before_who_has_not() {
        assert_eq!(gives_way(&[answered(9), silent(9), silent(9)], address(1)), Some(1));
        assert_eq!(gives_way(&[answered(9), answered(9)], address(1)), Some(0));
    }

    #[test]
    fn where_each_has_its_own_address_the_oldest_goes() {
        assert_eq!(gives_way(&[silent(1), silent(2), silent(3)], address(4)), Some(0));
    }

    #[test]
    fn where_there_is_nobody_nobody_gives_way() {
        assert_eq!(gives_way(&[], address(1)), None);
    }
}
