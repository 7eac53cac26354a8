//! Writes an OCI image archive from static programs: one layer, no build tool.
//!
//! The same input gives the same bytes: no time, owner or host name goes in. `ctr images import`
//! and `docker load` (version 25 and later) both read it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::elf;
use crate::files::{self, FileError, NamePath};

/// An image that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A program could not be read or the archive not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The archive could not be put together, for instance because a path is too long for it.
    #[error("cannot archive {path}: {source}")]
    Archive {
        /// The path inside the archive.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A program asks for a loader and libraries, which the image does not hold.
    #[error("{} is not static: it could not run in an image that holds nothing else", .0.display())]
    Dynamic(PathBuf),
}

/// A program in the image.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file on this machine; static, since the image holds no libraries.
    pub source: PathBuf,
    /// Its absolute path in the image.
    pub path: String,
    /// Absolute paths in the image that are symbolic links to it.
    pub links: Vec<String>,
    /// The capabilities that whoever starts it may have, by their numbers in `linux/capability.h`: a user other than root
    /// has none in a container, whatever its pod adds, but by the program's file (KEP-2763 would change that).
    pub capabilities: Vec<u8>,
}

/// What an image is called, holds and runs.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// The full reference, with registry and tag: `registry.local/pause:1`.
    pub reference: String,
    /// The programs, mode 0755 and owned by root.
    pub programs: Vec<Program>,
    /// The command line that a container runs when its pod names none.
    pub entrypoint: Vec<String>,
    /// The user id that a container runs as when its pod names none.
    pub user: u32,
    /// Environment, as `NAME=value`.
    pub env: Vec<String>,
}

impl Image {
    /// Writes the archive, for this machine's architecture. A failed write leaves an older file as it was.
    ///
    /// # Errors
    /// When a program cannot be read or the archive cannot be written.
    pub fn write(&self, archive: &Path) -> Result<(), ImageError> {
        Ok(files::write(archive, self.to_bytes()?)?)
    }

    /// The archive's bytes.
    ///
    /// # Errors
    /// When a program cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ImageError> {
        let architecture = architecture();
        let layer = self.layer()?;
        let config = serialize(&json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Env": self.env, "User": self.user.to_string()},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        }));
        let manifest = serialize(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        }));
        let mut entry = descriptor(MANIFEST, &manifest);
        // containerd takes the name from its own annotation, others from the standard one.
        entry["annotations"] = json!({
            "io.containerd.image.name": self.reference,
            "org.opencontainers.image.ref.name": self.reference,
        });
        entry["platform"] = json!({"architecture": architecture, "os": "linux"});
        let index = serialize(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}));

        let mut archive = Archive::new();
        archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
        archive.file("index.json", &index, 0o644)?;
        for blob in [&layer, &config, &manifest] {
            archive.file(&format!("blobs/sha256/{}", hex(blob)), blob, 0o644)?;
        }
        archive.finish()
    }

    fn layer(&self) -> Result<Vec<u8>, ImageError> {
        let mut layer = Archive::new();
        for program in &self.programs {
            let contents = std::fs::read(&program.source).name_path("read", &program.source)?;
            if elf::is_dynamic(&contents) {
                return Err(ImageError::Dynamic(program.source.clone()));
            }
            layer.capabilities(&program.path, &program.capabilities)?;
            layer.file(&program.path, &contents, 0o755)?;
            for link in &program.links {
                layer.link(link, &program.path)?;
            }
        }
        layer.finish()
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// This machine's architecture in the words of OCI, which are Go's.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn serialize(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A tar archive in memory whose headers hold nothing but path, size and mode.
struct Archive {
    tar: tar::Builder<Vec<u8>>,
    directories: BTreeSet<PathBuf>,
}

impl Archive {
    fn new() -> Self {
        Archive { tar: tar::Builder::new(Vec::new()), directories: BTreeSet::new() }
    }

    fn file(&mut self, path: &str, contents: &[u8], mode: u32) -> Result<(), ImageError> {
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(contents.len() as u64);
        self.entry(path, |tar, path| tar.append_data(&mut header, path, contents))
    }

    /// The permitted capabilities of the next file, as `docker build` and containerd write and read them. They are not
    /// effective by themselves: the kernel would then refuse to start the program where the pod does not add them.
    fn capabilities(&mut self, path: &str, capabilities: &[u8]) -> Result<(), ImageError> {
        if capabilities.is_empty() {
            return Ok(());
        }
        let permitted = capabilities.iter().fold(0_u64, |all, number| all | 1 << number);
        // `struct vfs_cap_data`, version 2 (`linux/capability.h`): permitted and inheritable, the lower halves first.
        let words = [0x0200_0000, permitted as u32, 0, (permitted >> 32) as u32, 0];
        let value: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        let name = "SCHILY.xattr.security.capability";
        // The directories come first, so that the attribute is the file's.
        self.directories_above(path)?;
        self.tar
            .append_pax_extensions([(name, &value[..])])
            .map_err(|source| ImageError::Archive { path: path.to_owned(), source })
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), ImageError> {
        let mut header = header(tar::EntryType::Symlink, 0o777);
        self.entry(path, |tar, path| tar.append_link(&mut header, path, target))
    }

    /// Adds the directories above `path`, and then the entry itself.
    fn entry(
        &mut self,
        path: &str,
        append: impl FnOnce(&mut tar::Builder<Vec<u8>>, &Path) -> io::Result<()>,
    ) -> Result<(), ImageError> {
        self.directories_above(path)?;
        append(&mut self.tar, Path::new(path.trim_start_matches('/')))
            .map_err(|source| ImageError::Archive { path: path.to_owned(), source })
    }

    /// Adds the directories that are above `path`, each once.
    fn directories_above(&mut self, path: &str) -> Result<(), ImageError> {
        let fail = |source| ImageError::Archive { path: path.to_owned(), source };
        let path = Path::new(path.trim_start_matches('/'));
        let above: Vec<&Path> = path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).collect();
        for directory in above.into_iter().rev() {
            if self.directories.insert(directory.to_owned()) {
                let mut header = header(tar::EntryType::Directory, 0o755);
                self.tar.append_data(&mut header, directory, io::empty()).map_err(fail)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, ImageError> {
        self.tar.into_inner().map_err(|source| ImageError::Archive { path: "the end".into(), source })
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests;
