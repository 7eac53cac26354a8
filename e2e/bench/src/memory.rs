//! The programs' memory with many profiles, and with the largest one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use cluster::NAMESPACE;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use xtask::step::note;

use crate::session::{BenchError, Session, largest, realistic};

/// The programs that are read, by the path of their image's one binary.
const PROGRAMS: [&str; 2] = ["/node-agent", "/operator"];

/// One row: how many profiles, and the agent's bar in KiB.
const ROWS: [(usize, u64); 3] = [(0, 10 * 1024), (100, 10 * 1024), (1000, 16 * 1024)];

/// Reads the programs' resident memory with 0, 100 and 1,000 profiles of 3 KB and with the largest profile that the
/// schema admits, as they come and as agents that are new find them, and prints a table.
///
/// # Errors
/// The cluster failed, or a bar was not reached.
pub async fn measure(kubeconfig: &Path) -> Result<(), BenchError> {
    let session = Session::open(kubeconfig).await?;
    session.clear().await?;
    println!("{:<34}{:>16}{:>16}", "resident now (peak), MiB", "agent (largest)", "operator");
    let mut missed = Vec::new();
    for (count, bar) in ROWS {
        note(format_args!("{count} profiles"));
        let all = (0..count).map(|number| (format!("bench-{number}"), Arc::new(realistic(number)))).collect();
        session.apply_all(all).await?;
        all_ready(&session, count).await?;
        let sizes = resident()?;
        print_row(&format!("{count} profiles of 3 KB"), &sizes);
        missed.extend(over(&sizes, count, bar));
    }
    let (count, bar) = ROWS[ROWS.len() - 1];
    restart_agents(&session).await?;
    let sizes = resident()?;
    print_row(&format!("{count} profiles, agents new"), &sizes);
    missed.extend(over(&sizes, count, bar));
    session.clear().await?;
    let before = agents()?;
    session.apply_all(vec![("bench-largest".to_owned(), Arc::new(largest()))]).await?;
    all_ready(&session, 1).await?;
    print_row("the largest profile of the schema", &resident()?);
    if agents()? != before {
        missed.push("an agent did not survive the largest profile".to_owned());
    }
    restart_agents(&session).await?;
    print_row("the largest profile, agents new", &resident()?);
    session.clear().await?;
    if missed.is_empty() { Ok(()) } else { Err(BenchError::Bar(missed.join("; "))) }
}

/// A message if the agent exceeds its bar.
fn over(sizes: &BTreeMap<&'static str, (u64, u64)>, count: usize, bar: u64) -> Option<String> {
    let (now, _) = sizes.get(PROGRAMS[0]).filter(|(now, _)| *now > bar)?;
    Some(format!("agent with {count} profiles: {now} KiB, bar {bar} KiB"))
}

/// Replaces every agent's pod and waits until the new ones are ready: each then holds what it listed at its start.
async fn restart_agents(session: &Session) -> Result<(), BenchError> {
    let pods = Api::<Pod>::namespaced(session.client.clone(), NAMESPACE);
    let agents = ListParams::default().labels("app.kubernetes.io/component=node-agent");
    let old: BTreeSet<_> =
        pods.list_metadata(&agents).await?.items.into_iter().filter_map(|pod| pod.metadata.uid).collect();
    pods.delete_collection(&DeleteParams::default(), &agents).await?;
    session
        .until("new agents are ready", 120, async || {
            let new = pods.list(&agents).await?.items;
            let ready = new.iter().filter(|pod| {
                let conditions =
                    pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
                pod.metadata.uid.as_ref().is_some_and(|uid| !old.contains(uid))
                    && conditions
                        .iter()
                        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
            });
            Ok(ready.count() == old.len() && new.len() == old.len())
        })
        .await
}

async fn all_ready(session: &Session, count: usize) -> Result<(), BenchError> {
    session
        .until("every profile is Ready", 300, async || {
            let all = session.profiles.list(&ListParams::default()).await?;
            let ready = |profile: &&api::Untrusted<api::SeccompProfile>| {
                profile.status().is_some_and(|status| {
                    status.state == Some(api::State::Ready.into())
                        && status.observed_generation == profile.metadata.generation
                })
            };
            Ok(all.items.iter().filter(ready).count() >= count)
        })
        .await
}

fn print_row(name: &str, sizes: &BTreeMap<&'static str, (u64, u64)>) {
    let cell = |program| {
        sizes.get(program).map_or("-".to_owned(), |(now, peak)| {
            format!("{:.1} ({:.1})", *now as f64 / 1024.0, *peak as f64 / 1024.0)
        })
    };
    println!("{name:<34}{:>16}{:>16}", cell(PROGRAMS[0]), cell(PROGRAMS[1]));
}

/// The largest resident size, now and at its peak, of the processes of each program, in KiB.
fn resident() -> Result<BTreeMap<&'static str, (u64, u64)>, BenchError> {
    let mut sizes = BTreeMap::new();
    for (program, pid) in processes()? {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        if let (Some(now), Some(peak)) = (field("VmRSS"), field("VmHWM")) {
            let entry: &mut (u64, u64) = sizes.entry(program).or_default();
            *entry = (entry.0.max(now), entry.1.max(peak));
        }
    }
    Ok(sizes)
}

/// The agents' process ids: others after a restart.
fn agents() -> Result<Vec<u32>, BenchError> {
    let mut pids: Vec<_> =
        processes()?.into_iter().filter(|(name, _)| *name == PROGRAMS[0]).map(|(_, pid)| pid).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// The processes whose first word is the path of one of our binaries in its image.
fn processes() -> Result<Vec<(&'static str, u32)>, BenchError> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(BenchError::io("/proc"))? {
        let entry = entry.map_err(BenchError::io("/proc"))?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while it is looked at.
        let Ok(command) = fs::read(entry.path().join("cmdline")) else { continue };
        let first = command.split(|byte| *byte == 0).next().unwrap_or_default();
        if let Some(program) = PROGRAMS.into_iter().find(|program| program.as_bytes() == first) {
            found.push((program, pid));
        }
    }
    Ok(found)
}
