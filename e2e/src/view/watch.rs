//! The output of a kubectl that watches, piece by piece.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use cluster::Client;
use serde_json::Value;
use xtask::command::CommandError;

/// A kubectl that watches, until it is dropped.
#[derive(Debug)]
pub struct Watch<T> {
    child: Child,
    pieces: Receiver<T>,
}

/// An event of a watch.
#[derive(Debug, Clone)]
pub struct Event {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub kind: String,
    /// The object.
    pub object: Value,
    /// When it was read.
    pub at: Instant,
}

impl Watch<Event> {
    /// Watches objects: `arguments` follow `kubectl get`. It begins with what there is, as `ADDED`.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub fn objects(client: &Client, arguments: &[&str]) -> Result<Self, CommandError> {
        let all = [arguments, &["-o", "json", "--output-watch-events"]].concat();
        Self::start(client, &all, |stdout, events| {
            // A stream that ends delivers no more events, so a caller that waits for one gets its own time-out.
            for mut event in serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().flatten() {
                let kind = event["type"].as_str().unwrap_or_default().to_owned();
                if events.send(Event { kind, object: event["object"].take(), at: Instant::now() }).is_err() {
                    return;
                }
            }
        })
    }
}

impl Watch<String> {
    /// Watches the lines of kubectl's table: `arguments` follow `kubectl get`.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub fn lines(client: &Client, arguments: &[&str]) -> Result<Self, CommandError> {
        Self::start(client, arguments, |stdout, lines| {
            for line in stdout.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        })
    }
}

impl<T: Send + 'static> Watch<T> {
    fn start(
        client: &Client,
        arguments: &[&str],
        read: impl FnOnce(BufReader<ChildStdout>, Sender<T>) + Send + 'static,
    ) -> Result<Self, CommandError> {
        let mut command = client.command("kubectl");
        command.arg("get").args(arguments).arg("--watch");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command
            .spawn()
            .map_err(|source| CommandError::NotRun { program: "kubectl".to_owned(), source })?;
        let (sender, pieces) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || read(BufReader::new(stdout), sender));
        }
        Ok(Watch { child, pieces })
    }

    /// The next piece, or nothing if none comes within `limit`.
    pub fn next(&self, limit: Duration) -> Option<T> {
        self.pieces.recv_timeout(limit).ok()
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
