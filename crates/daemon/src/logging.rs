//! Log lines, one per event, as text or as JSON for log collectors.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// The logging options of both programs.
#[derive(Debug, Clone, Args)]
pub struct LoggingArgs {
    /// The format of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// The log level: a level (error, warn, info, debug, trace), or filters such as `info,kube=debug`.
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
#[derive(Debug, thiserror::Error)]
#[error(
    "--log-level {filter:?}: {source}; expected a level such as info, or filters such as info,kube=debug"
)]
pub struct InvalidFilter {
    filter: String,
    source: tracing_subscriber::filter::ParseError,
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
    // kube-runtime wraps every line of a controller in a span that repeats it. Later filters take precedence.
    let filter = EnvFilter::builder()
        .parse(format!("kube_runtime=warn,{}", args.log_level))
        .map_err(|source| InvalidFilter { filter: args.log_level.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(out);
    Ok(match args.log_format {
        LogFormat::Text => lines.with_ansi(colours).into(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).into(),
    })
}
