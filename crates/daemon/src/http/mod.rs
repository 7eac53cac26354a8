//! `/metrics`, `/healthz` and `/readyz`, for every client that reaches the port: the kubelet, Prometheus, and any
//! other.
//!
//! [`routes`] has the endpoints. [`mod@listen`] opens the address, [`server`] limits the cost of each connection,
//! [`connections`] limits their number, [`eviction`] chooses the connection to close when there are too many, and [`texts`] limits the answers in memory.

mod connections;
mod eviction;
mod listen;
mod routes;
mod server;
mod socket;
#[cfg(test)]
mod tests;
mod texts;

use std::net::SocketAddr;

use prometheus::Registry;

use crate::Readiness;
pub use connections::{Connections, accept};
pub use listen::{ListenError, listen};

/// Opens `address` and returns the server, to be awaited; it ends when `shutdown` does. The address `[::]` includes
/// IPv4, and means only IPv4 if the kernel has no IPv6.
///
/// # Errors
/// The address cannot be opened.
pub async fn serve(
    address: SocketAddr,
    registry: Registry,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<impl Future<Output = ()>, ListenError> {
    let listener = listen::open(address)?;
    let server = server::run(listener, routes::routes(registry, readiness));
    Ok(async move {
        tokio::select! {
            () = server => {}
            () = shutdown => {}
        }
    })
}
