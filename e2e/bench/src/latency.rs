//! From apply to the bytes on every node's disk, and to Ready.
//!
//! The floor is a bare echo, measured between the applies of the same run: a ConfigMap of the same size, applied and
//! received by one watch, with no other watchers.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use api::{SeccompProfile, Untrusted};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, WatchEvent, WatchParams};
use profile::{ContentHash, Profile};
use rustix::fs::inotify;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use xtask::step::note;

use crate::session::{BenchError, Session, realistic};
use crate::statistics::Times;

const NAME: &str = "bench-latency";
/// How long one round may take before the measurement fails.
const ROUND: Duration = Duration::from_secs(30);
/// The pause before each round, so that the change comes alone: an agent gathers changes that follow each other.
const APART: Duration = Duration::from_millis(500);
/// p99 of apply to disk, above p99 of the echo.
const DISK_BAR: Duration = Duration::from_millis(100);
/// p99 of apply to Ready.
const READY_BAR: Duration = Duration::from_secs(1);

/// An observation and its time.
enum Observation {
    Echo(String),
    Profile(Box<Untrusted<SeccompProfile>>),
    File(usize, ContentHash),
}

/// Measures `rounds` applies against the cluster of `kubeconfig`, whose nodes' profile directories are `directories`,
/// and prints a table.
///
/// # Errors
/// The cluster failed, or a bar was not reached.
pub async fn measure(kubeconfig: &Path, directories: &[PathBuf], rounds: usize) -> Result<(), BenchError> {
    let session = Session::open(kubeconfig).await?;
    session.clear().await?;
    let (sender, mut seen) = unbounded_channel();
    for (node, directory) in directories.iter().enumerate() {
        watch_directory(node, directory, sender.clone())?;
    }
    watch_objects(&session, sender).await?;
    let (mut echo, mut disk, mut ready) = (Times::default(), Times::default(), Times::default());
    for round in 0..rounds {
        tokio::time::sleep(APART).await;
        echo.add(bare_echo(&session, &mut seen, round).await?);
        let (on_disk, is_ready) = apply(&session, &mut seen, directories.len(), round).await?;
        disk.add(on_disk);
        ready.add(is_ready);
        if (round + 1) % 50 == 0 {
            note(format_args!("{} of {rounds} applies", round + 1));
        }
    }
    session.clear().await?;
    config_maps(&session).delete(NAME, &DeleteParams::default()).await?;

    println!("{}", Times::heading(rounds));
    println!("{}", echo.row("bare echo, apply to watch"));
    println!("{}", disk.row(&format!("apply to bytes on {} disks", directories.len())));
    println!("{}", ready.row("apply to Ready"));
    let above = disk.quantile(0.99).saturating_sub(echo.quantile(0.99));
    println!(
        "p99 on disk is {:.1} ms above the echo's (bar: {} ms)",
        above.as_secs_f64() * 1e3,
        DISK_BAR.as_millis()
    );
    if above > DISK_BAR {
        return Err(BenchError::Bar(format!(
            "apply to disk p99 {above:.1?} above the echo, bar {DISK_BAR:?}"
        )));
    }
    if ready.quantile(0.99) > READY_BAR {
        return Err(BenchError::Bar(format!(
            "apply to Ready p99 {:.1?}, bar {READY_BAR:?}",
            ready.quantile(0.99)
        )));
    }
    Ok(())
}

fn config_maps(session: &Session) -> Api<ConfigMap> {
    Api::namespaced(session.client.clone(), "default")
}

/// One apply of the ConfigMap, until the watch shows it.
async fn bare_echo(
    session: &Session,
    seen: &mut UnboundedReceiver<(Instant, Observation)>,
    round: usize,
) -> Result<Duration, BenchError> {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": NAME },
        "data": { "round": round.to_string(), "contents": realistic(round).to_string() }
    });
    let start = Instant::now();
    config_maps(session)
        .patch(NAME, &PatchParams::apply("seccomp-profile-bench").force(), &Patch::Apply(&object))
        .await?;
    let wanted = round.to_string();
    loop {
        if let (time, Observation::Echo(found)) = next(seen).await?
            && found == wanted
        {
            return Ok(time - start);
        }
    }
}

/// One apply of the profile, until its bytes are on every disk and it is Ready; both times.
async fn apply(
    session: &Session,
    seen: &mut UnboundedReceiver<(Instant, Observation)>,
    nodes: usize,
    round: usize,
) -> Result<(Duration, Duration), BenchError> {
    let contents = realistic(round);
    let hash = Profile::from_value(&contents)
        .map_err(|error| BenchError::Bar(format!("the profile of the measurement is invalid: {error}")))?
        .canonical()
        .hash();
    let start = Instant::now();
    let generation = session.apply(NAME, &contents).await?;
    let mut disks = BTreeMap::new();
    let mut ready = None;
    while disks.len() < nodes || ready.is_none() {
        match next(seen).await? {
            (time, Observation::File(node, found)) if found == hash => {
                disks.entry(node).or_insert(time - start);
            }
            (time, Observation::Profile(object)) => {
                let status = object.status().unwrap_or_default();
                let holds = status.observed_generation == generation
                    && status.content_hash.as_deref() == Some(&hash.to_string())
                    && status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
                ready = ready.or(holds.then(|| time - start));
            }
            _ => {}
        }
    }
    Ok((disks.into_values().max().unwrap_or_default(), ready.unwrap_or_default()))
}

async fn next(
    seen: &mut UnboundedReceiver<(Instant, Observation)>,
) -> Result<(Instant, Observation), BenchError> {
    let too_late = || BenchError::TooLate("a round".to_owned());
    tokio::time::timeout(ROUND, seen.recv()).await.map_err(|_| too_late())?.ok_or_else(too_late)
}

/// Follows the profile and the ConfigMap on connections of their own.
async fn watch_objects(
    session: &Session,
    sender: UnboundedSender<(Instant, Observation)>,
) -> Result<(), BenchError> {
    let params = WatchParams::default().fields(&format!("metadata.name={NAME}")).timeout(290);
    let profiles = session.profiles.watch(&params, "0").await?.boxed();
    let maps = config_maps(session).watch(&params, "0").await?.boxed();
    let to_maps = sender.clone();
    tokio::spawn(profiles.try_for_each(move |event| {
        if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
            // The receiver is dropped once the measurement is over.
            let _ = sender.send((Instant::now(), Observation::Profile(Box::new(object))));
        }
        async { Ok(()) }
    }));
    tokio::spawn(maps.try_for_each(move |event| {
        if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
            let round = object.data.unwrap_or_default().remove("round").unwrap_or_default();
            let _ = to_maps.send((Instant::now(), Observation::Echo(round)));
        }
        async { Ok(()) }
    }));
    Ok(())
}

/// Follows a node's directory from a thread of its own: what is renamed into place is read and hashed.
fn watch_directory(
    node: usize,
    directory: &Path,
    sender: UnboundedSender<(Instant, Observation)>,
) -> Result<(), BenchError> {
    let failed = |error: rustix::io::Errno| BenchError::io(directory.display().to_string())(error.into());
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).map_err(failed)?;
    inotify::add_watch(&watch, directory, inotify::WatchFlags::MOVED_TO).map_err(failed)?;
    let file = directory.join(format!("{NAME}.json"));
    std::thread::spawn(move || {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(watch.as_fd(), &mut buffer);
        loop {
            match events.next() {
                Ok(event)
                    if event
                        .file_name()
                        .is_some_and(|name| name.to_bytes() == format!("{NAME}.json").as_bytes()) =>
                {
                    let time = Instant::now();
                    match std::fs::read(&file) {
                        Ok(bytes) => {
                            if sender.send((time, Observation::File(node, ContentHash::of(&bytes)))).is_err()
                            {
                                return;
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        Err(error) => eprintln!("{}: {error}", file.display()),
                    }
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    eprintln!("{}: {error}", file.display());
                    return;
                }
            }
        }
    });
    Ok(())
}
