//! The kernel's news of processes that start, as they are sent to a netlink multicast group (`CN_IDX_PROC`).
//!
//! Since Linux 6.6 the group asks for no capability, only for the machine's first PID and user namespaces: in others, the
//! kernel takes the request and sends nothing. A process that is started is told before it runs, so that it is known
//! before any record of it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use audit::{ProcessEvent, WantedEvents, answer_to_request, ask_for_process_events, messages};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{CONNECTOR, SocketAddrNetlink};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto, socket_with,
};

/// `CN_IDX_PROC`, the first group, as a bit of the mask in an address.
const PROCESSES: u32 = 1;

/// The room for events that wait, as far as the kernel permits: some hundred by default.
const ROOM: usize = 1 << 20;

/// The numbers of the machine's first namespaces (`PROC_PID_INIT_INO` and `PROC_USER_INIT_INO` of the kernel).
const FIRST: [(&str, &str); 2] =
    [("/proc/self/ns/pid", "pid:[4026531836]"), ("/proc/self/ns/user", "user:[4026531837]")];

/// How long the kernel may take to answer. It does so before the request returns.
const PATIENCE: Duration = Duration::from_secs(1);

/// The number of the request that the kernel answers: other programs' requests are answered to all members, too.
const REQUEST: u32 = 0x7365_6363;

/// Why there are no process events.
#[derive(Debug, thiserror::Error)]
pub enum NoProcessEvents {
    /// The kernel sends them only to the first namespaces.
    #[error("the observer is not in the node's first PID and user namespaces; it needs hostPID")]
    OtherNamespace,
    /// Linux before 6.6, or a seccomp filter or security module.
    #[error("the kernel refuses: {0}")]
    Refused(Errno),
    /// The connector exists and nobody in the kernel reads the request, which is no error.
    #[error("the kernel does not answer; it is compiled without CONFIG_PROC_EVENTS, or older than Linux 6.6")]
    Silent,
    /// A process was found that has started meanwhile. Nothing that is remembered can be relied on then: a number may be
    /// another process's.
    #[error("the kernel has not told of a process that has started")]
    Incomplete,
    /// The socket cannot be used any more.
    #[error("the socket: {0}")]
    Failed(io::Error),
}

impl NoProcessEvents {
    /// The reason as one word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OtherNamespace => "OtherNamespace",
            Self::Refused(_) => "Refused",
            Self::Silent => "Silent",
            Self::Incomplete => "Incomplete",
            Self::Failed(_) => "Failed",
        }
    }
}

/// A member of the group.
#[derive(Debug)]
pub struct ProcessEvents {
    socket: OwnedFd,
    buffer: Box<[u8]>,
}

/// What the socket received.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// This became of a process.
    Event(ProcessEvent),
    /// The kernel's answer to the observer's own request: 0, or an error.
    Answer(u32),
    /// Something else.
    Other,
    /// The kernel has dropped events, because there was no room.
    Overrun,
    /// Nothing at present.
    Nothing,
}

impl ProcessEvents {
    /// Joins the group, and makes sure that the kernel sends to it.
    ///
    /// # Errors
    /// No event would arrive.
    pub fn open() -> Result<Self, NoProcessEvents> {
        for (link, first) in FIRST {
            if fs::read_link(link).ok().as_deref() != Some(Path::new(first)) {
                return Err(NoProcessEvents::OtherNamespace);
            }
        }
        let mut events = Self::of(join().map_err(NoProcessEvents::Refused)?);
        events.await_answer(PATIENCE, |socket| ask(socket, WantedEvents::All))?;
        ask(&events.socket, WantedEvents::StartsAndPrograms).map_err(NoProcessEvents::Refused)?;
        Ok(events)
    }

    fn of(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; 4096].into() }
    }

    /// Events of a kernel that has stopped sending.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
        socket.set_nonblocking(true).unwrap();
        Self::of(socket.into())
    }

    /// Asks, and waits until the kernel has answered. What else arrives is nothing that is known already: events count
    /// from now on.
    fn await_answer(
        &mut self,
        patience: Duration,
        ask: impl Fn(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<(), NoProcessEvents> {
        ask(&self.socket).map_err(NoProcessEvents::Refused)?;
        let until = Instant::now() + patience;
        loop {
            match self.receive().map_err(NoProcessEvents::Failed)? {
                Received::Answer(0) => return Ok(()),
                Received::Answer(error) => {
                    let error = i32::try_from(error).map_or(Errno::INVAL, Errno::from_raw_os_error);
                    return Err(NoProcessEvents::Refused(error));
                }
                Received::Nothing => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(NoProcessEvents::Silent);
                    }
                    let left = Timespec::try_from(left).map_err(|_| NoProcessEvents::Silent)?;
                    match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left)) {
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => return Err(NoProcessEvents::Failed(error.into())),
                    }
                }
                // The answer may be among what was dropped.
                Received::Overrun if Instant::now() < until => {
                    ask(&self.socket).map_err(NoProcessEvents::Refused)?;
                }
                Received::Overrun => return Err(NoProcessEvents::Silent),
                Received::Event(_) | Received::Other => {}
            }
        }
    }

    /// What has arrived next.
    ///
    /// # Errors
    /// The socket cannot be used any more.
    pub fn receive(&mut self) -> io::Result<Received> {
        loop {
            return match recvfrom(&self.socket, &mut *self.buffer, RecvFlags::empty()) {
                Ok((length, _, sender)) => {
                    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
                    // The kernel sends one message in a datagram.
                    let message = messages(&self.buffer[..length.min(self.buffer.len())]).next();
                    let is_kernel = sender.is_some_and(|sender| sender.pid() == 0);
                    let message = message.filter(|_| is_kernel).map(|it| it.payload);
                    let event = message.and_then(ProcessEvent::parse).map(Received::Event);
                    let answer =
                        || message.and_then(|it| answer_to_request(it, REQUEST)).map(Received::Answer);
                    Ok(event.or_else(answer).unwrap_or(Received::Other))
                }
                Err(Errno::WOULDBLOCK) => Ok(Received::Nothing),
                Err(Errno::NOBUFS) => Ok(Received::Overrun),
                Err(Errno::INTR) => continue,
                Err(error) => Err(error.into()),
            };
        }
    }
}

impl AsFd for ProcessEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn join() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(CONNECTOR))?;
    // Less room is no reason to do without.
    let _ = set_socket_recv_buffer_size(&socket, ROOM);
    bind(&socket, &SocketAddrNetlink::new(0, PROCESSES))?;
    Ok(socket)
}

fn ask(socket: &OwnedFd, wanted: WantedEvents) -> Result<(), Errno> {
    let asked = ask_for_process_events(wanted, REQUEST);
    // struct nlmsghdr: the length of all, NLMSG_DONE, no flag, sequence, sender.
    let mut message = ((16 + asked.len()) as u32).to_ne_bytes().to_vec();
    message.extend(3_u16.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(asked);
    sendto(socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_takes_the_request_and_does_not_answer_is_silent() {
        let answered = ProcessEvents::silent().await_answer(Duration::ZERO, |_| Ok(()));
        assert!(matches!(answered, Err(NoProcessEvents::Silent)), "{answered:?}");
    }
}
