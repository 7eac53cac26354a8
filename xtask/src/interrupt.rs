//! SIGINT and SIGTERM ask for an orderly end: every wait in this crate returns an error, and the cluster is then torn
//! down while signals are deferred ([`defer_signals`]).

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::{io, thread};

use tokio::signal::unix::{SignalKind, signal};

static RECEIVED: AtomicI32 = AtomicI32::new(0);
static DEFERRALS: AtomicUsize = AtomicUsize::new(0);

/// The process was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by signal {0}")]
pub struct Interrupted(pub i32);

impl Interrupted {
    /// What a shell would report for a program that this signal ended: 130 for SIGINT, 143 for SIGTERM.
    pub fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(1)
    }
}

/// Does the work of a program that ends in an orderly way when SIGINT or SIGTERM arrives, prints the error that it ends
/// with, and returns the code to exit with.
pub fn exit_code_of<E: Display>(work: impl FnOnce() -> Result<ExitCode, E>) -> ExitCode {
    if let Err(error) = install() {
        eprintln!("error: cannot listen for signals: {error}");
        return ExitCode::FAILURE;
    }
    match (work(), received()) {
        (_, Some(interrupted)) => ExitCode::from(interrupted.exit_code()),
        (Ok(code), None) => code,
        (Err(error), None) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Listens for SIGINT and SIGTERM from now on, in a thread of its own. Without it they end the
/// process as usual, and the next start of a cluster clears what it left.
///
/// # Errors
/// When the handlers cannot be installed.
fn install() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let context = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(context);
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = terminate.recv() => SignalKind::terminate(),
                };
                RECEIVED.store(number.as_raw_value(), Ordering::SeqCst);
            }
        });
    })?;
    Ok(())
}

/// Fails once a signal has arrived, unless signals are deferred.
///
/// # Errors
/// The signal that arrived last.
pub fn check() -> Result<(), Interrupted> {
    if DEFERRALS.load(Ordering::SeqCst) > 0 {
        return Ok(());
    }
    received().map_or(Ok(()), Err)
}

/// While it lives, signals are remembered but interrupt nothing: a teardown must finish.
#[derive(Debug)]
#[must_use]
pub struct DeferredSignals(());

/// Defers signals until the returned value is dropped.
pub fn defer_signals() -> DeferredSignals {
    DEFERRALS.fetch_add(1, Ordering::SeqCst);
    DeferredSignals(())
}

impl Drop for DeferredSignals {
    fn drop(&mut self) {
        DEFERRALS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The signal that arrived last, even while signals are deferred.
pub fn received() -> Option<Interrupted> {
    match RECEIVED.load(Ordering::SeqCst) {
        0 => None,
        number => Some(Interrupted(number)),
    }
}
