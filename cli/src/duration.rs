//! A time on the command line, as kubectl takes it: `90s`, `1h30m`.

use std::time::Duration;

/// Reads a time.
///
/// # Errors
/// It is not one.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<kube::core::Duration>().map(Into::into).map_err(|error| error.to_string())
}
