//! Opens the address, for both families where it can.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_tcp_user_timeout};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted at most.
const BACKLOG: u32 = 1024;

/// Bytes of one connection that the kernel keeps unread by us, and those that it keeps unread by the other side (it doubles
/// both). They count as the pod's memory in cgroup v2, and a kernel left to itself takes all of a long answer at once.
const RECEIVE_BUFFER: u32 = 8 * 1024;
const SEND_BUFFER: u32 = 32 * 1024;

/// How long the kernel offers an answer that was written to the end, and that nobody takes.
const ANSWER: Duration = Duration::from_secs(10);

/// Why the endpoints cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Opens `address`.
pub(super) fn open(address: SocketAddr) -> Result<TcpListener, ListenError> {
    open_with(address, listener)
}

/// As [`open`], where `listener` asks the kernel.
fn open_with<T>(
    address: SocketAddr,
    mut listener: impl FnMut(SocketAddr) -> io::Result<T>,
) -> Result<T, ListenError> {
    match listener(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&error) => {
            let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            tracing::info!(%address, "the kernel has no IPv6; listening on IPv4 alone");
            listener(address).map_err(|source| ListenError { address, source })
        }
        opened => opened.map_err(|source| ListenError { address, source }),
    }
}

/// Whether the kernel does not do IPv6: `ipv6.disable=1` on its command line gives the first (`socket(2)`), an interface
/// without IPv6 the second (`bind(2)`).
fn is_without_ipv6(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(ip) => {
            let socket = TcpSocket::new_v6()?;
            // Whatever the node's net.ipv6.bindv6only says.
            set_ipv6_v6only(&socket, ip != Ipv6Addr::UNSPECIFIED)?;
            socket
        }
    };
    // A program that starts again does not wait for what is left of its predecessor's connections.
    socket.set_reuseaddr(true)?;
    // A connection has these from the socket that it was accepted from.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    set_tcp_user_timeout(&socket, u32::try_from(ANSWER.as_millis()).unwrap_or(u32::MAX))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    fn any() -> SocketAddr {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    }

    #[tokio::test]
    async fn by_default_both_families_are_listened_to() {
        // A kernel without IPv6 is the other test's.
        if TcpSocket::new_v6().is_err() {
            return;
        }
        let listener = open(any()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_canonical(), Ipv4Addr::LOCALHOST);
        assert_eq!(connected.local_addr().unwrap().port(), peer.port());
        if let Ok(connected) = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await {
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, connected.local_addr().unwrap());
        }
    }

    #[test]
    fn where_the_kernel_has_no_ipv6_ipv4_alone_is_listened_to() {
        for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let mut asked = Vec::new();
            let opened = open_with("[::]:8080".parse().unwrap(), |address| {
                asked.push(address.to_string());
                if address.is_ipv6() { Err(errno.into()) } else { Ok(()) }
            });
            opened.unwrap();
            assert_eq!(asked, ["[::]:8080", "0.0.0.0:8080"]);
        }
    }

    #[test]
    fn an_address_that_somebody_chose_or_that_is_taken_is_not_replaced() {
        for (address, errno) in [("[2001:db8::1]:8080", Errno::ADDRNOTAVAIL), ("[::]:8080", Errno::ADDRINUSE)]
        {
            let opened = open_with(address.parse().unwrap(), |_| Err::<(), _>(errno.into()));
            let error = opened.unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
        }
    }
}
