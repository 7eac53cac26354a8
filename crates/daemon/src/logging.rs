//! Log lines, one per event, as text or as JSON for log collectors.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The logging options of both programs.
#[derive(Debug, Clone, Args)]
pub struct LoggingArgs {
    /// The format of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// The log level: a level (off, error, warn, info, debug, trace), or a list of levels by module such as
    /// `info,kube=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Readable text.
    Text,
    /// One JSON object per line.
    Json,
}

/// A log level or filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "--log-level (LOG_LEVEL) {filter:?}: {problem}; expected a level (off, error, warn, info, debug, trace), or levels by \
     module such as info,kube=debug"
)]
pub struct InvalidFilter {
    filter: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("{0:?} is not a level")]
    Level(String),
    /// What `RUST_LOG` of many programs takes: `target[span{field=value}]=level`.
    #[error("{0:?} is not a module, and filters by span or field are not supported")]
    Module(String),
}

/// Sends the log lines of this process to standard error.
///
/// # Errors
/// The filter cannot be read.
pub fn init(args: &LoggingArgs) -> Result<(), InvalidFilter> {
    subscriber(args, std::io::stderr, std::io::stderr().is_terminal())?.init();
    Ok(())
}

/// Formats this process's events as lines and writes them to `out`; text may have colours.
///
/// # Errors
/// The filter cannot be read.
pub fn subscriber(
    args: &LoggingArgs,
    out: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
    colours: bool,
) -> Result<Dispatch, InvalidFilter> {
    let filter = filter(&args.log_level)
        .map_err(|problem| InvalidFilter { filter: args.log_level.clone(), problem })?;
    let filtered = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(out);
    Ok(match args.log_format {
        LogFormat::Text => filtered.with(lines.with_ansi(colours)).into(),
        LogFormat::Json => filtered.with(lines.json().flatten_event(true).with_current_span(false)).into(),
    })
}

/// Reads levels that are separated by commas. Of two for one module, the later one applies.
fn filter(text: &str) -> Result<Targets, Problem> {
    // kube-runtime also logs each failure of a watch, which our own lines report with its cause.
    let mut filter = Targets::new().with_target("kube_runtime", LevelFilter::WARN);
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        // The library also takes nothing for the level `error`.
        let level = |level: &str| match level.parse::<LevelFilter>() {
            Ok(parsed) if !level.is_empty() => Ok(parsed),
            _ => Err(Problem::Level(level.to_owned())),
        };
        filter = match entry.rsplit_once('=') {
            Some((module, text)) => filter.with_target(checked(module)?, level(text)?),
            // A module alone would silence every other one: a misspelt level is more likely.
            None => filter.with_default(level(entry)?),
        };
    }
    Ok(filter)
}

/// A module: a crate, or a path of modules in it.
fn checked(module: &str) -> Result<&str, Problem> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_:-".contains(character);
    match !module.is_empty() && module.chars().all(fits) {
        true => Ok(module),
        false => Err(Problem::Module(module.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_level_applies_to_the_module_that_it_names_and_the_longest_name_wins() {
        for (text, target, level, logged) in [
            ("info", "operator::run", Level::INFO, true),
            ("info", "operator::run", Level::DEBUG, false),
            ("INFO", "operator::run", Level::INFO, true),
            ("off", "operator::run", Level::ERROR, false),
            ("", "operator::run", Level::ERROR, false),
            ("info,", "operator::run", Level::INFO, true),
            ("info, kube=debug", "kube_client::client", Level::DEBUG, true),
            ("info,kube=debug", "kube_client::client", Level::DEBUG, true),
            ("info,kube=debug", "operator::run", Level::DEBUG, false),
            ("info,operator::writer=trace", "operator::writer", Level::TRACE, true),
            ("info,operator::writer=trace", "operator::run", Level::DEBUG, false),
            ("debug,operator=warn", "operator::run", Level::INFO, false),
            // Of kube_runtime only warnings, unless it is named.
            ("debug", "kube_runtime::watcher", Level::WARN, true),
            ("debug", "kube_runtime::watcher", Level::INFO, false),
            ("info,kube=debug", "kube_runtime::watcher", Level::INFO, false),
            ("info,kube_runtime=debug", "kube_runtime::watcher", Level::DEBUG, true),
            ("info,kube=debug,kube=warn", "kube_client::client", Level::INFO, false),
        ] {
            let filter = filter(text).unwrap();
            assert_eq!(filter.would_enable(target, &level), logged, "{text:?} {target} {level}");
        }
    }

    #[test]
    fn an_unknown_filter_is_rejected_with_what_would_be_right() {
        for (text, problem) in [
            ("info,kube=verbose", r#""verbose" is not a level"#),
            ("info,kube=", r#""" is not a level"#),
            ("verbose", r#""verbose" is not a level"#),
            ("info,operator", r#""operator" is not a level"#),
            (
                "info,kube[reconcile]=debug",
                r#""kube[reconcile]" is not a module, and filters by span or field are not supported"#,
            ),
            (
                "[{profile=audit}]=debug",
                r#""[{profile=audit}]" is not a module, and filters by span or field are not supported"#,
            ),
            ("=debug", r#""" is not a module, and filters by span or field are not supported"#),
            ("kube.*=debug", r#""kube.*" is not a module, and filters by span or field are not supported"#),
        ] {
            let args = LoggingArgs { log_format: LogFormat::Text, log_level: text.into() };
            let error = subscriber(&args, std::io::sink, false).unwrap_err();
            let expected = format!(
                "--log-level (LOG_LEVEL) {text:?}: {problem}; expected a level (off, error, warn, info, debug, trace), or \
                 levels by module such as info,kube=debug"
            );
            assert_eq!(error.to_string(), expected);
        }
    }
}
