//! An image as a whole.

use std::io::Read;

use files::{Entry, Files};
use registry::Digest;

use crate::choice::{Chosen, choose};
use crate::config::Start;
use crate::error::{ImageError, LayerError};
use crate::layer::Layers;
use crate::limits;
use crate::source::{Source, part};
use crate::store::{Section, Store};
use crate::tree::{Node, Tree};

/// A layer as it is stored, mostly compressed.
pub struct Layer<'a> {
    /// The digest of its bytes, if it is known.
    pub digest: Option<Digest>,
    /// Its bytes.
    pub bytes: Box<dyn Read + 'a>,
}

/// The files of an image, and what its containers run.
#[derive(Debug)]
pub struct Image<S> {
    tree: Tree,
    store: S,
    start: Start,
}

impl<S: Store> Image<S> {
    /// Reads an image out of a layout or an archive: the one that is named `wanted`, or the only one. `progress` is called
    /// before each layer with its number, the number of all, and its size.
    ///
    /// # Errors
    /// There is no such image, it is not for x86_64, or a part of it cannot be used.
    pub fn open(
        source: &dyn Source,
        wanted: Option<&str>,
        store: S,
        progress: &mut dyn FnMut(usize, usize, u64),
    ) -> Result<Self, ImageError> {
        let Chosen { config, layers } = choose(source, wanted)?;
        let count = layers.len();
        let opened = layers.into_iter().enumerate().map(|(index, (path, digest))| {
            let opened = part(source, &path)?.ok_or(ImageError::Missing(path))?;
            progress(index + 1, count, opened.size);
            Ok(Layer { digest, bytes: opened.bytes })
        });
        Self::of(&config, opened, store)
    }

    /// An image with this configuration and these layers, of which the lowest comes first.
    ///
    /// # Errors
    /// It is not for x86_64, or a part of it cannot be used.
    pub fn of<'a>(
        config: &[u8],
        layers: impl IntoIterator<Item = Result<Layer<'a>, ImageError>>,
        store: S,
    ) -> Result<Self, ImageError> {
        let (start, digests) = Start::read(config)?;
        let mut all = Layers::new(store);
        for (index, layer) in layers.into_iter().enumerate() {
            if index == limits::LAYERS {
                return Err(ImageError::TooLarge { what: "layers", limit: limits::LAYERS as u64 });
            }
            let Layer { digest, bytes } = layer?;
            let added = all.add(bytes, digest.as_ref(), digests.get(index));
            added.map_err(|error: LayerError| ImageError::Layer { number: index + 1, error })?;
        }
        if !digests.is_empty() && digests.len() != all.count() {
            let why = format!("it states {} layers, and there are {}", digests.len(), all.count());
            return Err(ImageError::Malformed { path: "the configuration".to_owned(), why });
        }
        Ok(Self { tree: all.tree, store: all.store, start })
    }

    /// What a container runs.
    pub const fn start(&self) -> &Start {
        &self.start
    }

    fn contents(&self, offset: u64, length: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = Section::new(&self.store, offset, length).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| error.to_string())
    }
}

impl<S: Store> Files for Image<S> {
    fn entry(&self, path: &str) -> Option<Entry> {
        self.tree.entry(path)
    }

    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let Some(Node::File(kept)) = self.tree.node(path) else { return Err("it is no file".to_owned()) };
        let kept = kept.ok_or("it is neither a program nor a library, and too large to be looked at")?;
        if kept.length > most as u64 {
            return Err(format!("it has more than {most} bytes"));
        }
        self.contents(kept.offset, kept.length)
    }

    fn head(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let Some(Node::File(Some(kept))) = self.tree.node(path) else { return Ok(Vec::new()) };
        self.contents(kept.offset, kept.length.min(most as u64))
    }

    fn names(&self, path: &str) -> Vec<String> {
        self.tree.names(path)
    }
}
