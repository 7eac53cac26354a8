//! Where the loader looks for libraries: `DT_RPATH`, `LD_LIBRARY_PATH`, `DT_RUNPATH`, `/etc/ld.so.conf`, the directories
//! that are built in; for musl `/etc/ld-musl-x86_64.path`.

use std::collections::BTreeSet;

use crate::elf::Elf;
use crate::files::{Files, directory, resolve, text};
use crate::limits;

/// The directories that glibc's loader has built in on Debian, Ubuntu, Fedora and others.
const BUILT_IN: &[&str] =
    &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// Those of musl's loader.
const OF_MUSL: &[&str] = &["/lib", "/usr/local/lib", "/usr/lib"];

/// Bytes of a library that say for which architecture it is.
const HEADER_BYTES: usize = 20;

/// The directories of libraries of one root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    /// Those of `LD_LIBRARY_PATH`.
    given: Vec<String>,
    /// Those that are configured or built in.
    common: Vec<String>,
    is_musl: bool,
    level: Level,
}

/// The level of a processor (x86-64-v1 to v4). glibc looks for libraries of the levels from 2 on in a directory of theirs
/// below each directory of libraries, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(u8);

impl Default for Level {
    fn default() -> Self {
        Self(1)
    }
}

impl Level {
    /// The levels that have directories, up to this one, the highest first.
    fn with_directories(self) -> impl Iterator<Item = Self> {
        (2..=self.0).rev().map(Self)
    }

    fn directory(self, place: &str) -> String {
        format!("{place}/glibc-hwcaps/x86-64-v{}", self.0)
    }
}

impl Search {
    /// Those that a loader uses on processors of a level. `given` are those of `LD_LIBRARY_PATH`.
    pub(crate) fn new(files: &dyn Files, interpreter: Option<&str>, given: &[String], level: Level) -> Self {
        let is_musl = interpreter.is_some_and(|path| path.contains("ld-musl"));
        let mut common = Vec::new();
        if is_musl {
            let configured = text(files, "/etc/ld-musl-x86_64.path");
            common.extend(configured.split([':', '\n']).filter(|it| it.starts_with('/')).map(str::to_owned));
            if common.is_empty() {
                common.extend(OF_MUSL.iter().map(|it| (*it).to_owned()));
            }
        } else {
            configured(files, &mut common);
            common.extend(BUILT_IN.iter().map(|it| (*it).to_owned()));
        }
        Self { given: given.to_vec(), common, is_musl, level }
    }

    /// The path of a library that an object needs, or opens. `loaders` are those that have loaded it, from itself to the
    /// program.
    pub(crate) fn find(&self, files: &dyn Files, name: &str, loaders: &[&Elf]) -> Option<String> {
        if name.contains('/') {
            let own = loaders.first().map_or("/", |it| folder(&it.path));
            let path = substitute(name, own);
            return library(files, &if path.starts_with('/') { path } else { format!("/{path}") });
        }
        self.places(loaders).into_iter().find_map(|place| {
            let levels = self.level.with_directories().filter(|_| has_levels(files, &place));
            let found = levels.map(|it| it.directory(&place)).find_map(|it| in_directory(files, &it, name));
            found.or_else(|| in_directory(files, &place, name))
        })
    }

    /// The levels of processors that have a library of their own with this name.
    pub(crate) fn levels(&self, files: &dyn Files, name: &str, loaders: &[&Elf]) -> Vec<Level> {
        const HIGHEST: Level = Level(4);
        if name.contains('/') || self.is_musl {
            return Vec::new();
        }
        let places: Vec<_> =
            self.places(loaders).into_iter().filter(|place| has_levels(files, place)).collect();
        let has = |level: &Level| {
            places.iter().any(|place| in_directory(files, &level.directory(place), name).is_some())
        };
        HIGHEST.with_directories().filter(has).collect()
    }

    /// The directories, in the order of the loader (glibc's `_dl_map_object`, musl's `load_library`).
    fn places(&self, loaders: &[&Elf]) -> Vec<String> {
        let of = |paths: &[String], elf: &Elf| -> Vec<String> {
            paths.iter().map(|it| substitute(it, folder(&elf.path))).collect()
        };
        let mut places = Vec::new();
        if self.is_musl {
            places.extend(self.given.iter().cloned());
            for loader in loaders {
                let dynamic = &loader.dynamic;
                let own = if dynamic.runpath.is_empty() { &dynamic.rpath } else { &dynamic.runpath };
                places.extend(of(own, loader));
            }
        } else {
            let own = loaders.first().filter(|it| !it.dynamic.runpath.is_empty());
            // Of an object with both, only `DT_RUNPATH` counts, and only for what the object itself needs.
            let inherited = loaders.iter().filter(|it| own.is_none() && it.dynamic.runpath.is_empty());
            inherited.for_each(|loader| places.extend(of(&loader.dynamic.rpath, loader)));
            places.extend(self.given.iter().cloned());
            places.extend(own.into_iter().flat_map(|it| of(&it.dynamic.runpath, it)));
        }
        places.extend(self.common.iter().cloned());
        places
    }
}

fn has_levels(files: &dyn Files, place: &str) -> bool {
    directory(files, &format!("{place}/glibc-hwcaps")).is_some()
}

fn in_directory(files: &dyn Files, place: &str, name: &str) -> Option<String> {
    library(files, &format!("{place}/{name}"))
}

/// The path of a library, all links resolved. The loader passes over libraries of other architectures.
fn library(files: &dyn Files, path: &str) -> Option<String> {
    let path = resolve(files, path)?;
    let bytes = files.head(&path, HEADER_BYTES).ok()?;
    (bytes.get(..5) == Some(b"\x7fELF\x02") && bytes.get(18..20) == Some(&[62, 0])).then_some(path)
}

fn folder(path: &str) -> &str {
    path.rfind('/').map_or("/", |end| &path[..end])
}

fn substitute(path: &str, origin: &str) -> String {
    let mut path = path.to_owned();
    for (variable, value) in [("ORIGIN", origin), ("LIB", "lib/x86_64-linux-gnu"), ("PLATFORM", "x86_64")] {
        path = path.replace(&format!("${{{variable}}}"), value).replace(&format!("${variable}"), value);
    }
    path
}

/// The directories of `/etc/ld.so.conf`, with those that it includes.
fn configured(files: &dyn Files, directories: &mut Vec<String>) {
    let (mut open, mut seen) = (vec!["/etc/ld.so.conf".to_owned()], BTreeSet::new());
    while let Some(path) = open.pop() {
        if seen.len() >= limits::CONFIGURATION_FILES || !seen.insert(path.clone()) {
            continue;
        }
        for line in text(files, &path).lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some(pattern) = line.strip_prefix("include").filter(|it| it.starts_with([' ', '\t'])) {
                open.extend(included(files, pattern.trim()));
            } else if line.starts_with('/') {
                directories.push(line.trim_end_matches('/').to_owned());
            }
        }
    }
}

/// The files that a pattern with at most one `*` in its last name means, the last first.
fn included(files: &dyn Files, pattern: &str) -> Vec<String> {
    let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("/etc/{pattern}") };
    let Some((folder, name)) = pattern.rsplit_once('/') else { return Vec::new() };
    let Some((start, end)) = name.split_once('*') else { return vec![pattern] };
    let Some(folder) = directory(files, folder) else { return Vec::new() };
    let fits =
        |it: &String| it.len() >= start.len() + end.len() && it.starts_with(start) && it.ends_with(end);
    let mut found: Vec<_> = files.names(&folder).into_iter().filter(fits).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.into_iter().map(|it| format!("{folder}/{it}")).collect()
}
