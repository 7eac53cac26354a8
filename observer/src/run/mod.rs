//! Puts the parts together.

use std::path::Path;
use std::time::Duration;
use std::{fs, future, io};

use api::{NodeName, ObservationReport};
use audit::{Container, ContainerId, Count};
use daemon::Readiness;
use link::backoff::Backoff;
use link::chain;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::audit_socket::{AuditSocket, Blind};
use crate::callers::Callers;
use crate::metrics::Metrics;
use crate::observation::{Observation, Shared, read};
use crate::options::Options;
use crate::process::{Processes, now};
use crate::process_events::ProcessEvents;
use crate::reporter::Reporter;
use crate::{log_links, report};

/// How often the observer looks for news.
const TICK: Duration = Duration::from_secs(1);

/// The shortest time between two reports.
const PACE: Duration = Duration::from_secs(30);

/// How long the last report may take once the program is to end.
const LAST_REPORT: Duration = Duration::from_secs(3);

/// Calls that were last made this many milliseconds ago are forgotten: a week.
const FORGOTTEN_AFTER: u64 = 7 * 24 * 60 * 60 * 1000;

/// For how many milliseconds a container that makes calls may have no name: the kubelet links its log only once it has
/// started, and a busy one takes its time.
const NAMED_WITHIN: u64 = 60 * 1000;

/// The kernel's number of the node's present run.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Why the observer cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// There is no way to the API server.
    #[error(transparent)]
    Connect(#[from] link::client::ConnectError),
    /// The probes cannot be served.
    #[error(transparent)]
    Listen(#[from] daemon::http::ListenError),
    /// A metric is registered twice.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A file of the kernel cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused a thread or a signal handler.
    #[error("the kernel refused: {0}")]
    System(#[from] io::Error),
    /// The audit socket cannot be used any more.
    #[error("the audit socket: {0}")]
    Socket(io::Error),
}

/// Observes until the process is signalled to end. Without a socket it reports why, and observes nothing.
///
/// # Errors
/// What it cannot go on without is missing or lost.
pub async fn run(options: Options, socket: Result<AuditSocket, Blind>) -> Result<(), Fatal> {
    let shutdown = daemon::shutdown_signal()?;
    let registry = daemon::metrics::registry("observer", env!("CARGO_PKG_VERSION"))?;
    let metrics = Metrics::new(&registry)?;
    let readiness = Readiness::default();
    let loaded = readiness.part("earlier report");
    tokio::spawn(daemon::http::serve(options.listen, registry, readiness, future::pending()).await?);
    let node = options.node_name;
    let file = |path: &Path| {
        let path = path.display().to_string();
        move |source| Fatal::File { path, source }
    };
    let processes = Processes::new(&options.proc).map_err(file(&options.proc))?;
    // Before anything is awaited, so that a record that waits meanwhile has its process's events. Without records nobody would
    // read them.
    let sources = socket.map(|socket| {
        let events = ProcessEvents::open();
        (socket, Callers::new(node.clone(), processes, events, metrics.clone()))
    });
    let boot = fs::read_to_string(BOOT_ID).map_err(file(Path::new(BOOT_ID)))?.trim().to_owned();
    let client = link::client::connect(link::client::DEFAULT_WATCH_LIMIT).await?;
    let namespace = client.default_namespace().to_owned();
    let reporter = Reporter::new(client, node.clone(), metrics.clone());
    let mut shutdown = std::pin::pin!(shutdown);
    tracing::info!(%node, version = env!("CARGO_PKG_VERSION"), "observer started");
    // Meanwhile, records wait in the socket; those for which it has no room are counted by their serials.
    let earlier = tokio::select! {
        earlier = reporter.load() => earlier,
        () = &mut shutdown => return Ok(()),
    };
    let seen = earlier.clone().map_or_else(Observation::default, |report| report::restored(report, &boot));
    loaded.ready();
    let blind = sources.as_ref().err().copied();
    metrics.blind(blind.is_some());
    let shared = Shared::new(seen);
    let reading = match sources {
        Ok((socket, callers)) => Some(read(socket, callers, shared.clone(), metrics.clone())?),
        Err(blind) => {
            tracing::error!(%node, reason = blind.reason(), message = %blind, "no audit record arrives");
            None
        }
    };
    let lost = shared.lock().serials.lost();
    let mut observer =
        Observer { node, namespace, boot, blind, shared, metrics, reporter, sent: earlier, lost };
    let failed = async {
        match reading {
            Some(ended) => ended.await,
            None => future::pending().await,
        }
    };
    let failed = tokio::select! {
        () = observer.keep_reporting(&options.log_links) => None,
        failed = failed => Some(failed.unwrap_or_else(|_| io::Error::other("the thread that reads it has ended"))),
        () = &mut shutdown => None,
    };
    observer.look(&options.log_links);
    observer.report_last().await;
    failed.map_or(Ok(()), |error| Err(Fatal::Socket(error)))
}

/// Whose the calls were that stay unknown because the container got no name.
fn log_nameless(id: &ContainerId, Container { calls, further, .. }: &Container) {
    for (call, Count { count, program, .. }) in calls {
        let (call, action) = (call.name(), call.action);
        tracing::debug!(container = %id, program, call, %action, count, "the container of calls got no name");
    }
    if *further > 0 {
        tracing::debug!(container = %id, count = further, "the container of further calls got no name");
    }
}

struct Observer {
    node: NodeName,
    /// Of its pod.
    namespace: String,
    boot: String,
    blind: Option<Blind>,
    shared: Shared,
    metrics: Metrics,
    reporter: Reporter,
    /// What the API server has.
    sent: Option<ObservationReport>,
    /// How many lost records the metric has counted.
    lost: u64,
}

impl Observer {
    /// Reports whenever there is news, and not more often than [`PACE`].
    async fn keep_reporting(&mut self, links: &Path) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = Backoff::default();
        let mut next = Instant::now();
        loop {
            ticks.tick().await;
            self.look(links);
            if Instant::now() < next {
                continue;
            }
            let report = self.report();
            if self.sent.as_ref().is_some_and(|sent| !report::is_news(&report, sent)) {
                continue;
            }
            let pause = match self.reporter.send(&report).await {
                Ok(()) => {
                    let ObservationReport { containers, unknown, unnamed, .. } = &report;
                    tracing::debug!(node = %self.node, containers = containers.len(), unknown, unnamed, "reported");
                    self.sent = Some(report);
                    backoff.succeeded();
                    PACE
                }
                Err(error) => {
                    tracing::warn!(node = %self.node, error = %chain(&error), "the report did not arrive; it is sent again");
                    backoff.failed(error.failure())
                }
            };
            next = Instant::now() + pause;
        }
    }

    /// Counts what was lost, and names the containers that have no name yet.
    fn look(&mut self, links: &Path) {
        let wants_names = {
            let mut seen = self.shared.lock();
            seen.serials.settle();
            // A record that comes late reduces the number; a counter never falls.
            let lost = seen.serials.lost();
            self.metrics.lost(lost.saturating_sub(self.lost));
            self.lost = self.lost.max(lost);
            seen.tally.forget_before(now().saturating_sub(FORGOTTEN_AFTER));
            seen.tally.wants_names()
        };
        if !wants_names {
            return;
        }
        let named = log_links::containers(links);
        let mut seen = self.shared.lock();
        match named {
            Ok(named) => named.into_iter().for_each(|(id, name)| seen.tally.name(id, name)),
            Err(error) => {
                tracing::warn!(node = %self.node, directory = %links.display(), %error, "containers cannot be named");
            }
        }
        let given_up = seen.tally.give_up_names_before(now().saturating_sub(NAMED_WITHIN));
        // The thread that reads records does not wait for the log.
        drop(seen);
        given_up.iter().for_each(|(id, container)| log_nameless(id, container));
    }

    fn report(&self) -> ObservationReport {
        let report = report::of(&self.shared.lock(), self.blind, &self.boot);
        ObservationReport { namespace: self.namespace.clone(), ..report }
    }

    /// Reports what has not been reported, with one attempt; also the serial number alone, from which the next observer
    /// continues.
    async fn report_last(&self) {
        let report = self.report();
        if self.sent.as_ref() == Some(&report) {
            return;
        }
        match timeout(LAST_REPORT, self.reporter.send(&report)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(node = %self.node, error = %chain(&error), "the last report did not arrive");
            }
            Err(_) => tracing::warn!(node = %self.node, "the last report took too long"),
        }
    }
}

#[cfg(test)]
mod tests;
