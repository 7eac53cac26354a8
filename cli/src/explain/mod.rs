//! `explain`: what a profile does, in words, by groups of calls.
//!
//! - [`ExplainView`]: what is said of each profile (`view`), call by call (`call`), and beside a runtime's default
//!   (`compare`). The filter of one node decides, not the text of the profile: a rule that runtimes skip or that
//!   libseccomp merges with others is explained as what it does.
//! - `text` prints it for a terminal, `html` as a page; it is also printed as JSON and YAML.
//! - `words` has verdicts and conditions in words, with the names of values (`constants`) and of errors (`errno`).

mod args;
mod call;
mod compare;
mod constants;
mod errno;
mod finding;
mod html;
#[cfg(test)]
mod tests;
mod text;
mod view;
mod words;

pub use args::{ExplainArgs, ExplainFormat};
pub(crate) use constants::value_of_names;
pub use view::{ExplainView, ProfileView};
