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
use crate::notify::{News, Watch};
use crate::options::Options;
use crate::own_status::OwnState;
use crate::reporter::Reporter;
use crate::watches::ClusterLoad;
use crate::worker::{Command, Revision};
use crate::{watches, worker};

/// How often what went wrong is tried again, and whether the directory is still the one.
const RETRY: Duration = Duration::from_secs(5);

/// How long the last report may take once the program is to end.
const LAST_REPORT: Duration = Duration::from_secs(2);

/// How long the node's own status is not asked for while there is no list of profiles.
const WITHOUT_LIST: Duration = Duration::from_secs(10);

/// How long the write under way may take then.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// How often a directory that another agent still has is asked for.
const LOCKED: Duration = Duration::from_millis(500);

/// Why the agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The directory is not the one any more that the kubelet's runtime sees.
    #[error("{0}; a new start opens the one that is there now")]
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
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// The thread that owns the directory is gone.
    #[error("the disk's thread ended")]
    Worker,
}

/// Runs the agent until the process is told to end.
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
        client: link::client::connect(watches::LONGEST_WATCH).await?,
        metrics,
        budget: options.memory_limit.map(Budget::of).unwrap_or_default(),
        disk,
        opened,
        listed,
    };
    agent.run(shutdown).await
}

/// An agent without the process around it.
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
        let (own, own_status) = watch::channel(OwnState::Unknown);
        let (load, load_seen) = watch::channel(ClusterLoad::default());
        let mut reporter = Reporter::new(
            client.clone(),
            node.clone(),
            own_status,
            load_seen,
            worker.revision.clone(),
            worker.commands.clone(),
            metrics.clone(),
        );
        let measured = &metrics.watches;
        let outcome = {
            let parts = futures::future::join5(
                watches::profiles(
                    client.clone(),
                    node.clone(),
                    listeners,
                    worker.commands.clone(),
                    load,
                    measured.of(Kind::Profile),
                    budget,
                ),
                async {
                    first_list(worker.revision.clone()).await;
                    watches::own_status(client, node.clone(), own, measured.of(Kind::OwnStatus)).await;
                },
                directory_news(descriptor, node, check_interval, worker.commands.clone()),
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
                if timeout(LAST_REPORT, reporter.lost(&lost.report)).await.is_err() {
                    tracing::warn!(%node, "the last report took too long");
                }
                return Err(lost.why.into());
            }
            Err(_) => return Err(Fatal::Worker),
            Ok(()) => {}
        }
        tracing::info!(%node, "ending");
        if timeout(LAST_REPORT, reporter.last()).await.is_err() {
            tracing::warn!(%node, "the last report took too long");
        }
        // With the last sender gone the worker ends after what it is doing.
        drop((reporter, worker.commands));
        if timeout(LAST_WRITE, &mut worker.ended).await.is_err() {
            tracing::warn!(%node, "the disk does not answer; the ledger knows what was under way");
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
                    tracing::warn!(%node, %error, "waiting for it to end");
                }
                sleep(LOCKED).await;
            }
            opened => return opened,
        }
    }
}

/// Hands what happens in the directory to the worker.
async fn directory_news(
    directory: OwnedFd,
    node: &NodeName,
    check_interval: Duration,
    worker: mpsc::Sender<Command>,
) {
    let mut watched_before = false;
    loop {
        match Watch::new(std::os::fd::AsFd::as_fd(&directory)) {
            Ok(watch) => {
                if std::mem::replace(&mut watched_before, true) {
                    // What happened without a watch is unknown.
                    let _ = worker.send(Command::Check).await;
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

async fn forward(watch: &Watch, worker: &mpsc::Sender<Command>) -> io::Result<()> {
    loop {
        let news = watch.next().await?;
        let lost = news == News::Lost;
        let command = match news {
            News::Files(files) => Command::Touched(files),
            News::Lost | News::Directory => Command::Directory,
            News::Everything => Command::Check,
        };
        if worker.send(command).await.is_err() {
            future::pending::<()>().await;
        }
        if lost {
            return Err(io::ErrorKind::NotFound.into());
        }
    }
}

/// Tells the worker the time.
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
            _ = check.tick() => Command::Check,
        };
        if worker.send(command).await.is_err() {
            future::pending::<()>().await;
        }
    }
}

/// Until the first complete list is on the disk: before, there is nothing to report, and of agents that start together each
/// would ask for two lists at once where an API server lets no more wait than it has places for. Not for ever: that the
/// directory is lost is told even if no list comes.
async fn first_list(mut revision: watch::Receiver<Revision>) {
    let _ = timeout(WITHOUT_LIST, revision.wait_for(|revision| *revision > 0)).await;
}

/// Ready once the first complete list is on the disk. The report does not count: the operator may be away.
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
        let watch = Watch::new(opened.as_fd()).unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::remove_file(directory.path().join("a.json")).unwrap();
        let (sender, mut commands) = mpsc::channel(4);
        let told = tokio::select! {
            _ = forward(&watch, &sender) => panic!("the directory is still there"),
            told = commands.recv() => told,
        };
        // It says nothing of files, but all are looked at then.
        assert!(matches!(told, Some(Command::Directory)), "{told:?}");
    }
}
