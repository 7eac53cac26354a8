//! A tar file with an image.

use std::collections::BTreeMap;
use std::io;

use tar::EntryType;

use crate::error::ImageError;
use crate::limits;
use crate::source::{Opened, Source};
use crate::store::{ReadAt, Section, Store, append_all};
use crate::tape;
use crate::unpacked::Unpacked;

/// A tar file with an image, whose parts are read where they are.
#[derive(Debug)]
pub struct Archive<R> {
    bytes: R,
    parts: BTreeMap<String, Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    File {
        offset: u64,
        size: u64,
    },
    /// A link to another part; older versions of Docker write a layer only once.
    Link(String),
}

impl<R: Store> Archive<R> {
    /// Looks for the parts of an archive. If it is compressed, `spare` takes it without.
    ///
    /// # Errors
    /// It is no tar file, or too large.
    pub fn new(bytes: R, mut spare: R) -> Result<Self, ImageError> {
        let failed = |error: io::Error| ImageError::Malformed {
            path: "the archive".to_owned(),
            why: error.to_string(),
        };
        let unpacked =
            Unpacked::new(Whole { bytes: &bytes, at: 0 }, limits::ARCHIVE_BYTES).map_err(failed)?;
        if !unpacked.is_packed() {
            let parts = parts(Whole { bytes: &bytes, at: 0 })?;
            return Ok(Self { bytes, parts });
        }
        append_all(&mut spare, unpacked).map_err(failed)?;
        let parts = parts(Whole { bytes: &spare, at: 0 })?;
        Ok(Self { bytes: spare, parts })
    }
}

/// Where the parts are.
fn parts(bytes: impl io::Read) -> Result<BTreeMap<String, Part>, ImageError> {
    let mut parts = BTreeMap::new();
    let read = tape::each_entry(bytes, |head, _| {
        let name = relative("", &head.path);
        let part = match (head.kind, name) {
            (EntryType::Regular | EntryType::Continuous, Some(name)) => {
                Some((name, Part::File { offset: head.offset, size: head.size }))
            }
            (EntryType::Symlink, Some(name)) => {
                let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                let target = relative(directory, head.link.as_deref().unwrap_or_default());
                target.map(|target| (name, Part::Link(target)))
            }
            (EntryType::Link, Some(name)) => relative("", head.link.as_deref().unwrap_or_default())
                .map(|target| (name, Part::Link(target))),
            _ => None,
        };
        parts.extend(part);
        Ok(())
    });
    read.map_err(|error| ImageError::Malformed { path: "the archive".to_owned(), why: error.to_string() })?;
    Ok(parts)
}

/// A path in a directory of the archive, without `.` and `..`; `None` if it leads out.
fn relative(directory: &str, path: &str) -> Option<String> {
    let mut names: Vec<_> = directory.split('/').filter(|it| !it.is_empty()).collect();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

impl<R: ReadAt> Source for Archive<R> {
    fn open(&self, path: &str) -> io::Result<Option<Opened<'_>>> {
        let mut name = path;
        for _ in 0..=files::LINKS {
            match self.parts.get(name) {
                Some(Part::File { offset, size }) => {
                    let bytes = Box::new(Section::new(&self.bytes, *offset, *size));
                    return Ok(Some(Opened { size: *size, bytes }));
                }
                Some(Part::Link(target)) => name = target,
                None => return Ok(None),
            }
        }
        Err(io::Error::other("links that lead to one another"))
    }
}

/// All bytes, from the beginning.
struct Whole<'a, R> {
    bytes: &'a R,
    at: u64,
}

impl<R: ReadAt> io::Read for Whole<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read_at(self.at, buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}
