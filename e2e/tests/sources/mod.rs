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

/// The Rust file `place`, or those in the folder `place` and all below it: only files and folders whose name is `wanted`.
/// A place with nothing in it is a mistake of the test.
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
    !name.contains("test")
}
