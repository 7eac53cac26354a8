//! Files below a root directory, without leaving it: links are resolved here and not by the system.
//!
//! [`Files`] is what has the files: a directory of this machine, or the layers of an image. [`resolve`] and [`directory`]
//! follow links as a process does whose root it is: `..` above the root is the root. The crate is pure.

#![forbid(unsafe_code)]

/// Links that are followed to find one file: as many as the kernel follows (`MAXSYMLINKS` of Linux).
pub const LINKS: usize = 40;
/// Bytes of one path: as many as the kernel takes (`PATH_MAX` of Linux).
pub const PATH_BYTES: usize = 4096;

/// What a path without links is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Link(String),
}

/// The files of an image or of a machine. Paths are absolute, with the root as `/`, without `.`, `..` and empty names; no
/// part of a path that is asked for is a link, except that the last one may be one for [`Files::entry`].
pub trait Files {
    /// What is there; `None` if nothing is, or nothing that can be read.
    fn entry(&self, path: &str) -> Option<Entry>;

    /// The contents of a file.
    ///
    /// # Errors
    /// It cannot be read, or has more than `most` bytes; the message is for people.
    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String>;

    /// The first bytes of a file, at most `most`.
    ///
    /// # Errors
    /// It cannot be read; the message is for people.
    fn head(&self, path: &str, most: usize) -> Result<Vec<u8>, String>;

    /// The names in a directory, sorted.
    fn names(&self, path: &str) -> Vec<String>;
}

/// The path of a file with all links resolved, if there is a file.
pub fn resolve(files: &dyn Files, path: &str) -> Option<String> {
    walk(files, path).filter(|(_, is_file)| *is_file).map(|(path, _)| path)
}

/// The path of a directory with all links resolved, if there is one; the root is the empty path.
pub fn directory(files: &dyn Files, path: &str) -> Option<String> {
    walk(files, path).filter(|(_, is_file)| !is_file).map(|(path, _)| path)
}

/// The path with all links resolved, and whether it is a file.
fn walk(files: &dyn Files, path: &str) -> Option<(String, bool)> {
    if path.len() > PATH_BYTES {
        return None;
    }
    let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let (mut at, mut is_file, mut links) = (String::new(), false, 0);
    while let Some(name) = left.pop() {
        if name.is_empty() || name == "." {
            continue;
        }
        if is_file {
            return None;
        }
        if name == ".." {
            at.truncate(at.rfind('/').unwrap_or(0));
            continue;
        }
        let whole = format!("{at}/{name}");
        match files.entry(&whole)? {
            Entry::Directory => at = whole,
            Entry::File => (at, is_file) = (whole, true),
            Entry::Link(target) => {
                links += 1;
                if links > LINKS || target.len() > PATH_BYTES {
                    return None;
                }
                if target.starts_with('/') {
                    at.clear();
                }
                left.extend(target.split('/').rev().map(str::to_owned));
            }
        }
    }
    Some((at, is_file))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Few(BTreeMap<&'static str, Entry>);

    impl Files for Few {
        fn entry(&self, path: &str) -> Option<Entry> {
            self.0.get(path).cloned()
        }

        fn read(&self, path: &str, _most: usize) -> Result<Vec<u8>, String> {
            Err(format!("{path} is not read"))
        }

        fn head(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
            self.read(path, most)
        }

        fn names(&self, _path: &str) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn links_are_followed_within_the_root_and_not_for_ever() {
        let link = |target: &str| Entry::Link(target.to_owned());
        let files = Few(BTreeMap::from([
            ("/lib", link("usr/lib")),
            ("/usr", Entry::Directory),
            ("/usr/lib", Entry::Directory),
            ("/usr/lib/c.so", link("../../../../usr/lib/c.so.6")),
            ("/usr/lib/c.so.6", Entry::File),
            ("/round", link("/round")),
            ("/nowhere", link("/usr/absent")),
        ]));
        assert_eq!(resolve(&files, "/lib/./c.so").as_deref(), Some("/usr/lib/c.so.6"));
        assert_eq!(directory(&files, "lib/").as_deref(), Some("/usr/lib"));
        assert_eq!(directory(&files, "/..").as_deref(), Some(""));
        for path in ["/lib", "/round", "/nowhere", "/usr/lib/c.so.6/x", &"/a".repeat(PATH_BYTES)] {
            assert_eq!(resolve(&files, path), None, "{path:.40}");
        }
    }
}
