//! `denials --watch`.

use std::io::{self, IsTerminal};
use std::time::Duration;

use api::SeccompObservation;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};
use kube_runtime::watcher::Config;
use link::changes::{Change, Changes};
use link::watch::WatchStream;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout};

use crate::denials::DenialsView;
use crate::error::CliError;
use crate::live;
use crate::read::{self, OBSERVATIONS};
use crate::show::escaped;

use super::console::{paint, print, remark, remark_lines};

/// How long the answer stays as it is. An observer writes at most every 30 s, but of many nodes some observer writes at
/// any time, and every answer lists the pods.
const PAUSE: Duration = Duration::from_secs(5);
/// How often a terminal is redrawn without a change, because ages grow.
const TICK: Duration = Duration::from_secs(1);
/// Moves the cursor to the top left and clears the screen.
const HOME: &str = "\x1b[H\x1b[J";

/// An observation of which nothing is kept: the watch only says that one has changed.
#[derive(Debug, Clone, Deserialize)]
struct Changed {
    #[serde(deserialize_with = "api::metadata::lenient")]
    metadata: ObjectMeta,
}
api::watched_as!(Changed, SeccompObservation);

/// Where the answers go.
pub trait Screen {
    /// Shows an answer that differs from the one before.
    ///
    /// # Errors
    /// It cannot be shown; nothing is watched any longer.
    fn show(&mut self, view: &DenialsView) -> Result<(), CliError>;

    /// Some time has passed without another answer.
    ///
    /// # Errors
    /// Like [`Self::show`].
    fn tick(&mut self) -> Result<(), CliError> {
        Ok(())
    }
}

/// Shows the calls whenever there are others, until the screen fails.
///
/// # Errors
/// The cluster cannot be read at first, or the screen fails. Later failures of the watch are named and tried again.
pub async fn watch_denials(
    client: &Client,
    namespace: Option<&str>,
    what: Option<&str>,
    screen: &mut dyn Screen,
) -> Result<(), CliError> {
    let config = Config::default().timeout(60).page_size(read::PROFILES_A_PAGE);
    let observations = Api::<Changed>::all(client.clone());
    let mut changes = Changes::new(WatchStream::new(observations, config));
    loop {
        match changes.next().await {
            Ok(Change::Complete) => break,
            Ok(_) => {}
            Err(error) => remark_lines(&live::failed(&error, OBSERVATIONS, false)?.unwrap_or_default()),
        }
    }
    let mut shown = None;
    loop {
        let read = Instant::now();
        match read::denials(client, namespace, what).await {
            Ok(view) if shown.as_ref() != Some(&view) => {
                screen.show(&view)?;
                shown = Some(view);
            }
            Ok(_) => {}
            Err(error) if shown.is_none() => return Err(error),
            Err(error) => remark_lines(&format!("{error}; trying again")),
        }
        wait_for_news(&mut changes, screen).await?;
        sleep_until(read + PAUSE).await;
        // What has changed meanwhile is in the next answer.
        while let Ok(change) = timeout(Duration::ZERO, changes.next()).await {
            if let Err(error) = change {
                remark_lines(&live::failed(&error, OBSERVATIONS, true)?.unwrap_or_default());
            }
        }
    }
}

/// Waits until an observation has changed.
async fn wait_for_news(changes: &mut Changes<Changed>, screen: &mut dyn Screen) -> Result<(), CliError> {
    loop {
        match timeout(TICK, changes.next()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => remark_lines(&live::failed(&error, OBSERVATIONS, true)?.unwrap_or_default()),
            Err(_) => screen.tick()?,
        }
    }
}

/// Standard output: a terminal is drawn in place, anything else gets every answer.
#[derive(Default)]
pub(super) struct Output {
    last: Option<DenialsView>,
}

impl Screen for Output {
    fn show(&mut self, view: &DenialsView) -> Result<(), CliError> {
        let remarks = view.remarks();
        let is_new = self.last.as_ref().is_none_or(|last| last.remarks() != remarks);
        self.last = Some(view.clone());
        if io::stdout().is_terminal() {
            return self.tick();
        }
        print(&format!("{}\n", view.render(paint(), Timestamp::now())))?;
        if is_new {
            remarks.iter().for_each(|it| remark(it));
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), CliError> {
        let Some(view) = self.last.as_ref().filter(|_| io::stdout().is_terminal()) else { return Ok(()) };
        // On one screen, what is not covered belongs to the answer.
        let remarks: String = view.remarks().iter().map(|it| format!("{}\n", escaped(it))).collect();
        print(&format!("{HOME}{}{remarks}", view.render(paint(), Timestamp::now())))
    }
}
