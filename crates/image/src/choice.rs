//! Which image of a layout or an archive is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use registry::document::{Descriptor, Document, LARGEST_MANIFEST, Manifest};
use registry::{Digest, platforms};
use serde::Deserialize;

use crate::config::ARCHITECTURE;
use crate::error::ImageError;
use crate::limits;
use crate::source::{Source, whole};

/// What marks a layout, and the names of its index and of the list of Docker's archives.
const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
const LIST: &str = "manifest.json";
/// Annotations with the name of an image: of the OCI image specification, and of containerd.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
/// What BuildKit's attestations are marked with; they are no images.
const ATTESTATION: &str = "vnd.docker.reference.type";

/// The parts of the image that is read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) config: Vec<u8>,
    /// The paths of the layers, from the lowest, with their digests if they are known.
    pub(crate) layers: Vec<(String, Option<Digest>)>,
}

/// The image with this name, or the only one.
pub(crate) fn choose(source: &dyn Source, wanted: Option<&str>) -> Result<Chosen, ImageError> {
    // Newer versions of Docker write both. Only a layout has digests.
    if whole(source, LAYOUT, limits::CONFIG_BYTES)?.is_some() {
        return of_layout(source, wanted);
    }
    match whole(source, LIST, limits::CONFIG_BYTES)? {
        Some(bytes) => of_list(source, &bytes, wanted),
        None => Err(ImageError::NoImage),
    }
}

fn of_layout(source: &dyn Source, wanted: Option<&str>) -> Result<Chosen, ImageError> {
    let bytes = required(source, INDEX, LARGEST_MANIFEST)?;
    let Document::Index(index) = document(INDEX, &bytes)? else {
        return Err(ImageError::Malformed { path: INDEX.to_owned(), why: "it is no index".to_owned() });
    };
    let is_image = |it: &&Descriptor| it.annotations.as_ref().is_none_or(|it| it.get(ATTESTATION).is_none());
    let images: Vec<_> = index.manifests.iter().filter(is_image).collect();
    let named: Vec<_> =
        images.iter().filter(|it| wanted.is_none_or(|wanted| is_named(it, wanted))).copied().collect();
    let all_names = || images.iter().map(|it| name(it)).collect::<BTreeSet<_>>().into_iter().collect();
    let distinct =
        |list: &[&Descriptor]| list.iter().map(|it| it.digest.clone()).collect::<BTreeSet<_>>().len();
    let for_platform: Vec<_> = named.iter().filter(|it| is_for_platform(it)).copied().collect();
    let chosen = match (distinct(&named), distinct(&for_platform)) {
        (0, _) if wanted.is_none() => return Err(ImageError::NoImage),
        (0, _) => {
            let wanted = wanted.unwrap_or_default().to_owned();
            return Err(ImageError::NoSuchImage { wanted, found: all_names() });
        }
        (1, _) => named.first(),
        (_, 1) => for_platform.first(),
        _ => return Err(ImageError::Several(all_names())),
    };
    let Some(descriptor) = chosen else { return Err(ImageError::NoImage) };
    let manifest = manifest(source, descriptor)?;
    let config = blob(source, &manifest.config.digest, limits::CONFIG_BYTES)?;
    let layers = manifest.layers.iter().map(|it| (blob_path(&it.digest), Some(it.digest.clone()))).collect();
    Ok(Chosen { config, layers })
}

/// The manifest for the platform, through indexes.
fn manifest(source: &dyn Source, descriptor: &Descriptor) -> Result<Manifest, ImageError> {
    let mut digest = descriptor.digest.clone();
    for _ in 0..=limits::NESTED_INDEXES {
        let bytes = blob(source, &digest, LARGEST_MANIFEST)?;
        match document(&digest.to_string(), &bytes)? {
            Document::Image(manifest) => return Ok(Arc::unwrap_or_clone(manifest)),
            Document::Index(index) => {
                let found = platforms(&index, &[ARCHITECTURE.to_owned()]);
                let found = found.map_err(|_| ImageError::Platform("other platforms".to_owned()))?;
                let Some(first) = found.first() else { return Err(ImageError::NoImage) };
                digest = first.digest.clone();
            }
        }
    }
    Err(ImageError::TooLarge { what: "indexes in one another", limit: limits::NESTED_INDEXES as u64 })
}

fn document(path: &str, bytes: &[u8]) -> Result<Document, ImageError> {
    Document::read(bytes, None)
        .map_err(|error| ImageError::Malformed { path: path.to_owned(), why: error.to_string() })
}

fn required(source: &dyn Source, path: &str, limit: u64) -> Result<Vec<u8>, ImageError> {
    whole(source, path, limit)?.ok_or_else(|| ImageError::Missing(path.to_owned()))
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// A blob, which is that of its digest.
fn blob(source: &dyn Source, digest: &Digest, limit: u64) -> Result<Vec<u8>, ImageError> {
    let path = blob_path(digest);
    let bytes = required(source, &path, limit)?;
    if digest.verifies(&bytes) { Ok(bytes) } else { Err(ImageError::Digest(path)) }
}

/// The name of an image in a layout or, without one, its digest.
fn name(descriptor: &Descriptor) -> String {
    let annotations = descriptor.annotations.as_ref();
    let mut names = NAMES.iter().rev().filter_map(|key| annotations?.get(key));
    names.next().map_or_else(|| descriptor.digest.to_string(), str::to_owned)
}

fn is_named(descriptor: &Descriptor, wanted: &str) -> bool {
    let annotations = descriptor.annotations.as_ref();
    let mut names = NAMES.iter().filter_map(|key| annotations?.get(key));
    descriptor.digest.to_string() == wanted || names.any(|name| is_same(name, wanted))
}

/// Whether a name is the wanted one, which may leave out the registry.
fn is_same(name: &str, wanted: &str) -> bool {
    name == wanted || name.strip_suffix(wanted).is_some_and(|before| before.ends_with('/'))
}

fn is_for_platform(descriptor: &Descriptor) -> bool {
    let platform = descriptor.platform.as_ref();
    platform.is_some_and(|it| it.os == "linux" && it.architecture == ARCHITECTURE)
}

/// An image in the list of Docker's archives.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn of_list(source: &dyn Source, bytes: &[u8], wanted: Option<&str>) -> Result<Chosen, ImageError> {
    let read = serde_json::from_slice::<Vec<Item>>(bytes);
    let items =
        read.map_err(|error| ImageError::Malformed { path: LIST.to_owned(), why: error.to_string() })?;
    let tags = |item: &Item| item.repo_tags.clone().unwrap_or_default();
    let names = || {
        let of_item =
            |item: &Item| if tags(item).is_empty() { vec![item.config.clone()] } else { tags(item) };
        items.iter().flat_map(of_item).collect::<Vec<_>>()
    };
    let is_wanted = |item: &&Item| {
        wanted.is_none_or(|wanted| item.config == wanted || tags(item).iter().any(|tag| is_same(tag, wanted)))
    };
    let mut found = items.iter().filter(is_wanted);
    let item = match (found.next(), found.next()) {
        (Some(item), None) => item,
        (Some(_), Some(_)) => return Err(ImageError::Several(names())),
        (None, _) => match wanted {
            Some(wanted) => {
                return Err(ImageError::NoSuchImage { wanted: wanted.to_owned(), found: names() });
            }
            None => return Err(ImageError::NoImage),
        },
    };
    let config = required(source, &item.config, limits::CONFIG_BYTES)?;
    Ok(Chosen { config, layers: item.layers.iter().map(|it| (it.clone(), None)).collect() })
}
