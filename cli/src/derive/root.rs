//! The files below a directory, as the crate `derive` asks for them: it resolves links itself, so that none leads out.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

use derive::{Entry, Files};

/// A directory that is the root of an image, or of this machine.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(root: PathBuf) -> Self {
        Self(root)
    }

    fn place(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }
}

impl Files for Directory {
    fn entry(&self, path: &str) -> Option<Entry> {
        let place = self.place(path);
        let found = fs::symlink_metadata(&place).ok()?.file_type();
        match () {
            () if found.is_symlink() => Some(Entry::Link(fs::read_link(place).ok()?.to_str()?.to_owned())),
            () if found.is_dir() => Some(Entry::Directory),
            // Devices and pipes have no end.
            () if found.is_file() => Some(Entry::File),
            () => None,
        }
    }

    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let file = File::open(self.place(path)).map_err(|error| error.to_string())?;
        file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() > most {
            return Err(format!("it has more than {most} bytes"));
        }
        Ok(bytes)
    }

    fn head(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let file = File::open(self.place(path)).map_err(|error| error.to_string())?;
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
