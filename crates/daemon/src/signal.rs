//! Waits for the signal to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM (the kubelet's) or SIGINT (a terminal's).
///
/// The handlers are installed once this returns; a signal that arrives before the future is polled is not lost.
///
/// # Errors
/// The signal handlers cannot be set.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
