//! Applies a layer to the files of those below it (OCI image specification, `layer.md`), as containerd does.

use std::io::{self, Read};

use registry::Digest;
use tar::EntryType;

use crate::error::LayerError;
use crate::limits;
use crate::store::{Store, append_all};
use crate::tape::{self, Head};
use crate::tree::{Kept, Node, Tree};
use crate::unpacked::Unpacked;

/// What begins the name of a whiteout, and the name of the one that empties its directory.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// The files of the layers so far.
#[derive(Debug)]
pub(crate) struct Layers<S> {
    pub(crate) tree: Tree,
    pub(crate) store: S,
    kept: u64,
    unpacked: u64,
    count: usize,
}

impl<S: Store> Layers<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { tree: Tree::default(), store, kept: 0, unpacked: limits::UNPACKED_BYTES, count: 0 }
    }

    /// How many layers there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Adds the next layer. `digest` is that of its bytes, and `unpacked` that of its bytes without compression.
    pub(crate) fn add(
        &mut self,
        packed: impl Read,
        digest: Option<&Digest>,
        unpacked: Option<&Digest>,
    ) -> Result<(), LayerError> {
        self.count += 1;
        let mut verified = Verified::new(packed, digest);
        let result = self.entries(&mut verified, unpacked);
        // What follows the last entry counts for the digest, and bytes of another digest explain every other error.
        let rest = io::copy(&mut verified, &mut io::sink());
        if rest.is_ok() && !verified.is_of(digest) {
            return Err(LayerError::Digest);
        }
        result.and_then(|()| rest.map(drop).map_err(LayerError::Io))
    }

    fn entries(&mut self, packed: impl Read, digest: Option<&Digest>) -> Result<(), LayerError> {
        let mut verified = Verified::new(Unpacked::new(packed, self.unpacked)?, digest);
        tape::each_entry(&mut verified, |head, contents| self.entry(head, contents))?;
        io::copy(&mut verified, &mut io::sink())?;
        self.unpacked = verified.bytes.left();
        if verified.is_of(digest) { Ok(()) } else { Err(LayerError::Digest) }
    }

    fn entry(&mut self, head: Head, contents: &mut dyn Read) -> Result<(), LayerError> {
        let wrong = |why| LayerError::Path { path: head.path.clone(), why };
        let path = clean(&head.path).map_err(wrong)?;
        let Some((directory, name)) = path.rsplit_once('/') else { return Ok(()) };
        if let Some(gone) = name.strip_prefix(WHITEOUT) {
            if matches!(gone, "" | "." | "..") {
                return Err(wrong("it removes what has no name"));
            }
            // Where there is no such directory there is nothing to be removed.
            let Some(directory) = files::directory(&self.tree, directory) else { return Ok(()) };
            if name == OPAQUE {
                self.tree.remove_below(&directory, self.count)?;
            } else if !gone.starts_with(WHITEOUT) {
                self.tree.remove(&format!("{directory}/{gone}"), self.count)?;
            }
            return Ok(());
        }
        let directory = self.tree.directory(directory, self.count)?;
        let path = format!("{directory}/{name}");
        let link = || head.link.clone().unwrap_or_default();
        let node = match head.kind {
            EntryType::Regular | EntryType::Continuous => Node::File(self.keep(head.size, contents)?),
            EntryType::Directory => Node::Directory,
            EntryType::Symlink => Node::Link(link()),
            EntryType::Link => {
                let target = clean(&link()).map_err(|_| wrong("it is a hard link to a path with .."))?;
                self.linked(&target).ok_or_else(|| wrong("it is a hard link to no file"))?
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => Node::Other,
            _ => {
                return Err(LayerError::Header {
                    path: head.path,
                    why: "an entry of a kind that is not read",
                });
            }
        };
        self.tree.put(path, node, self.count)
    }

    /// What a hard link is.
    fn linked(&self, target: &str) -> Option<Node> {
        let (directory, name) = target.rsplit_once('/')?;
        let directory = files::directory(&self.tree, directory)?;
        let node = self.tree.node(&format!("{directory}/{name}"))?;
        (*node != Node::Directory).then(|| node.clone())
    }

    /// Keeps the contents of a file that may be looked at.
    fn keep(&mut self, size: u64, contents: &mut dyn Read) -> Result<Option<Kept>, LayerError> {
        let mut first = Vec::new();
        contents.take(4).read_to_end(&mut first)?;
        let is_looked_at = size <= limits::OTHER_BYTES || first == b"\x7fELF" || first.starts_with(b"#!");
        if !is_looked_at {
            return Ok(None);
        }
        if size > limits::KEPT_BYTES - self.kept {
            return Err(LayerError::TooLarge {
                what: "bytes of programs and libraries",
                limit: limits::KEPT_BYTES,
            });
        }
        let kept = Kept { offset: self.kept, length: size };
        let copied = append_all(&mut self.store, io::Cursor::new(first).chain(contents))?;
        self.kept += copied;
        if copied != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(Some(kept))
    }
}

/// A path without `.` and empty names, absolute; empty for the root.
fn clean(path: &str) -> Result<String, &'static str> {
    let mut cleaned = String::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => return Err("its path has .."),
            name => {
                cleaned.push('/');
                cleaned.push_str(name);
            }
        }
    }
    Ok(cleaned)
}

/// Bytes whose digest is computed while they are read, if there is one that they should have.
struct Verified<R> {
    bytes: R,
    parts: Option<registry::Parts>,
}

impl<R> Verified<R> {
    fn new(bytes: R, digest: Option<&Digest>) -> Self {
        Self { bytes, parts: digest.map(Digest::parts) }
    }

    /// Whether what was read is what it was made for.
    fn is_of(&self, digest: Option<&Digest>) -> bool {
        self.parts.as_ref().map(registry::Parts::digest).as_ref() == digest
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        if let Some(parts) = &mut self.parts {
            parts.update(&buffer[..count]);
        }
        Ok(count)
    }
}
