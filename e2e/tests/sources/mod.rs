//! Reads the project's own sources, for the tests of its dependencies, cycles and documented reasons.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::workspace::repository;

/// A Rust file.
pub(crate) struct Source {
    /// Where it is, from the root of the repository.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    /// What goes into a program.
    pub(crate) fn code(&self) -> &str {
        code(&self.text)
    }
}

/// A source without the unit tests at its end.
pub(crate) fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// The Rust file `place`, or those in the folder `place` and all below it: only files and folders whose name is
/// `wanted`. A place with nothing in it is a mistake of the test.
pub(crate) fn below(place: impl AsRef<Path>, wanted: impl Fn(&str) -> bool) -> Vec<Source> {
    let (mut found, mut places) = (Vec::new(), vec![place.as_ref().to_owned()]);
    while let Some(path) = places.pop() {
        let absolute = repository().join(&path);
        if absolute.is_dir() {
            let entries = fs::read_dir(absolute).unwrap().map(|entry| entry.unwrap().file_name());
            let names = entries.map(|name| name.into_string().unwrap()).filter(|name| wanted(name));
            places.extend(names.map(|name| path.join(name)));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(absolute).unwrap();
            found.push(Source { path, text });
        }
    }
    assert!(!found.is_empty(), "{}: no sources", place.as_ref().display());
    found
}

/// Takes every file.
pub(crate) fn all(_name: &str) -> bool {
    true
}

/// Leaves files and folders of unit tests out, and what only they use.
pub(crate) fn without_tests(name: &str) -> bool {
    let stem = name.trim_end_matches(".rs");
    !(matches!(stem, "tests" | "testing") || stem.starts_with("tests_") || stem.ends_with("_tests"))
}

/// Every path in `text` that begins with one of `roots`, each as its names; the paths of a group in braces one by one.
#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
pub(crate) fn paths(roots: &[&str], text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in roots {
        for (at, _) in text.match_indices(*root) {
            let is_whole = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if is_whole {
                expand(&text[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Adds the paths that `text` begins with to `found`, each behind `before`; gives what is left of the text.
fn expand<'a>(text: &'a str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let length = before.len();
    let mut rest = text.trim_start();
    loop {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if end > 0 {
            before.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(behind) if behind.starts_with('{') => {
                rest = &behind[1..];
                while !rest.trim_start().starts_with('}') && !rest.trim_start().is_empty() {
                    rest = expand(rest, before, found).trim_start();
                    // Another name (`as`) says nothing of where it comes from.
                    rest = rest.find([',', '}']).map_or("", |end| rest[end..].trim_start_matches(','));
                }
                rest = rest.trim_start().strip_prefix('}').unwrap_or_default();
                break;
            }
            Some(behind) => rest = behind,
            None => {
                found.push(before.clone());
                break;
            }
        }
    }
    before.truncate(length);
    rest
}
