//! Commands about files and images, each from its input to its answer.

use std::io;
use std::path::{Path, PathBuf};

use profile::Profile;

use crate::attach::{self, AttachArgs};
use crate::build::{self, BuildArgs, Built};
use crate::convert::{self, Conversion, ConvertArgs};
use crate::copy::{self, CopyArgs};
use crate::derive::{self, DeriveArgs, DerivedText, Here, Place};
use crate::diff::{DiffArgs, DiffView, NamedProfile, load_files, read_file};
use crate::error::CliError;
use crate::explain::{ExplainArgs, ExplainFormat, ExplainView};
use crate::findings::{self, FindingsView, LintArgs, LintFormat};
use crate::inspect::{self, InspectArgs};
use crate::learn::{self, LearnArgs, Learned};
use crate::manifest::profiles_in;
use crate::manual;
use crate::merge::{MergeArgs, merge, named, text};
use crate::options::Task;
use crate::output::Format;
use crate::restart::Dialogue;
use crate::show::Paint;
use crate::simulate::{self, SimulateArgs};
use crate::sources::{Origins, Others, Source};

use super::Answer;
use super::console::{remark, shown};

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
        Task::Convert(args) => {
            if Origins::of(&args.files)?.need_cluster() {
                return Ok(None);
            }
            converted(args, Vec::new())?
        }
        Task::Derive(args) => match args.place()? {
            Place::Here(here) => derived(args, here)?,
            Place::Registry(_) => return Ok(None),
        },
        Task::Learn(args) if args.workload.workload.is_none() => learned(args)?,
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

/// Writes to a registry, but asks no cluster.
///
/// # Errors
/// The profile is not attached.
pub async fn attached(args: &AttachArgs, paint: Paint) -> Result<Answer, CliError> {
    let (view, remarks) = attach::attach(args).await?;
    let text = shown(&view, args.output.output, || view.render(paint))?;
    Ok(Answer { remarks, ..Answer::success(text) })
}

/// Copies between registries, and asks no cluster. Standard error shows how far it is.
///
/// # Errors
/// The image is not copied.
pub async fn copied(args: &CopyArgs, paint: Paint) -> Result<Answer, CliError> {
    let (view, remarks) = copy::copy(args, &mut remark).await?;
    let text = shown(&view, args.output.output, || view.render(paint))?;
    Ok(Answer { remarks, ..Answer::success(text) })
}

/// Converts the profiles in files, and those that were read from the cluster.
pub(super) fn converted(args: &ConvertArgs, stored: Vec<Source>) -> Result<Answer, CliError> {
    let read = |path: &PathBuf| Ok(convert::Input { path: path.clone(), text: read_file(path)? });
    let mut files = Vec::new();
    for (path, others) in Origins::of(&args.files)?.files() {
        match read(&path) {
            // Not text, so that it is no profile.
            Err(CliError::File { error, .. })
                if others == Others::Skip && error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => return Err(error),
            Ok(input) if others == Others::Skip && !convert::has_profile(&input.text) => {}
            Ok(input) => files.push(input),
        }
    }
    files.extend(
        stored.into_iter().map(|source| convert::Input { path: source.name.into(), text: source.text }),
    );
    if files.is_empty() {
        return Err(CliError::NoProfiles(args.files.clone()));
    }
    let bases: Vec<_> = args.bases.iter().map(|base| read(&base.path)).collect::<Result<_, CliError>>()?;
    let Conversion { text, remarks } = convert::convert(&files, &bases, args)?;
    Ok(Answer { remarks, ..Answer::success(text) })
}

fn derived(args: &DeriveArgs, here: Here) -> Result<Answer, CliError> {
    let checked = args.check.as_ref().map(|path| only_profile(path)).transpose()?;
    answered(args, derive::derive(args, here, checked.as_ref(), &mut remark)?)
}

/// Derives an image in a registry, and asks no cluster. Standard error shows how far it is.
///
/// # Errors
/// The image cannot be read, or nothing can be derived.
pub async fn derived_from_image(args: &DeriveArgs) -> Result<Option<Answer>, CliError> {
    let Place::Registry(image) = args.place()? else { return Ok(None) };
    let checked = args.check.as_ref().map(|path| only_profile(path)).transpose()?;
    let derived = derive::derive_image(args, &image, checked.as_ref(), &mut remark).await?;
    answered(args, derived).map(Some)
}

fn answered(args: &DeriveArgs, derived: DerivedText) -> Result<Answer, CliError> {
    let DerivedText { text, remarks, success, evidence } = derived;
    if let (Some(path), Some(evidence)) = (&args.options.evidence, evidence) {
        write(path, &evidence)?;
    }
    Ok(Answer { remarks, success, ..Answer::success(text) })
}

/// Derives the profile of an image and attaches it, and asks no cluster. Standard error shows how far it is.
///
/// # Errors
/// Nothing can be derived, or the profile is not attached.
pub async fn built(args: &BuildArgs, paint: Paint, dialogue: &mut dyn Dialogue) -> Result<Answer, CliError> {
    let mut keep = |evidence: &str| match &args.options.evidence {
        Some(path) => write(path, evidence),
        None => Ok(()),
    };
    let Built { remarks, success } = build::build(args, paint, dialogue, &mut remark, &mut keep).await?;
    Ok(Answer { remarks, success, ..Answer::success(String::new()) })
}

fn write(path: &PathBuf, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|error| CliError::Write { path: path.clone(), error })
}

fn learned(args: &LearnArgs) -> Result<Answer, CliError> {
    let base = args.base.as_ref().map(|path| only_profile(path)).transpose()?;
    let Learned { text, remarks, is_complete, evidence } = learn::learn(args, base.as_ref())?;
    if let Some(path) = &args.evidence {
        write(path, &evidence)?;
    }
    Ok(Answer { remarks, success: is_complete, ..Answer::success(text) })
}

/// The profile in a file that has no other one.
fn only_profile(path: &Path) -> Result<Profile, CliError> {
    let text = read_file(path)?;
    let mut found =
        profiles_in(&text).map_err(|error| CliError::Document { path: path.to_owned(), error })?;
    match found.len() {
        1 => Ok(found.remove(0).profile),
        _ => {
            let found = found.into_iter().filter_map(|it| it.name).collect();
            Err(CliError::OneOfSeveral { path: path.to_owned(), found })
        }
    }
}

pub(super) fn lint(
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

pub(super) fn simulate(
    args: &SimulateArgs,
    sources: impl Iterator<Item = Result<Source, CliError>>,
    paint: Paint,
) -> Result<Answer, CliError> {
    let view = simulate::view(args, sources)?;
    let text = shown(&view, args.output.output, || view.render(paint))?;
    Ok(Answer { success: view.permits_all(), ..Answer::success(text) })
}

pub(super) fn compared(
    profiles: &[NamedProfile; 2],
    args: &DiffArgs,
    paint: Paint,
) -> Result<Answer, CliError> {
    let [before, after] = profiles;
    let view = DiffView::of(before, after, &args.nodes)?;
    let text = shown(&view, args.output.output, || view.render(paint))?;
    Ok(Answer { success: view.same, ..Answer::success(text) })
}

pub(super) fn merged(sources: Vec<Source>, args: &MergeArgs) -> Result<Answer, CliError> {
    let merged = merge(&named(sources), args)?;
    let text = text(&merged.profile, args);
    Ok(Answer { remarks: merged.remarks, ..Answer::success(text) })
}

pub(super) fn explain(
    args: &ExplainArgs,
    sources: impl Iterator<Item = Result<Source, CliError>>,
    paint: Paint,
) -> Result<Answer, CliError> {
    let (mut view, mut errors) = (ExplainView::default(), Vec::new());
    for source in sources {
        // A file that is not valid hides no other one.
        match source {
            Ok(source) => view.add(&source, args.setting),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if view.profiles.is_empty() && errors.is_empty() {
        return Err(CliError::NoProfiles(args.files.clone()));
    }
    let text = match args.output {
        _ if view.profiles.is_empty() => String::new(),
        ExplainFormat::Text => view.render(paint),
        ExplainFormat::Json => shown(&view, Format::Json, String::new)?,
        ExplainFormat::Yaml => shown(&view, Format::Yaml, String::new)?,
        ExplainFormat::Html => view.page(),
    };
    Ok(Answer { success: view.all_start(), errors, ..Answer::success(text) })
}
