//! What the observer has seen: the state that records change, and the thread that reads them.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use audit::{AUDIT_SECCOMP, Record, Serials, Tally, messages};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::audit_socket::{AuditSocket, Received};
use crate::callers::Callers;
use crate::metrics::Metrics;
use crate::process::Caller;

/// How many datagrams are taken before the observer asks for process events without a record.
const AT_ONCE: usize = 64;

/// The counts of the node, in bounded memory.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The counts of calls.
    pub tally: Tally,
    /// Which records arrived.
    pub serials: Serials,
}

impl Observation {
    /// Counts what has arrived.
    pub fn count(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Other { serial } => self.saw(serial),
            Arrival::Call { serial, caller, record } => {
                self.saw(serial);
                match (caller, record) {
                    (Caller::Container(id), Some(record)) => self.tally.count(id, record),
                    (Caller::Outside, _) => self.tally.outside(),
                    (Caller::Container(_) | Caller::Unknown, _) => self.tally.unknown(),
                }
            }
        }
    }

    /// A record of any kind has a serial, so that each one that did not arrive leaves a gap.
    fn saw(&mut self, serial: Option<u32>) {
        if let Some(serial) = serial {
            self.serials.saw(serial);
        }
    }
}

/// What a message of the kernel's audit says.
#[derive(Debug)]
pub enum Arrival {
    /// A call that a filter did not simply permit.
    Call {
        /// The record's serial.
        serial: Option<u32>,
        /// Who made it.
        caller: Caller,
        /// The record; `None` if it cannot be read.
        record: Option<Record>,
    },
    /// Something else.
    Other {
        /// The record's serial.
        serial: Option<u32>,
    },
}

/// The messages in a datagram. `caller` finds out who made a call: by the process and the time of the record.
pub fn read_datagram(
    datagram: &[u8],
    mut caller: impl FnMut(u32, u64) -> Caller,
) -> impl Iterator<Item = Arrival> {
    messages(datagram).map(move |message| {
        let serial = Record::serial_of(message.payload);
        if message.kind != AUDIT_SECCOMP {
            return Arrival::Other { serial };
        }
        let record = Record::parse(message.payload).ok();
        let caller = record.as_ref().map_or(Caller::Unknown, |record| caller(record.pid, record.time));
        Arrival::Call { serial, caller, record }
    })
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
    mut callers: Callers,
    shared: Shared,
    metrics: Metrics,
) -> io::Result<oneshot::Receiver<io::Error>> {
    let (ends, ended) = oneshot::channel();
    thread::Builder::new().name("audit".to_owned()).spawn(move || {
        let failed = loop {
            if let Err(error) = wait(&socket, &callers) {
                break error;
            }
            // The room for them is small, and records may be rare.
            callers.catch_up();
            if let Err(error) = take_waiting(&mut socket, &mut callers, &shared, &metrics) {
                break error;
            }
        };
        let _ = ends.send(failed);
    })?;
    Ok(ended)
}

/// Counts what the socket has received, but not so much that process events have to wait for long.
fn take_waiting(
    socket: &mut AuditSocket,
    callers: &mut Callers,
    shared: &Shared,
    metrics: &Metrics,
) -> io::Result<()> {
    for _ in 0..AT_ONCE {
        match socket.receive_now()? {
            Received::Datagram(datagram) => {
                // Not under the lock, which the reporter takes as well: to find a caller, thousands of process events may have
                // to be read first.
                for arrival in read_datagram(datagram, |pid, time| callers.caller(pid, time)) {
                    if let Arrival::Call { caller, record, .. } = &arrival {
                        metrics.records.of((*caller).into()).inc();
                        if *caller == Caller::Unknown {
                            log_unknown(record.as_ref());
                        }
                    }
                    shared.lock().count(arrival);
                }
            }
            Received::Nothing => break,
            // The serials show how many.
            Received::Overrun | Received::Foreign => {}
        }
    }
    Ok(())
}

/// Who it may have been: the process is gone, and the record is all that is left of it.
fn log_unknown(record: Option<&Record>) {
    let Some(Record { pid, program, call, .. }) = record else {
        tracing::debug!("a record of a call cannot be read");
        return;
    };
    tracing::debug!(pid, program, call = call.name(), action = %call.action, "the container of a call is not known");
}

/// Waits until one of the sockets has something.
fn wait(socket: &AuditSocket, callers: &Callers) -> io::Result<()> {
    let mut sockets = vec![PollFd::new(socket, PollFlags::IN)];
    sockets.extend(callers.events().map(|events| PollFd::new(events, PollFlags::IN)));
    match poll(&mut sockets, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
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
        let mut found = Vec::new();
        // The last one cannot be read, and is of nobody.
        let unreadable = message(AUDIT_SECCOMP, "audit(1.000:9): pid=1");
        for datagram in [refused(5, 1), refused(6, 1), refused(7, 2), refused(8, 3), unreadable] {
            for arrival in read_datagram(&datagram, caller) {
                if let Arrival::Call { caller, .. } = &arrival {
                    found.push(*caller);
                }
                seen.count(arrival);
            }
        }
        let container = Caller::Container(ID.parse().unwrap());
        assert_eq!(found, [container, container, Caller::Outside, Caller::Unknown, Caller::Unknown]);
        assert_eq!((seen.tally.outside_count(), seen.tally.unknown_count()), (1, 4), "no name is known yet");
        assert!(seen.tally.wants_names());
    }

    #[test]
    fn a_record_of_another_kind_is_no_call_and_leaves_no_gap() {
        let mut seen = Observation::default();
        let nobody = |_, _| Caller::Unknown;
        for datagram in [refused(5, 1), message(1300, "audit(1.000:6): arch=c000003e"), refused(9, 1)] {
            read_datagram(&datagram, nobody).for_each(|arrival| seen.count(arrival));
        }
        seen.serials.settle();
        assert_eq!((seen.tally.unknown_count(), seen.serials.lost()), (2, 2));
    }
}
