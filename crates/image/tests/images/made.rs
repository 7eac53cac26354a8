//! Makes layers, layouts and archives.

use std::collections::BTreeMap;
use std::io::{self, Write};

use files::Files;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{Image, ImageError, Layer, Opened, Source};
use registry::Digest;
use tar::{Builder, EntryType, Header};

/// An entry of a layer.
pub(crate) enum Made {
    File(&'static str, &'static [u8]),
    Directory(&'static str),
    Link(&'static str, &'static str),
    Hard(&'static str, &'static str),
}

/// A layer that is not compressed.
pub(crate) fn layer(entries: &[Made]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for entry in entries {
        let (path, kind, target, contents) = match entry {
            Made::File(path, contents) => (path, EntryType::Regular, "", *contents),
            Made::Directory(path) => (path, EntryType::Directory, "", &b""[..]),
            Made::Link(path, target) => (path, EntryType::Symlink, *target, &b""[..]),
            Made::Hard(path, target) => (path, EntryType::Link, *target, &b""[..]),
        };
        builder.append(&header(path, kind, target, contents.len() as u64), contents).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A header with a path as it is, which the library would not write.
pub(crate) fn header(path: &str, kind: EntryType, target: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o755);
    header.set_cksum();
    header
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The image of these layers.
pub(crate) fn image(layers: &[Vec<u8>]) -> Result<Image<Vec<u8>>, ImageError> {
    let layers = layers.iter().map(|bytes| Ok(Layer { digest: None, bytes: Box::new(&bytes[..]) }));
    Image::of(CONFIG, layers, Vec::new())
}

pub(crate) const CONFIG: &[u8] =
    br#"{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/bin/app"],"WorkingDir":"/srv"}}"#;

/// The contents of a file.
pub(crate) fn contents(image: &Image<Vec<u8>>, path: &str) -> Option<String> {
    let path = files::resolve(image, path)?;
    Some(String::from_utf8(image.read(&path, 1 << 20).unwrap()).unwrap())
}

/// The parts of a layout or of an archive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts(pub(crate) BTreeMap<String, Vec<u8>>);

impl Source for Parts {
    fn open(&self, path: &str) -> io::Result<Option<Opened<'_>>> {
        Ok(self.0.get(path).map(|bytes| Opened { size: bytes.len() as u64, bytes: Box::new(&bytes[..]) }))
    }
}

impl Parts {
    pub(crate) fn add(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.to_owned(), bytes.into());
    }

    /// Adds a blob, and returns its descriptor without its end, so that more can follow.
    pub(crate) fn blob(&mut self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes);
        self.add(&format!("blobs/sha256/{}", digest.hex()), bytes);
        format!(r#"{{"digest":"{digest}","size":{}"#, bytes.len())
    }

    /// Adds an image, and returns the descriptor of its manifest, without its end.
    pub(crate) fn image(&mut self, config: &[u8], layers: &[Vec<u8>]) -> String {
        let config = self.blob(config);
        let layers: Vec<_> = layers.iter().map(|bytes| self.blob(bytes) + "}").collect();
        let manifest = format!(r#"{{"config":{config}}},"layers":[{}]}}"#, layers.join(","));
        self.blob(manifest.as_bytes())
    }

    /// Marks it as a layout with these descriptors.
    pub(crate) fn layout(&mut self, descriptors: &[String]) {
        self.add("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        self.add("index.json", format!(r#"{{"manifests":[{}]}}"#, descriptors.join(",")));
    }

    /// As a tar file.
    pub(crate) fn archive(&self) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, bytes) in &self.0 {
            builder.append(&header(path, EntryType::Regular, "", bytes.len() as u64), &bytes[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    pub(crate) fn open_image(&self, wanted: Option<&str>) -> Result<Image<Vec<u8>>, ImageError> {
        Image::open(self, wanted, Vec::new(), &mut |_, _, _| {})
    }
}
