//! Runs a command.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use link::client::REQUEST_TIMEOUT;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::connect::connect;
use crate::convert::{self, Conversion, ConvertArgs};
use crate::derive::{self, DeriveArgs, DerivedText};
use crate::diff::{DiffArgs, DiffView, NamedProfile, load_all, load_files, read_file};
use crate::error::CliError;
use crate::explain::{ExplainArgs, ExplainFormat, ExplainView};
use crate::facts::Snapshot;
use crate::findings::{self, FindingsView, LintArgs, LintFormat};
use crate::inspect::{self, InspectArgs};
use crate::live::Live;
use crate::manifest::profiles_in;
use crate::manual;
use crate::merge::{MergeArgs, merge, named, text};
use crate::nodes::NodesView;
use crate::options::{Options, Task};
use crate::output::Format;
use crate::read;
use crate::restart::{Dialogue, restart};
use crate::show::{NO_PROFILES, Paint, Tone};
use crate::simulate::{self, SimulateArgs};
use crate::sources::{self, Origins, Others, Source};
use crate::status::StatusView;
use crate::users::{self, UsersView};
use crate::verify::VerifyView;
use crate::wait::{Progress, WaitFor};

/// The minimum time between two redraws.
const REDRAW: Duration = Duration::from_millis(200);
/// How often a terminal is redrawn without a change, because ages grow.
const TICK: Duration = Duration::from_secs(1);
/// Moves the cursor to the top left and clears the screen.
const HOME: &str = "\x1b[H\x1b[J";
/// A practically infinite time.
const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);
/// The exit code of an error.
const EXIT_ERROR: u8 = 2;

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub text: String,
    /// For standard error: what the result does not cover.
    pub remarks: Vec<String>,
    /// For standard error: why a part of the result is missing. If there are any, the exit code is that of an error.
    pub errors: Vec<String>,
    /// Whether the exit code is 0 without errors.
    pub success: bool,
}

impl Answer {
    fn success(text: String) -> Self {
        Self { text, remarks: Vec::new(), errors: Vec::new(), success: true }
    }
}

/// Runs the command of the options.
pub async fn main(options: Options) -> ExitCode {
    match perform(&options).await {
        Ok(code) => code,
        Err(error) => {
            // A closed pipe is not an error: the reader has seen enough.
            if !matches!(&error, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
                remark(&format!("error: {error}"));
            }
            ExitCode::from(EXIT_ERROR)
        }
    }
}

async fn perform(options: &Options) -> Result<ExitCode, CliError> {
    if let Some(answer) = without_cluster(&options.task, paint())? {
        return give(&answer);
    }
    if let Task::Inspect(args) = &options.task {
        return give(&inspected(args, paint()).await?);
    }
    with_cluster(options).await.map_err(|error| match assumed_names(&options.task) {
        names if names.is_empty() => error,
        names => CliError::AssumedName { names, error: Box::new(error) },
    })
}

async fn with_cluster(options: &Options) -> Result<ExitCode, CliError> {
    let client = connect(&options.cluster).await?;
    match &options.task {
        Task::Status { profile, watch: true, .. } => watch(&client, profile.as_deref()).await.map(exit_code),
        Task::Wait { profiles, goal, timeout } => {
            // A time that overflows counts as infinite.
            let now = Instant::now();
            let until = now.checked_add(*timeout).unwrap_or(now + FOR_EVER);
            wait(&client, profiles, *goal, until, &mut |line| print(line)).await.map(exit_code)
        }
        Task::Restart(args) => restart(&client, args, paint(), &mut Terminal).await.map(exit_code),
        task => {
            let answer = answer(task, &client, paint()).await?;
            give(&answer)
        }
    }
}

/// The arguments that a command looks up in the cluster only because there is no such file.
fn assumed_names(task: &Task) -> Vec<String> {
    match task {
        Task::Lint(args) => sources::assumed_names(&args.files),
        Task::Explain(args) => sources::assumed_names(&args.files),
        Task::Merge(args) => sources::assumed_names(&args.profiles),
        Task::Simulate(args) => sources::assumed_names(args.files()),
        Task::Diff(args) => {
            let arguments: Vec<_> = args.after.iter().chain([&args.before]).cloned().collect();
            sources::assumed_names(&arguments)
        }
        _ => Vec::new(),
    }
}

/// Prints an answer.
fn give(answer: &Answer) -> Result<ExitCode, CliError> {
    print(&answer.text)?;
    answer.remarks.iter().for_each(|it| remark(it));
    answer.errors.iter().for_each(|it| remark(&format!("error: {it}")));
    Ok(if answer.errors.is_empty() { exit_code(answer.success) } else { ExitCode::from(EXIT_ERROR) })
}

fn exit_code(success: bool) -> ExitCode {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a command that needs no cluster; `None` if the command is another one.
///
/// # Errors
/// A file cannot be read or contains no valid profile, or the output cannot be formatted.
pub fn without_cluster(task: &Task, paint: Paint) -> Result<Option<Answer>, CliError> {
    Ok(Some(match task {
        Task::Lint(args) => {
            let origins = Origins::of(&args.files)?;
            if origins.need_cluster() {
                return Ok(None);
            }
            lint(args, origins.read(args.others()), paint)?
        }
        Task::Simulate(args) => {
            let origins = args.origins()?;
            if origins.need_cluster() {
                return Ok(None);
            }
            simulate(args, origins.read(Others::Refuse), paint)?
        }
        Task::Diff(args) => match load_files(&args.inputs()?)? {
            Some(profiles) => compared(&profiles, args, paint)?,
            None => return Ok(None),
        },
        Task::Merge(args) => {
            let origins = Origins::of(&args.profiles)?;
            if origins.need_cluster() {
                return Ok(None);
            }
            merged(origins.read(Others::Refuse).collect::<Result<_, _>>()?, args)?
        }
        Task::Convert(args) => converted(args)?,
        Task::Derive(args) => derived(args)?,
        Task::Explain(args) => {
            let origins = Origins::of(&args.files)?;
            if origins.need_cluster() {
                return Ok(None);
            }
            explain(args, origins.read(Others::Refuse), paint)?
        }
        Task::Rule { id } => Answer::success(findings::page(id.as_deref(), paint)),
        Task::Completion { shell } => {
            Answer::success(String::from_utf8_lossy(&manual::completion(*shell)).into_owned())
        }
        _ => return Ok(None),
    }))
}

/// Asks a registry, but no cluster.
///
/// # Errors
/// The image cannot be read.
pub async fn inspected(args: &InspectArgs, paint: Paint) -> Result<Answer, CliError> {
    let (view, remarks) = inspect::inspect(args).await?;
    let text = match args.contents {
        true => view.contents(),
        false => shown(&view, args.output.output, || view.render(paint))?,
    };
    Ok(Answer { remarks, success: view.is_usable(), ..Answer::success(text) })
}

fn converted(args: &ConvertArgs) -> Result<Answer, CliError> {
    let read = |path: &PathBuf| Ok(convert::Input { path: path.clone(), text: read_file(path)? });
    let files: Vec<_> = args.files.iter().map(read).collect::<Result<_, CliError>>()?;
    let bases: Vec<_> = args.bases.iter().map(|base| read(&base.path)).collect::<Result<_, CliError>>()?;
    let Conversion { text, remarks } = convert::convert(&files, &bases, args)?;
    Ok(Answer { remarks, ..Answer::success(text) })
}

fn derived(args: &DeriveArgs) -> Result<Answer, CliError> {
    let checked = args.check.as_ref().map(|path| {
        let text = read_file(path)?;
        let mut found =
            profiles_in(&text).map_err(|error| CliError::Document { path: path.clone(), error })?;
        match found.len() {
            1 => Ok(found.remove(0).profile),
            _ => {
                let names = found.into_iter().filter_map(|it| it.name).collect();
                Err(CliError::OneOfSeveral { path: path.clone(), found: names })
            }
        }
    });
    let DerivedText { text, remarks, success, evidence } =
        derive::derive(args, checked.transpose()?.as_ref())?;
    if let (Some(path), Some(evidence)) = (&args.evidence, evidence) {
        std::fs::write(path, evidence).map_err(|error| CliError::Write { path: path.clone(), error })?;
    }
    Ok(Answer { remarks, success, ..Answer::success(text) })
}

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
        Task::Denials { what, namespace, output } => {
            let view = read::denials(client, namespace.as_deref(), what.as_deref()).await?;
            let text = shown(&view, output.output, || view.render(paint, now))?;
            Ok(Answer { remarks: view.remarks(), ..Answer::success(text) })
        }
        Task::Diff(args) => compared(&load_all(&args.inputs()?, client).await?, args, paint),
        Task::Merge(args) => {
            merged(Origins::of(&args.profiles)?.read_all(Others::Refuse, client).await?, args)
        }
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
        | Task::Convert(_)
        | Task::Derive(_)
        | Task::Inspect(_)
        | Task::Rule { .. } => Ok(Answer::success(String::new())),
    }
}

fn lint(
    args: &LintArgs,
    sources: impl Iterator<Item = Result<Source, CliError>>,
    paint: Paint,
) -> Result<Answer, CliError> {
    let view = FindingsView::of(args, sources)?;
    let text = match args.output {
        LintFormat::Text => view.render(paint),
        LintFormat::Json => shown(&view, Format::Json, String::new)?,
        LintFormat::Yaml => shown(&view, Format::Yaml, String::new)?,
        LintFormat::Sarif => shown(&view.sarif(), Format::Json, String::new)?,
        LintFormat::Github => view.github(),
    };
    let errors = view.unchecked().to_vec();
    Ok(Answer { success: view.is_clean(), errors, ..Answer::success(text) })
}

fn simulate(
    args: &SimulateArgs,
    sources: impl Iterator<Item = Result<Source, CliError>>,
    paint: Paint,
) -> Result<Answer, CliError> {
    let view = simulate::view(args, sources)?;
    let text = shown(&view, args.output.output, || view.render(paint))?;
    Ok(Answer { success: view.permits_all(), ..Answer::success(text) })
}

fn compared(profiles: &[NamedProfile; 2], args: &DiffArgs, paint: Paint) -> Result<Answer, CliError> {
    let [before, after] = profiles;
    let view = DiffView::of(before, after, &args.nodes)?;
    let text = shown(&view, args.output.output, || view.render(paint))?;
    Ok(Answer { success: view.same, ..Answer::success(text) })
}

fn merged(sources: Vec<Source>, args: &MergeArgs) -> Result<Answer, CliError> {
    let merged = merge(&named(sources), args)?;
    let text = text(&merged.profile, args);
    Ok(Answer { remarks: merged.remarks, ..Answer::success(text) })
}

fn explain(
    args: &ExplainArgs,
    sources: impl Iterator<Item = Result<Source, CliError>>,
    paint: Paint,
) -> Result<Answer, CliError> {
    let mut view = ExplainView::default();
    for source in sources {
        view.add(&source?, args.setting);
    }
    if view.profiles.is_empty() {
        return Err(CliError::NoProfiles(args.files.clone()));
    }
    let text = match args.output {
        ExplainFormat::Text => view.render(paint),
        ExplainFormat::Json => shown(&view, Format::Json, String::new)?,
        ExplainFormat::Yaml => shown(&view, Format::Yaml, String::new)?,
        ExplainFormat::Html => view.page(),
    };
    Ok(Answer { success: view.all_loadable(), ..Answer::success(text) })
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
                Progress::Reached(said) => say(&format!("{said}\n"))?,
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
            Ok(news) => news?.iter().for_each(|warning| remark(warning)),
            Err(_) => {
                left.iter().for_each(|why| remark(why));
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

/// Standard input and output.
struct Terminal;

impl Dialogue for Terminal {
    fn say(&mut self, text: &str) -> Result<(), CliError> {
        print(text)
    }

    fn ask(&mut self, question: &str) -> Result<bool, CliError> {
        if !io::stdin().is_terminal() {
            return Err(CliError::NobodyToAsk);
        }
        print(&format!("{question} [y/N] "))?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(CliError::Output)?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}

/// Shows the status continuously: on a terminal in place, otherwise whenever it has changed.
async fn watch(client: &Client, only: Option<&str>) -> Result<bool, CliError> {
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
                    print(&format!("{name} is gone\n"))?;
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
            news?.iter().for_each(|warning| remark(warning));
        }
    }
}

/// The view as JSON or YAML or, from `text`, as text.
fn shown(view: &impl Serialize, output: Format, text: impl FnOnce() -> String) -> Result<String, CliError> {
    match output {
        Format::Text => Ok(text()),
        Format::Json => {
            serde_json::to_string_pretty(view).map(|json| json + "\n").map_err(|error| output_error(&error))
        }
        Format::Yaml => serde_saphyr::to_string(view).map_err(|error| output_error(&error)),
    }
}

fn output_error(error: &dyn std::fmt::Display) -> CliError {
    CliError::Output(io::Error::other(error.to_string()))
}

fn paint() -> Paint {
    let set = |name| std::env::var(name).ok();
    Paint::on(io::stdout().is_terminal(), set("NO_COLOR").as_deref(), set("TERM").as_deref())
}

fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Prints a line to standard error and ignores errors.
fn remark(text: &str) {
    let mut err = io::stderr().lock();
    for line in text.lines() {
        let _ = writeln!(err, "{}", Paint::Plain.text(line, Tone::Plain));
    }
}
