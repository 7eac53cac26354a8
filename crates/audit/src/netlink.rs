//! The netlink messages in what a socket received (netlink(7)).

/// The type of a record about a system call that a seccomp filter did not simply permit (`linux/audit.h`).
pub const AUDIT_SECCOMP: u16 = 1326;

/// The length of the header: length, type, flags, sequence, sender.
const HEADER: usize = 16;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type.
    pub kind: u16,
    /// What is behind the header, without the padding.
    pub payload: &'a [u8],
}

/// The messages in one datagram, in order, up to the first that is not complete.
///
/// The kernel's audit sends one message in a datagram, whose length until Linux 3.13 did not include the header; from
/// then on (where the multicast group exists) it does.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.get(..HEADER)?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let payload = rest.get(HEADER..length)?;
        // Each message begins at a multiple of four.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, payload })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn every_complete_message_is_found() {
        let bytes = [message(AUDIT_SECCOMP, b"audit"), message(1300, b""), message(3, b"abcd")].concat();
        let found: Vec<_> = messages(&bytes).map(|it| (it.kind, it.payload)).collect();
        assert_eq!(found, [(AUDIT_SECCOMP, &b"audit"[..]), (1300, b""), (3, b"abcd")]);
    }

    #[test]
    fn a_message_that_is_cut_or_lies_about_its_length_ends_the_datagram() {
        let whole = message(AUDIT_SECCOMP, b"audit(");
        for end in 0..HEADER + 6 {
            assert_eq!(messages(&whole[..end]).count(), 0, "{end}");
        }
        for length in [0_u32, 15, u32::MAX] {
            let mut bytes = whole.clone();
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&bytes).count(), 0, "{length}");
        }
    }
}
