//! Commands that follow the cluster: `wait`, and `status --watch`.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use link::client::REQUEST_TIMEOUT;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::error::CliError;
use crate::facts::Snapshot;
use crate::live::Live;
use crate::show::{NO_PROFILES, escaped};
use crate::status::StatusView;
use crate::wait::{Progress, WaitFor};

use super::console::{paint, print, remark, remark_lines};

/// The minimum time between two redraws.
const REDRAW: Duration = Duration::from_millis(200);
/// How often a terminal is redrawn without a change, because ages grow.
const TICK: Duration = Duration::from_secs(1);
/// Moves the cursor to the top left and clears the screen.
const HOME: &str = "\x1b[H\x1b[J";

/// Waits for some profiles, or for all, and prints the result.
///
/// # Errors
/// A profile does not exist, or the cluster cannot be read.
pub async fn wait(
    client: &Client,
    names: &[String],
    goal: WaitFor,
    until: Instant,
    say: &mut dyn FnMut(&str) -> Result<(), CliError>,
) -> Result<bool, CliError> {
    let mut live = Live::new(client);
    // Read the cluster at least once, however short the time.
    live.complete(until.max(Instant::now() + REQUEST_TIMEOUT)).await?;
    let mut open = begin(names, goal, &live.snapshot())?;
    if open.is_empty() {
        remark(NO_PROFILES);
    }
    loop {
        let snapshot = live.snapshot();
        let mut left = Vec::new();
        for name in std::mem::take(&mut open) {
            match Progress::of(&snapshot, &name, goal) {
                Progress::Reached(said) => say(&format!("{}\n", escaped(said)))?,
                Progress::Never(why) => {
                    remark(&why);
                    return Ok(false);
                }
                Progress::NotYet(why) => {
                    left.push(why);
                    open.insert(name);
                }
            }
        }
        if open.is_empty() {
            return Ok(true);
        }
        match timeout_at(until, live.next()).await {
            Ok(news) => news?.iter().for_each(|warning| remark_lines(warning)),
            Err(_) => {
                left.iter().for_each(|why| remark_lines(why));
                return Ok(false);
            }
        }
    }
}

/// The profiles that are waited for.
fn begin(names: &[String], goal: WaitFor, snapshot: &Snapshot) -> Result<BTreeSet<String>, CliError> {
    if names.is_empty() {
        return Ok(snapshot.profiles.keys().cloned().collect());
    }
    let missing = names.iter().find(|name| !snapshot.profiles.contains_key(*name));
    match missing.filter(|_| goal == WaitFor::Ready) {
        Some(name) => Err(CliError::NoProfile(name.clone())),
        None => Ok(names.iter().cloned().collect()),
    }
}

/// Shows the status continuously: on a terminal in place, otherwise whenever it has changed.
pub(super) async fn watch(client: &Client, only: Option<&str>) -> Result<bool, CliError> {
    let mut live = Live::new(client);
    live.complete(Instant::now() + REQUEST_TIMEOUT).await?;
    let terminal = io::stdout().is_terminal();
    let mut shown = None;
    loop {
        let snapshot = live.snapshot();
        let view = match only {
            None => StatusView::of_all(&snapshot),
            Some(name) => match (snapshot.profiles.get(name), &shown) {
                (Some(profile), _) => StatusView::of_one(profile, &snapshot),
                (None, None) => return Err(CliError::NoProfile(name.to_owned())),
                (None, Some(_)) => {
                    print(&format!("{} is gone\n", escaped(name)))?;
                    return Ok(true);
                }
            },
        };
        let text = || view.render(paint(), Timestamp::now());
        if terminal {
            print(&format!("{HOME}{}", text()))?;
        } else if shown.as_ref() != Some(&view) {
            print(&format!("{}\n", text()))?;
        }
        shown = Some(view);
        let tick = if terminal { TICK } else { Duration::MAX };
        sleep(REDRAW).await;
        if let Ok(news) = timeout(tick, live.next()).await {
            news?.iter().for_each(|warning| remark_lines(warning));
        }
    }
}
