//! `/metrics`, `/healthz` and `/readyz`, for every client that reaches the port: the kubelet, Prometheus, and any other.
//!
//! [`routes`] says what is answered. [`listen`] opens the address, [`server`] bounds what any connection may cost,
//! [`eviction`] says which connection is closed when there are too many, and [`texts`] bounds the answers in memory.

mod eviction;
mod listen;
mod routes;
mod server;
#[cfg(test)]
mod server_tests;
mod socket;
mod texts;

use std::net::SocketAddr;

use prometheus::Registry;

use crate::Readiness;
pub use listen::ListenError;

/// Opens `address` and returns the server, to be awaited; it ends when `shutdown` does. The address `[::]` stands for
/// IPv4, too, and for IPv4 alone where the kernel has no IPv6.
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
