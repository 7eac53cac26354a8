//! Commands that read the cluster once.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::Client;

use crate::diff::load_all;
use crate::error::CliError;
use crate::nodes::NodesView;
use crate::options::Task;
use crate::output::Format;
use crate::read;
use crate::show::Paint;
use crate::sources::{Origins, Others};
use crate::status::StatusView;
use crate::users::{self, UsersView};
use crate::verify::VerifyView;

use super::Answer;
use super::console::shown;
use super::files::{compared, converted, explain, lint, merged, simulate};

/// Runs a command that reads the cluster once.
///
/// # Errors
/// The cluster or the file cannot be read, or the output cannot be formatted.
pub async fn answer(task: &Task, client: &Client, paint: Paint) -> Result<Answer, CliError> {
    let now = Timestamp::now();
    match task {
        Task::Status { profile, output, .. } => {
            let snapshot = read::snapshot(client, profile.as_deref()).await?;
            let view = match profile.as_ref().and_then(|name| snapshot.profiles.get(name)) {
                Some(profile) => StatusView::of_one(profile, &snapshot),
                None => StatusView::of_all(&snapshot),
            };
            Ok(Answer::success(shown(&view, output.output, || view.render(paint, now))?))
        }
        Task::Nodes { output } => {
            let view = NodesView::of(&read::snapshot(client, None).await?);
            Ok(Answer::success(shown(&view, output.output, || view.render(paint, now))?))
        }
        Task::Users { profile, outdated: true, namespace, output } => {
            let snapshot = read::snapshot(client, profile.as_deref()).await?;
            let view = read::outdated(client, namespace.as_deref(), &snapshot, profile.as_deref()).await?;
            let text = shown(&view, output.output, || view.render(paint, now))?;
            Ok(Answer { remarks: view.remarks(), ..Answer::success(text) })
        }
        Task::Users { profile, outdated: false, namespace, output } => {
            who_uses(client, profile.as_deref(), namespace.as_deref(), output.output, paint).await
        }
        Task::Denials { what, namespace, output, .. } => {
            let view = read::denials(client, namespace.as_deref(), what.as_deref()).await?;
            let text = shown(&view, output.output, || view.render(paint, now))?;
            Ok(Answer { remarks: view.remarks(), ..Answer::success(text) })
        }
        Task::Diff(args) => compared(&load_all(&args.inputs()?, client).await?, args, paint),
        Task::Merge(args) => {
            merged(Origins::of(&args.profiles)?.read_all(Others::Refuse, client).await?, args)
        }
        Task::Convert(args) => converted(args, Origins::of(&args.files)?.read_stored(client).await?),
        Task::Verify { profile, output } => {
            let mut snapshot = read::snapshot(client, profile.as_deref()).await?;
            // After the reports, so that a Node that is created in between does not count as missing.
            snapshot.existing = read::existing_nodes(client).await?;
            let view = VerifyView::of(&snapshot, profile.as_deref());
            let text = shown(&view, output.output, || view.render(paint))?;
            let remarks = view.remarks(&snapshot);
            Ok(Answer { remarks, success: view.verified, ..Answer::success(text) })
        }
        Task::Lint(args) => {
            let sources = Origins::of(&args.files)?.read_all(args.others(), client).await?;
            lint(args, sources.into_iter().map(Ok), paint)
        }
        Task::Simulate(args) => {
            let sources = args.origins()?.read_all(Others::Refuse, client).await?;
            simulate(args, sources.into_iter().map(Ok), paint)
        }
        Task::Explain(args) => {
            let sources = Origins::of(&args.files)?.read_all(Others::Refuse, client).await?;
            explain(args, sources.into_iter().map(Ok), paint)
        }
        // These read the cluster continuously or not at all.
        Task::Wait { .. }
        | Task::Restart(_)
        | Task::Completion { .. }
        | Task::Derive(_)
        | Task::Build(_)
        | Task::Learn(_)
        | Task::Inspect(_)
        | Task::Attach(_)
        | Task::Copy(_)
        | Task::Rule { .. } => Ok(Answer::success(String::new())),
    }
}

async fn who_uses(
    client: &Client,
    profile: Option<&str>,
    namespace: Option<&str>,
    output: Format,
    paint: Paint,
) -> Result<Answer, CliError> {
    // Pods may name a profile that does not exist.
    let snapshot = match read::snapshot(client, profile).await {
        Err(CliError::NoProfile(_)) => read::snapshot(client, None).await?,
        snapshot => snapshot?,
    };
    let directory = users::directory(&snapshot.profiles, &snapshot.nodes);
    let mut workloads = read::workloads(client, namespace).await?;
    let view = |workloads: &read::Workloads, handlers: &BTreeMap<String, String>| {
        let (candidates, read) = (&workloads.candidates, &workloads.read);
        UsersView::of(candidates, read, &snapshot.profiles, &directory, handlers, profile)
    };
    let mut found = view(&workloads, &BTreeMap::new());
    if found.wants_handlers() {
        let handlers = workloads.handlers(client).await?;
        found = view(&workloads, &handlers);
    }
    let mut view = found;
    view.unread = workloads.unread;
    let text = shown(&view, output, || view.render(paint))?;
    let remarks = view.unread.iter().map(|it| format!("not checked: {}: {}", it.kind, it.message)).collect();
    Ok(Answer { remarks, ..Answer::success(text) })
}
