//! The kernel's audit records, as they are sent to a netlink multicast group (`AUDIT_NLGRP_READLOG`, since Linux 3.16).
//!
//! A member of the group receives copies. Neither auditd, which is the one unicast receiver, nor the kernel's rules are
//! affected, and auditd need not run. The group asks for `CAP_AUDIT_READ` in the initial user namespace.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use audit::MAX_RECORD;
use rustix::io::Errno;
use rustix::net::netlink::{AUDIT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

/// `AUDIT_NLGRP_READLOG`, the first group, as a bit of the mask in an address.
const READLOG: u32 = 1;

/// A setting that exists only in the initial network namespace (`net/core/sysctl_net_core.c`: it is in `net_core_table`,
/// not in `netns_core_table`; tried on Linux 6.18). Below `/proc/sys/net`, a process sees the settings of its own
/// namespace.
const ONLY_INITIAL: &str = "/proc/sys/net/core/netdev_budget";

/// Why an observer receives no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Blind {
    /// The group refused the socket.
    #[error("the kernel refuses the audit records; the container needs the capability AUDIT_READ")]
    NoAuditRead,
    /// There is no audit in the kernel, or it was turned off when the node started.
    #[error("the kernel has no audit; it is compiled without CONFIG_AUDIT, or was started with audit=0")]
    NoAudit,
    /// The kernel sends records only to sockets of the initial network namespace. Joining the group works in others, too,
    /// and nothing ever arrives (tried on Linux 6.18).
    #[error(
        "the observer is not in the node's network namespace, and no record arrives in another; it needs hostNetwork"
    )]
    OtherNetworkNamespace,
    /// A seccomp filter, such as CRI-O's default one (`containers/common`, `pkg/seccomp/seccomp.json`: `EINVAL` without
    /// `CAP_AUDIT_WRITE`), or a security module.
    #[error(
        "the container's seccomp profile or SELinux refuses the audit socket; set observer.seccompProfile or \
         observer.seLinuxOptions"
    )]
    SocketRefused,
    /// Another error.
    #[error("the audit socket cannot be opened: {0}")]
    SocketFailed(Errno),
}

impl Blind {
    /// The reason as one word.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoAuditRead => "NoAuditRead",
            Self::NoAudit => "NoAudit",
            Self::OtherNetworkNamespace => "OtherNetworkNamespace",
            Self::SocketRefused => "SocketRefused",
            Self::SocketFailed(_) => "SocketFailed",
        }
    }

    fn from_socket(error: Errno) -> Self {
        match error {
            // `audit_net_init` registers the protocol; without it, there is none of this number.
            Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => Self::NoAudit,
            // The kernel itself answers neither for a raw socket of this family (`netlink_create`).
            Errno::INVAL | Errno::PERM | Errno::ACCESS => Self::SocketRefused,
            error => Self::SocketFailed(error),
        }
    }

    fn from_bind(error: Errno) -> Self {
        match error {
            Errno::PERM | Errno::ACCESS => Self::NoAuditRead,
            error => Self::SocketFailed(error),
        }
    }
}

/// A member of the group.
#[derive(Debug)]
pub struct AuditSocket {
    socket: OwnedFd,
    buffer: Box<[u8]>,
}

/// What a socket received.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A datagram of netlink messages from the kernel.
    Datagram(&'a [u8]),
    /// The kernel has dropped datagrams, because the socket's buffer was full. How many, the serials tell.
    Overrun,
    /// What another process sent; nobody has a reason to.
    Foreign,
    /// Nothing at present.
    Nothing,
}

impl AuditSocket {
    /// Joins the group.
    ///
    /// # Errors
    /// No record would arrive.
    pub fn open() -> Result<Self, Blind> {
        raise_audit_read();
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(AUDIT))
            .map_err(Blind::from_socket)?;
        bind(&socket, &SocketAddrNetlink::new(0, READLOG)).map_err(Blind::from_bind)?;
        if !Path::new(ONLY_INITIAL).exists() {
            return Err(Blind::OtherNetworkNamespace);
        }
        // A record and its header; the kernel cuts what is longer.
        Ok(Self { socket, buffer: vec![0; MAX_RECORD + 1024].into() })
    }

    /// Waits for the next datagram.
    ///
    /// # Errors
    /// The socket cannot be used any more.
    pub fn receive(&mut self) -> io::Result<Received<'_>> {
        self.receive_with(RecvFlags::empty())
    }

    /// The next datagram, if there is one.
    ///
    /// # Errors
    /// The socket cannot be used any more.
    pub fn receive_now(&mut self) -> io::Result<Received<'_>> {
        self.receive_with(RecvFlags::DONTWAIT)
    }

    fn receive_with(&mut self, flags: RecvFlags) -> io::Result<Received<'_>> {
        loop {
            match recvfrom(&self.socket, &mut *self.buffer, flags) {
                Ok((length, _, sender)) => {
                    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
                    if sender.is_none_or(|sender| sender.pid() != 0) {
                        return Ok(Received::Foreign);
                    }
                    return Ok(Received::Datagram(&self.buffer[..length.min(self.buffer.len())]));
                }
                Err(Errno::WOULDBLOCK) => return Ok(Received::Nothing),
                Err(Errno::NOBUFS) => return Ok(Received::Overrun),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for AuditSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Makes the capability effective where it is permitted: the program's file permits it only, because the kernel would
/// refuse to start a program with an effective one that its container does not have. Where it is not permitted, the socket
/// shows that.
fn raise_audit_read() {
    if let Ok(mut sets) = capabilities(None) {
        sets.effective |= sets.permitted & CapabilitySet::AUDIT_READ;
        let _ = set_capabilities(None, sets);
    }
}

/// Gives up every capability of this thread and of the threads that it will start, and the way to new ones. The socket
/// stays in the group.
///
/// # Errors
/// The kernel refused.
pub fn give_up_privileges() -> io::Result<()> {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(set_no_new_privs(true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_answers_says_why_an_observer_is_blind() {
        assert_eq!(Blind::from_socket(Errno::PROTONOSUPPORT), Blind::NoAudit);
        assert_eq!(Blind::from_socket(Errno::INVAL), Blind::SocketRefused);
        assert_eq!(Blind::from_socket(Errno::MFILE), Blind::SocketFailed(Errno::MFILE));
        assert_eq!(Blind::from_bind(Errno::PERM), Blind::NoAuditRead);
        assert_eq!(Blind::from_bind(Errno::NOMEM), Blind::SocketFailed(Errno::NOMEM));
    }
}
