//! The files, directories and links of an image, and how a layer changes them.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;

use files::{Entry, Files};

use crate::error::LayerError;
use crate::limits;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    /// A symbolic link.
    Link(String),
    /// A file, and where its contents are, if they are kept.
    File(Option<Kept>),
    /// A device, a pipe or the like.
    Other,
}

/// Where the contents of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// All paths, absolute and without links; the root, whose path is empty, is always there and is not among them.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// With the number of the layer that a path comes from.
    nodes: BTreeMap<String, (Node, usize)>,
    path_bytes: usize,
    /// How many paths were looked up for all entries.
    work: usize,
}

impl Tree {
    pub(crate) fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path).map(|(node, _)| node)
    }

    /// Puts something at a path, whose directory must exist, in place of what is there. What is in a directory stays if a
    /// directory comes in its place.
    pub(crate) fn put(&mut self, path: String, node: Node, layer: usize) -> Result<(), LayerError> {
        if node != Node::Directory {
            self.remove_below(&path, usize::MAX)?;
        }
        let length = path.len();
        if self.nodes.insert(path, (node, layer)).is_none() {
            self.path_bytes += length;
        }
        if self.nodes.len() > limits::ENTRIES {
            return Err(LayerError::TooLarge { what: "files", limit: limits::ENTRIES as u64 });
        }
        if self.path_bytes > limits::ALL_PATH_BYTES {
            let limit = limits::ALL_PATH_BYTES as u64;
            return Err(LayerError::TooLarge { what: "bytes of paths", limit });
        }
        Ok(())
    }

    /// Removes what layers below `layer` have at a path.
    pub(crate) fn remove(&mut self, path: &str, layer: usize) -> Result<(), LayerError> {
        self.remove_below(path, layer)?;
        if self.nodes.get(path).is_some_and(|(_, from)| *from < layer) {
            self.take(path);
        }
        Ok(())
    }

    /// Removes what layers below `layer` have in a directory.
    pub(crate) fn remove_below(&mut self, path: &str, layer: usize) -> Result<(), LayerError> {
        let mut visited = 0;
        let below = self.below(path).inspect(|_| visited += 1);
        let gone: Vec<_> = below.filter(|(_, (_, from))| *from < layer).map(|(it, _)| it.clone()).collect();
        self.count(visited)?;
        gone.iter().rev().for_each(|path| self.take(path));
        Ok(())
    }

    /// Removes a path. A directory of a lower layer stays if this layer has put something into it.
    fn take(&mut self, path: &str) {
        if self.below(path).next().is_none() && self.nodes.remove(path).is_some() {
            self.path_bytes -= path.len();
        }
    }

    /// Bounds the time that entries take which are small themselves: a whiteout looks at a whole directory, and a path may
    /// have very many parts.
    fn count(&mut self, work: usize) -> Result<(), LayerError> {
        self.work += work;
        if self.work > limits::WORK {
            return Err(LayerError::TooLarge { what: "lookups of paths", limit: limits::WORK as u64 });
        }
        Ok(())
    }

    fn below(&self, path: &str) -> Range<'_, String, (Node, usize)> {
        self.nodes.range(format!("{path}/")..format!("{path}0"))
    }

    /// The directory of a path, with all links resolved as in a root; directories that are missing are made, also where a
    /// link leads to.
    pub(crate) fn directory(&mut self, path: &str, layer: usize) -> Result<String, LayerError> {
        let wrong = |why| LayerError::Path { path: path.to_owned(), why };
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut at, mut links) = (String::new(), 0);
        while let Some(name) = left.pop() {
            self.count(1)?;
            if name.is_empty() || name == "." {
                continue;
            }
            if name == ".." {
                at.truncate(at.rfind('/').unwrap_or(0));
                continue;
            }
            let whole = format!("{at}/{name}");
            match self.node(&whole) {
                Some(Node::Directory) => at = whole,
                Some(Node::Link(target)) => {
                    links += 1;
                    if links > files::LINKS {
                        return Err(wrong("it is below links that lead to one another"));
                    }
                    if target.starts_with('/') {
                        at.clear();
                    }
                    left.extend(target.split('/').rev().map(str::to_owned));
                }
                Some(_) => return Err(wrong("it is below a file")),
                None => {
                    self.put(whole.clone(), Node::Directory, layer)?;
                    at = whole;
                }
            }
        }
        Ok(at)
    }
}

impl Files for Tree {
    fn entry(&self, path: &str) -> Option<Entry> {
        match self.node(path)? {
            Node::Directory => Some(Entry::Directory),
            Node::Link(target) => Some(Entry::Link(target.clone())),
            Node::File(_) => Some(Entry::File),
            Node::Other => None,
        }
    }

    /// The contents are elsewhere.
    fn read(&self, _path: &str, _most: usize) -> Result<Vec<u8>, String> {
        Err("its contents are not here".to_owned())
    }

    fn head(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        self.read(path, most)
    }

    fn names(&self, path: &str) -> Vec<String> {
        let start = format!("{path}/");
        let (mut names, mut next) = (Vec::new(), start.clone());
        while let Some((found, _)) = self.nodes.range(next..format!("{path}0")).next() {
            let rest = found.get(start.len()..).unwrap_or_default();
            next = match rest.split_once('/') {
                // What is in a directory below is passed over; the directory itself came before.
                Some((name, _)) => format!("{start}{name}0"),
                None => {
                    names.push(rest.to_owned());
                    format!("{found}\0")
                }
            };
        }
        names
    }
}
