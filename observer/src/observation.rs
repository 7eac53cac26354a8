//! What the observer has seen: the state that records change, and the thread that reads them.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use audit::{AUDIT_SECCOMP, Record, Serials, Tally, messages};
use tokio::sync::oneshot;

use crate::audit_socket::{AuditSocket, Received};
use crate::metrics::Metrics;
use crate::process::{Caller, Processes};

/// The counts of the node, in bounded memory.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The counts of calls.
    pub tally: Tally,
    /// Which records arrived.
    pub serials: Serials,
}

impl Observation {
    /// Counts what is in a datagram. `caller` finds out who made a call: by the process and the time of the record.
    /// Returns the callers.
    pub fn take(&mut self, datagram: &[u8], caller: impl Fn(u32, u64) -> Caller) -> Vec<Caller> {
        let mut callers = Vec::new();
        for message in messages(datagram) {
            // A record of any kind has a serial, so that each one that did not arrive leaves a gap.
            if let Some(serial) = Record::serial_of(message.payload) {
                self.serials.saw(serial);
            }
            if message.kind != AUDIT_SECCOMP {
                continue;
            }
            let parsed = Record::parse(message.payload);
            let found = parsed.as_ref().map_or(Caller::Unknown, |record| caller(record.pid, record.time));
            match (found, parsed) {
                (Caller::Container(id), Ok(record)) => self.tally.count(id, record),
                (Caller::Outside, _) => self.tally.outside(),
                (Caller::Container(_) | Caller::Unknown, _) => self.tally.unknown(),
            }
            callers.push(found);
        }
        callers
    }
}

/// The observation that the reading thread and the reporter share.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Observation>>);

impl Shared {
    /// Shares `observation`.
    #[must_use]
    pub fn new(observation: Observation) -> Self {
        Self(Arc::new(Mutex::new(observation)))
    }

    /// The observation, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Observation> {
        // The counts are consistent after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread that counts what `socket` receives. It ends only if the socket cannot be used any more, with the
/// error.
///
/// # Errors
/// There is no thread.
pub fn read(
    mut socket: AuditSocket,
    processes: Processes,
    shared: Shared,
    metrics: Metrics,
) -> io::Result<oneshot::Receiver<io::Error>> {
    let (ends, ended) = oneshot::channel();
    thread::Builder::new().name("audit".to_owned()).spawn(move || {
        loop {
            match socket.receive() {
                Ok(Received::Datagram(datagram)) => {
                    // Only the reporter takes the lock, too, once a second.
                    let callers = shared.lock().take(datagram, |pid, time| processes.caller(pid, time));
                    callers.into_iter().for_each(|caller| metrics.records.of(caller.into()).inc());
                }
                // The serials show how many.
                Ok(Received::Overrun | Received::Foreign) => {}
                Err(error) => {
                    let _ = ends.send(error);
                    return;
                }
            }
        }
    })?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// A netlink message of this type with the text of a record.
    fn message(kind: u16, text: &str) -> Vec<u8> {
        let mut bytes = ((16 + text.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(text.as_bytes());
        bytes
    }

    fn refused(serial: u32, pid: u32) -> Vec<u8> {
        let text = format!(
            "audit(1795945277.086:{serial}): auid=0 uid=0 gid=0 ses=1 pid={pid} comm=\"sh\" exe=\"/bin/sh\" sig=0 \
             arch=c000003e syscall=110 compat=0 ip=0x7f8d7e025829 code=0x50000"
        );
        message(AUDIT_SECCOMP, &text)
    }

    #[test]
    fn a_record_is_counted_for_whoever_made_the_call() {
        let mut seen = Observation::default();
        let caller = |pid, _| match pid {
            1 => Caller::Container(ID.parse().unwrap()),
            2 => Caller::Outside,
            _ => Caller::Unknown,
        };
        for datagram in [refused(5, 1), refused(6, 1), refused(7, 2), refused(8, 3)] {
            assert_eq!(seen.take(&datagram, caller).len(), 1);
        }
        // One that cannot be read is of nobody.
        let unreadable = message(AUDIT_SECCOMP, "audit(1.000:9): pid=1");
        assert_eq!(seen.take(&unreadable, caller), [Caller::Unknown]);
        assert_eq!((seen.tally.outside_count(), seen.tally.unknown_count()), (1, 4), "no name is known yet");
        assert!(seen.tally.wants_names());
    }

    #[test]
    fn a_record_of_another_kind_is_no_call_and_leaves_no_gap() {
        let mut seen = Observation::default();
        let nobody = |_, _| Caller::Unknown;
        for datagram in [refused(5, 1), message(1300, "audit(1.000:6): arch=c000003e"), refused(9, 1)] {
            seen.take(&datagram, nobody);
        }
        seen.serials.settle();
        assert_eq!((seen.tally.unknown_count(), seen.serials.lost()), (2, 2));
    }
}
