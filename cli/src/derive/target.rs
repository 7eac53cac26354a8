//! What is derived: a program, the files below a directory, or an image.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use derive::{Files, Following};
use image::{Archive, Image, Start};
use registry::Reference;

use super::layout::Layout;
use super::root::Directory;
use super::{DeriveArgs, DeriveOptions, KnownArguments};
use crate::derive_error::DeriveCommandError;
use crate::image::reference;
use crate::show::bytes;

/// Where the files are.
#[derive(Debug)]
pub enum Place {
    /// On this machine.
    Here(Here),
    /// In a registry.
    Registry(Reference),
}

/// What on this machine.
#[derive(Debug)]
pub enum Here {
    /// A program, as a path in a root.
    Program {
        /// The root.
        root: PathBuf,
        /// The path.
        program: String,
    },
    /// The files of an image in a directory.
    Directory(PathBuf),
    /// A directory with an OCI layout.
    Layout(PathBuf),
    /// A tar file with an image.
    Archive(PathBuf),
}

impl Here {
    /// Whether it is an image, whose programs are many.
    pub(super) const fn is_image(&self) -> bool {
        matches!(self, Self::Layout(_) | Self::Archive(_))
    }
}

/// The files, and what is derived of them.
pub(super) struct Opened {
    pub(super) files: Box<dyn Files>,
    pub(super) following: Following,
}

impl DeriveArgs {
    /// Where the files are: what the target names on this machine or, if that is nothing, an image in a registry.
    ///
    /// # Errors
    /// The target cannot be read, or is none.
    pub fn place(&self) -> Result<Place, DeriveCommandError> {
        let target = &self.target;
        let unreadable = |error| DeriveCommandError::File { path: target.clone(), error };
        let whole = match fs::canonicalize(target) {
            Ok(whole) => whole,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let image = self.image_in_registry().ok_or_else(|| unreadable(error))?;
                return Ok(Place::Registry(image));
            }
            Err(error) => return Err(unreadable(error)),
        };
        Ok(Place::Here(match () {
            () if whole.join("oci-layout").is_file() => Here::Layout(whole),
            () if whole.is_dir() => Here::Directory(whole),
            () if is_archive(&whole).map_err(unreadable)? => Here::Archive(whole),
            () => self.program(&whole)?,
        }))
    }

    /// The target as the name of an image, if it cannot be that of a file.
    fn image_in_registry(&self) -> Option<Reference> {
        let name = self.target.to_str().filter(|it| !it.starts_with(['/', '.']))?;
        reference(name).ok()
    }

    fn program(&self, whole: &Path) -> Result<Here, DeriveCommandError> {
        if !self.options.programs.is_empty() {
            return Err(DeriveCommandError::NoDirectory(self.target.clone()));
        }
        let root = self.root.clone().unwrap_or_else(|| PathBuf::from("/"));
        let root = fs::canonicalize(&root)
            .map_err(|error| DeriveCommandError::File { path: root.clone(), error })?;
        let inside = whole.strip_prefix(&root).ok().and_then(Path::to_str);
        let inside = inside.ok_or_else(|| DeriveCommandError::Outside(self.target.clone()))?;
        Ok(Here::Program { program: format!("/{inside}"), root })
    }

    /// Opens the files. `tell` is called for what takes long.
    ///
    /// # Errors
    /// They cannot be read, or no program is named.
    pub(super) fn open(&self, here: Here, tell: &mut dyn FnMut(&str)) -> Result<Opened, DeriveCommandError> {
        match here {
            Here::Program { root, program } => {
                let following = Following { programs: vec![program], ..self.options.following() };
                Ok(Opened { files: Box::new(Directory::new(root)), following })
            }
            Here::Directory(root) => {
                let programs = self.options.programs.clone();
                let following = Following { programs, ..self.options.following() };
                if following.programs.is_empty() {
                    return Err(DeriveCommandError::NoProgram(self.target.clone()));
                }
                Ok(Opened { files: Box::new(Directory::new(root)), following })
            }
            Here::Layout(path) => {
                let image =
                    Image::open(&Layout::new(path), self.image.as_deref(), temporary()?, &mut layers(tell));
                self.options.opened(image.map_err(|error| self.unusable(error))?, &self.target)
            }
            Here::Archive(path) => {
                let file = File::open(&path).map_err(|error| DeriveCommandError::File { path, error })?;
                let archive = Archive::new(file, temporary()?).map_err(|error| self.unusable(error))?;
                let image = Image::open(&archive, self.image.as_deref(), temporary()?, &mut layers(tell));
                self.options.opened(image.map_err(|error| self.unusable(error))?, &self.target)
            }
        }
    }

    fn unusable(&self, error: image::ImageError) -> DeriveCommandError {
        DeriveCommandError::Image { target: self.target.clone(), error }
    }
}

impl DeriveOptions {
    /// The files of an image, and what it starts. `target` is how it was named.
    pub(super) fn opened(&self, image: Image<File>, target: &Path) -> Result<Opened, DeriveCommandError> {
        let Start { arguments, path, library_path, preload, directory } = image.start().clone();
        let mut following =
            Following { programs: self.programs.clone(), directory, path, ..self.following() };
        let library_path = library_path.unwrap_or_default();
        let directories = library_path.split([':', ';']).filter(|it| it.starts_with('/'));
        following.directories.extend(directories.map(str::to_owned));
        let preload = preload.unwrap_or_default();
        let preload = preload.split([':', ' ']).filter(|it| !it.is_empty());
        following.preload = preload.map(str::to_owned).collect();
        if following.programs.is_empty() || !self.only_named {
            following.arguments = arguments;
        }
        if following.programs.is_empty() && following.arguments.is_empty() {
            return Err(DeriveCommandError::NothingStarts(target.to_owned()));
        }
        Ok(Opened { files: Box::new(image), following })
    }

    fn following(&self) -> Following {
        Following {
            directory: "/".to_owned(),
            directories: self.library_paths.clone(),
            modules: self.modules.clone(),
            without: self.without.clone(),
            only_named: self.only_named,
            examine_arguments: self.arguments != KnownArguments::Any,
            ..Following::default()
        }
    }
}

/// A file without a name for the contents of an image.
pub(super) fn temporary() -> Result<File, DeriveCommandError> {
    tempfile::tempfile().map_err(DeriveCommandError::Temporary)
}

/// Tells of each layer.
fn layers(tell: &mut dyn FnMut(&str)) -> impl FnMut(usize, usize, u64) {
    move |number, of, size| tell(&format!("layer {number} of {of}, {}", bytes(size)))
}

/// Whether a file is a tar file, or may be a compressed one.
fn is_archive(path: &Path) -> io::Result<bool> {
    const MAGIC: std::ops::Range<usize> = 257..262;
    let mut first = Vec::new();
    File::open(path)?.take(512).read_to_end(&mut first)?;
    let is_packed = first.starts_with(&[0x1f, 0x8b]) || first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    Ok(is_packed || first.get(MAGIC) == Some(b"ustar"))
}
