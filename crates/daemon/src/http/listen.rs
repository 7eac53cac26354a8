//! Opens the address, for IPv6 and IPv4 if possible.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_tcp_user_timeout};
use tokio::net::{TcpListener, TcpSocket};

/// The maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// The kernel's buffers for one connection, in bytes (it doubles both). They count as the pod's memory in cgroup v2,
/// and without a limit the kernel would buffer a long answer completely.
const RECEIVE_BUFFER: u32 = 8 * 1024;
const SEND_BUFFER: u32 = 32 * 1024;

/// How long the kernel keeps offering a complete answer that the client does not read.
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
    listen(address, BACKLOG, limit)
}

/// Opens `address` with a socket that `configure` has prepared, on which at most `backlog` connections wait. The address
/// `[::]` includes IPv4, and means only IPv4 if the kernel has no IPv6.
///
/// # Errors
/// The address cannot be opened.
pub fn listen(
    address: SocketAddr,
    backlog: u32,
    configure: impl Fn(&TcpSocket) -> io::Result<()>,
) -> Result<TcpListener, ListenError> {
    open_with(address, |address| {
        let socket = socket(address)?;
        configure(&socket)?;
        socket.bind(address)?;
        socket.listen(backlog)
    })
}

/// Like [`listen`], but `listener` opens the socket.
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

/// Whether the error means that the kernel has no IPv6: `ipv6.disable=1` on its command line causes the first
/// (`socket(2)`), an interface without IPv6 the second (`bind(2)`).
fn is_without_ipv6(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(ip) => {
            let socket = TcpSocket::new_v6()?;
            // Independent of the node's net.ipv6.bindv6only.
            set_ipv6_v6only(&socket, ip != Ipv6Addr::UNSPECIFIED)?;
            socket
        }
    };
    // A restarted program need not wait for the remains of its predecessor's connections.
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

/// Limits what the kernel keeps for a connection.
fn limit(socket: &TcpSocket) -> io::Result<()> {
    // A connection inherits these from the listening socket.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    set_tcp_user_timeout(socket, u32::try_from(ANSWER.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    fn any() -> SocketAddr {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    }

    #[tokio::test]
    async fn by_default_the_server_listens_on_both_families() {
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
    fn without_ipv6_the_server_listens_on_ipv4_only() {
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
    fn a_configured_or_occupied_address_is_not_replaced_by_another() {
        for (address, errno) in [("[2001:db8::1]:8080", Errno::ADDRNOTAVAIL), ("[::]:8080", Errno::ADDRINUSE)]
        {
            let opened = open_with(address.parse().unwrap(), |_| Err::<(), _>(errno.into()));
            let error = opened.unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
        }
    }
}
