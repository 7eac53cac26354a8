//! The open connections of a port, each with a task of its own, and at most as many as the port may have.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet, yield_now};

use super::eviction::{Candidate, evict};

/// The open connections of a port. Dropping them ends all their tasks.
#[derive(Debug)]
pub struct Connections {
    most: usize,
    /// Oldest first.
    open: Vec<Connection>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Connection {
    source: IpAddr,
    is_answered: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Connections {
    /// None yet, and never more than `most`.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, open: Vec::new(), tasks: JoinSet::new() }
    }

    /// Starts the task of a new connection, which `serve` makes; returns whether another connection was closed for it,
    /// because there were too many. The task sets the flag while a complete request is answered: such a connection is
    /// the last of its source to be closed.
    pub async fn add<F>(&mut self, source: IpAddr, serve: impl FnOnce(Arc<AtomicBool>) -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.task.is_finished());
        let is_full = self.open.len() >= self.most;
        if is_full {
            self.make_room(source);
        }
        let is_answered = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(serve(Arc::clone(&is_answered)));
        self.open.push(Connection { source, is_answered, task });
        // A request that has arrived is read before the next connection is accepted, which might evict this one.
        yield_now().await;
        is_full
    }

    /// Closes one connection for a new one from `new_source`.
    fn make_room(&mut self, new_source: IpAddr) {
        let candidate = |connection: &Connection| Candidate {
            source: connection.source,
            is_answered: connection.is_answered.load(Ordering::Relaxed),
        };
        let candidates: Vec<_> = self.open.iter().map(candidate).collect();
        if let Some(index) = evict(&candidates, new_source) {
            self.open.remove(index).task.abort();
        }
    }
}

/// The next connection, with its source.
///
/// # Errors
/// The kernel accepts none, because it has no descriptor left, for example. A connection that was closed before it was
/// accepted is passed over.
pub async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, IpAddr)> {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return Ok((stream, address.ip().to_canonical())),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
