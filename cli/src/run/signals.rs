//! The signals that end a command which must undo something first.

use std::cell::Cell;

use tokio::sync::watch;

use crate::error::CliError;

/// The wishes of the user, or of who ends the session, to end the command: interrupts (Ctrl-C), and on Unix the signals TERM
/// and HUP. From its creation on they do not end the program any more.
#[derive(Debug)]
pub(super) struct Signals {
    number: watch::Receiver<u32>,
    is_first: Cell<bool>,
}

impl Signals {
    /// Counts signals from now on.
    ///
    /// # Errors
    /// The system does not let it.
    pub(super) fn new() -> Result<Self, CliError> {
        let (sender, number) = watch::channel(0);
        let mut signals = Source::new().map_err(CliError::Output)?;
        tokio::spawn(async move {
            loop {
                signals.next().await;
                sender.send_modify(|number| *number += 1);
            }
        });
        Ok(Self { number, is_first: Cell::new(true) })
    }

    /// Waits for a signal: the first time for one since the creation, and then for a further one.
    pub(super) async fn next(&self) {
        let mut number = self.number.clone();
        let seen = if self.is_first.replace(false) { 0 } else { *number.borrow() };
        if number.wait_for(|number| *number > seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
struct Source([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Source {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
impl Source {
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn send(signal: &str) {
        let own = std::process::id().to_string();
        let status = std::process::Command::new("kill").args(["-s", signal, &own]).status();
        assert!(status.unwrap().success());
    }

    #[tokio::test]
    async fn the_first_wait_ends_with_a_signal_that_came_before_it_and_the_next_with_a_further_one() {
        let signals = Signals::new().unwrap();
        let mut number = signals.number.clone();
        send("TERM");
        number.wait_for(|number| *number == 1).await.unwrap();
        signals.next().await;
        let next = signals.next();
        tokio::pin!(next);
        tokio::select! {
            biased;
            () = &mut next => panic!("there was no further one"),
            () = std::future::ready(()) => {}
        }
        send("HUP");
        next.await;
    }
}
