//! Where the loader looks for libraries: `DT_RPATH`, `DT_RUNPATH`, `/etc/ld.so.conf`, the directories that are built in;
//! for musl `/etc/ld-musl-x86_64.path`.

use std::collections::BTreeSet;

use crate::elf::Elf;
use crate::files::{Files, directory, resolve, text};
use crate::limits;

/// The directories that glibc's loader has built in on Debian, Ubuntu, Fedora and others.
const BUILT_IN: &[&str] =
    &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// Those of musl's loader.
const OF_MUSL: &[&str] = &["/lib", "/usr/local/lib", "/usr/lib"];

/// The directories of libraries of one root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    directories: Vec<String>,
}

impl Search {
    /// Those that a loader uses. `extra` come first, as with `LD_LIBRARY_PATH`.
    pub(crate) fn new(files: &dyn Files, interpreter: Option<&str>, extra: &[String]) -> Self {
        let mut directories = extra.to_vec();
        if interpreter.is_some_and(|path| path.contains("ld-musl")) {
            let configured = text(files, "/etc/ld-musl-x86_64.path");
            let configured: Vec<_> = configured.split([':', '\n']).map(str::to_owned).collect();
            let configured: Vec<_> = configured.into_iter().filter(|it| it.starts_with('/')).collect();
            let is_configured = !configured.is_empty();
            directories.extend(configured);
            if !is_configured {
                directories.extend(OF_MUSL.iter().map(|it| (*it).to_owned()));
            }
        } else {
            configured(files, &mut directories);
            directories.extend(BUILT_IN.iter().map(|it| (*it).to_owned()));
        }
        Self { directories }
    }

    /// The path of a library that an object needs, or opens. `loaders` are those that have loaded it, from itself to the
    /// program.
    pub(crate) fn find(&self, files: &dyn Files, name: &str, loaders: &[&Elf]) -> Option<String> {
        let fits = |path: String| {
            let path = resolve(files, &path)?;
            // The loader passes over libraries of other architectures.
            let bytes = files.read(&path, limits::OBJECT_BYTES).ok()?;
            (bytes.get(..5) == Some(b"\x7fELF\x02") && bytes.get(18..20) == Some(&[62, 0])).then_some(path)
        };
        if name.contains('/') {
            let own = loaders.first().map_or("/", |it| folder(&it.path));
            let path = substitute(name, own);
            return fits(if path.starts_with('/') { path } else { format!("/{path}") });
        }
        let mut places = Vec::new();
        let own_paths = loaders.first().is_some_and(|it| !it.dynamic.runpath.is_empty());
        if own_paths {
            let own = loaders[0];
            places.extend(own.dynamic.runpath.iter().map(|it| substitute(it, folder(&own.path))));
        } else {
            for loader in loaders {
                places.extend(loader.dynamic.rpath.iter().map(|it| substitute(it, folder(&loader.path))));
            }
        }
        places.iter().chain(&self.directories).find_map(|place| fits(format!("{place}/{name}")))
    }
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
