//! The files of this machine, or of a directory of it, with some of our own in their place, and programs that are compiled
//! for a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use derive::{Derived, Entry, Files, Request};
use syscalls::{Architecture, Syscall};

/// The files of this machine.
#[derive(Default)]
pub(crate) struct Machine {
    /// The directory that is the root; the machine's own if it is empty.
    pub(crate) root: PathBuf,
    /// Files that are there instead of the machine's.
    pub(crate) instead: BTreeMap<String, Vec<u8>>,
}

impl Machine {
    /// With the name services of an image: files and DNS.
    pub(crate) fn like_an_image() -> Self {
        let services = b"passwd: files\ngroup: files\nhosts: files dns\n".to_vec();
        let instead = BTreeMap::from([("/etc/nsswitch.conf".to_owned(), services)]);
        Self { instead, ..Self::default() }
    }

    fn place(&self, path: &str) -> PathBuf {
        match self.root.as_os_str().is_empty() {
            true => PathBuf::from(path),
            false => self.root.join(path.trim_start_matches('/')),
        }
    }
}

impl Files for Machine {
    fn entry(&self, path: &str) -> Option<Entry> {
        if self.instead.contains_key(path) {
            return Some(Entry::File);
        }
        let found = fs::symlink_metadata(self.place(path)).ok()?;
        Some(match () {
            () if found.is_symlink() => {
                Entry::Link(fs::read_link(self.place(path)).ok()?.to_str()?.to_owned())
            }
            () if found.is_dir() => Entry::Directory,
            () => Entry::File,
        })
    }

    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let bytes = match self.instead.get(path) {
            Some(bytes) => bytes.clone(),
            None => fs::read(self.place(path)).map_err(|error| error.to_string())?,
        };
        if bytes.len() > most { Err("too large".to_owned()) } else { Ok(bytes) }
    }

    fn head(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        if let Some(known) = self.instead.get(path) {
            bytes.extend(known.iter().take(most));
            return Ok(bytes);
        }
        let file = fs::File::open(self.place(path)).map_err(|error| error.to_string())?;
        file.take(most as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.place(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|it| it.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

pub(crate) fn derived(files: &Machine, program: &str) -> Derived {
    let request = Request { program: program.to_owned(), ..Request::default() };
    derive::derive(files, &request).unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub(crate) fn names(derived: &Derived) -> BTreeSet<&'static str> {
    let name = |number| Syscall::by_number(Architecture::X86_64, number).map(Syscall::name);
    derived.calls.iter().filter_map(|call| name(call.number)).collect()
}

/// Compiles a program of C with some options; its path.
pub(crate) fn compile(folder: &Path, name: &str, source: &str, options: &[&str]) -> String {
    let (code, program) = (folder.join(format!("{name}.c")), folder.join(name));
    fs::write(&code, source).unwrap();
    let mut compiler = Command::new("cc");
    compiler.arg("-o").arg(&program).arg(&code).args(options);
    run(&mut compiler);
    program.to_str().unwrap().to_owned()
}

/// Runs a tool, which succeeds.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
