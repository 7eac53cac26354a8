//! Puts the parts together.

use std::future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::NodeName;
use daemon::{Pulse, Readiness, ReadyHandle};
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::budget::Budget;
use crate::disk::{Directory, Displaced, OpenError};
use crate::goal::Listeners;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::metrics::{Kind, Metrics};
use crate::notify::{DirectoryEvent, DirectoryWatch};
use crate::options::Options;
use crate::profiles::Profiles;
use crate::reporter::Reporter;
use crate::status_object::StatusObjectState;
use crate::watches::ClusterLoad;
use crate::worker::{Command, Revision};
use crate::{watches, worker};

/// How often what has failed is tried again, and the identity of the directory is checked.
const RETRY: Duration = Duration::from_secs(5);

/// How long the last report may take once the program is to end.
const LAST_REPORT: Duration = Duration::from_secs(2);

/// How long the watch of the node's status object waits for the first list of profiles.
const WITHOUT_LIST: Duration = Duration::from_secs(10);

/// How long a write that is under way may take then.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// How often the agent tries to open a directory that another agent still has open.
const LOCKED: Duration = Duration::from_millis(500);

/// Why the agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The directory is not the one any more that the kubelet's runtime sees.
    #[error("{0}; the next start opens the directory that is there now")]
    Displaced(#[from] Displaced),
    /// There is no way to the API server.
    #[error(transparent)]
    Connect(#[from] link::client::ConnectError),
    /// The probes cannot be served.
    #[error(transparent)]
    Listen(#[from] daemon::http::ListenError),
    /// A metric is registered twice.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The kernel refused a thread, a descriptor or a signal handler.
    #[error("the kernel refused: {0}")]
    System(#[from] io::Error),
    /// The thread that owns the directory is gone.
    #[error("the thread of the disk has ended")]
    Worker,
}

/// Runs the agent until the process is signalled to end.
///
/// # Errors
/// What it cannot go on without is missing or lost.
pub async fn run(options: Options) -> Result<(), Fatal> {
    let shutdown = daemon::shutdown_signal()?;
    let registry = daemon::metrics::registry("node-agent", env!("CARGO_PKG_VERSION"))?;
    let metrics = Metrics::new(&registry)?;
    metrics.checks_every(options.check_interval);
    let readiness = Readiness::default();
    let (opened, listed) = (readiness.part("directory"), readiness.part("profiles"));
    let disk = readiness.pulse("disk");
    tokio::spawn(daemon::http::serve(options.listen, registry, readiness, future::pending()).await?);
    let agent = Agent {
        path: options.path(),
        listeners: options.listeners(),
        node: options.node_name,
        check_interval: options.check_interval,
        client: link::client::connect(watches::MAX_WATCH).await?,
        metrics,
        budget: options.memory_limit.map(Budget::of).unwrap_or_default(),
        disk,
        opened,
        listed,
    };
    agent.run(shutdown).await
}

/// An agent as a part of a process.
pub struct Agent {
    /// The node that it keeps the files of.
    pub node: NodeName,
    /// The directory that it keeps.
    pub path: PathBuf,
    /// How often every byte of every file is read.
    pub check_interval: Duration,
    /// Whether profiles may name a listener.
    pub listeners: Listeners,
    /// The API server.
    pub client: Client,
    /// What it counts.
    pub metrics: Metrics,
    /// What it has room for.
    pub budget: Budget,
    /// Shows that the thread which owns the directory does not hang.
    pub disk: Pulse,
    /// Told once it has the directory.
    pub opened: ReadyHandle,
    /// Told once the first complete list is on the disk.
    pub listed: ReadyHandle,
}

impl Agent {
    /// Keeps the files until `shutdown`.
    ///
    /// # Errors
    /// What it cannot go on without is missing or lost.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Fatal> {
        let Self { node, path, check_interval, listeners, client, metrics, budget, disk, opened, listed } =
            self;
        let node = &node;
        let mut shutdown = std::pin::pin!(shutdown);
        let directory = tokio::select! {
            directory = open(&path, node, &disk) => directory?,
            () = &mut shutdown => return Ok(()),
        };
        opened.ready();
        tracing::info!(%node, directory = %path.display(), version = env!("CARGO_PKG_VERSION"), "agent started");

        let descriptor = directory.descriptor().try_clone_to_owned()?;
        let keeper = Keeper::new(directory);
        disk.ends();
        let journal = Journal::new(node.clone(), metrics.clone());
        let mut worker = worker::start(keeper, journal, disk)?;
        let (own, own_status) = watch::channel(StatusObjectState::Unknown);
        let (word, word_heard) = watch::channel(None);
        let (load, load_seen) = watch::channel(ClusterLoad::default());
        let mut reporter = Reporter::new(
            client.clone(),
            node.clone(),
            own_status,
            load_seen.clone(),
            worker.revision.clone(),
            worker.reports(),
            metrics.clone(),
        );
        let measured = &metrics.watches;
        let outcome = {
            let parts = futures::future::join5(
                watches::profiles(
                    client.clone(),
                    node.clone(),
                    Profiles::new(listeners, budget),
                    word_heard,
                    worker.commands.clone(),
                    load,
                    measured.of(Kind::Profile),
                ),
                async {
                    first_list(worker.revision.clone()).await;
                    let measured = measured.of(Kind::NodeStatus);
                    watches::node_status(client, node.clone(), own, word, load_seen, measured).await;
                },
                watch_directory(descriptor, node, check_interval, worker.commands.clone()),
                ticks(check_interval, worker.commands.clone()),
                ready(worker.revision.clone(), listed),
            );
            tokio::select! {
                ended = &mut worker.ended => Err(ended),
                _ = parts => Ok(()),
                () = reporter.run() => Ok(()),
                () = &mut shutdown => Ok(()),
            }
        };
        match outcome {
            Err(Ok(Err(lost))) => {
                if timeout(LAST_REPORT, reporter.report_loss(&lost.report)).await.is_err() {
                    tracing::warn!(%node, "the last report took too long");
                }
                return Err(lost.why.into());
            }
            Err(_) => return Err(Fatal::Worker),
            Ok(()) => {}
        }
        tracing::info!(%node, "shutting down");
        if timeout(LAST_REPORT, reporter.report_last()).await.is_err() {
            tracing::warn!(%node, "the last report took too long");
        }
        // Once the last sender is gone, the worker completes its pass and ends.
        drop((reporter, worker.commands));
        if timeout(LAST_WRITE, &mut worker.ended).await.is_err() {
            tracing::warn!(%node, "the disk does not answer; the next start completes what the ledger lists");
        }
        Ok(())
    }
}

/// Opens the directory, once an agent that is still ending has let it go.
async fn open(path: &Path, node: &NodeName, disk: &Pulse) -> Result<Directory<Pulse>, OpenError> {
    let mut waited = false;
    loop {
        match Directory::with_faults(path, disk.clone()) {
            Err(error @ OpenError::Locked { .. }) => {
                if !std::mem::replace(&mut waited, true) {
                    tracing::warn!(%node, %error, "waiting until the other agent has ended");
                }
                sleep(LOCKED).await;
            }
            opened => return opened,
        }
    }
}

/// Sends what happens in the directory to the worker.
async fn watch_directory(
    directory: OwnedFd,
    node: &NodeName,
    check_interval: Duration,
    worker: mpsc::Sender<Command>,
) {
    let mut watched_before = false;
    loop {
        match DirectoryWatch::new(std::os::fd::AsFd::as_fd(&directory)) {
            Ok(watch) => {
                if std::mem::replace(&mut watched_before, true) {
                    // What happened without a watch is unknown.
                    let _ = worker.send(Command::CheckAll).await;
                }
                if let Err(error) = forward(&watch, &worker).await {
                    tracing::warn!(%node, %error, "the watch on the directory is lost");
                }
            }
            Err(error) => {
                watched_before = true;
                tracing::warn!(%node, %error, "no watch on the directory: only the full checks find changes");
            }
        }
        sleep(check_interval.min(RETRY)).await;
    }
}

async fn forward(watch: &DirectoryWatch, worker: &mpsc::Sender<Command>) -> io::Result<()> {
    loop {
        let event = watch.next().await?;
        let lost = event == DirectoryEvent::Lost;
        let command = match event {
            DirectoryEvent::Files(files) => Command::FilesChanged(files),
            DirectoryEvent::Lost | DirectoryEvent::Directory => Command::DirectoryChanged,
            DirectoryEvent::Overflow => Command::CheckAll,
        };
        if worker.send(command).await.is_err() {
            future::pending::<()>().await;
        }
        if lost {
            return Err(io::ErrorKind::NotFound.into());
        }
    }
}

/// Sends the worker the commands that are due from time to time.
async fn ticks(check_interval: Duration, worker: mpsc::Sender<Command>) {
    let ticker = |period| {
        let mut ticker = interval(period);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticker.reset();
        ticker
    };
    let (mut retry, mut check) = (ticker(RETRY), ticker(check_interval));
    loop {
        let command = tokio::select! {
            _ = retry.tick() => Command::Retry,
            _ = check.tick() => Command::CheckAll,
        };
        if worker.send(command).await.is_err() {
            future::pending::<()>().await;
        }
    }
}

/// Waits until the first complete list is on the disk: before, there is nothing to report, and agents that start
/// together would each request two lists at once, of an API server that lets a bounded number of requests wait. Waits
/// for a bounded time: the loss of the directory is reported even if no list comes.
async fn first_list(mut revision: watch::Receiver<Revision>) {
    let _ = timeout(WITHOUT_LIST, revision.wait_for(|revision| *revision > 0)).await;
}

/// The agent is ready once the first complete list is on the disk, whether or not it could report it: the operator may
/// be down.
async fn ready(mut revision: watch::Receiver<Revision>, listed: ReadyHandle) {
    if revision.wait_for(|revision| *revision > 0).await.is_ok() {
        listed.ready();
    }
    future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn what_is_done_to_files_together_with_the_directory_is_not_lost() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.json"), "{}").unwrap();
        let opened = std::fs::File::open(directory.path()).unwrap();
        let watch = DirectoryWatch::new(opened.as_fd()).unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::remove_file(directory.path().join("a.json")).unwrap();
        let (sender, mut commands) = mpsc::channel(4);
        let command = tokio::select! {
            _ = forward(&watch, &sender) => panic!("the directory is still there"),
            command = commands.recv() => command,
        };
        // It names no files, but all of them are examined then.
        assert!(matches!(command, Some(Command::DirectoryChanged)), "{command:?}");
    }
}
