//! The release before this one, built from the repository's history: for tests of two versions beside each other.
//!
//! It is the newest tag `v…` that this commit descends from. Before there is a tag, it is a commit that is named here.
//! What was built is kept in the cache, by commit. The dependencies are those that were built for this commit's images
//! already, where both have the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build_images::{PROGRAMS, compile_into, pack};
use crate::chart;
use crate::command::{self, CommandError};
use crate::files::{self, FileError, NamePath};
use crate::image::ImageError;
use crate::programs;
use crate::workspace::{repository, target_directory};

/// Counts as the previous release as long as nothing has been released: the last commit whose programs accepted only
/// the values of their own version.
const FALLBACK_COMMIT: &str = "681ef5bdb1b878fabc2d5fd083315d01cc0f50b3";

const PLUGIN: &str = "kubectl-seccomp";

/// An earlier release that could not be built.
#[derive(Debug, thiserror::Error)]
pub enum PreviousReleaseError {
    /// git or cargo failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// An image could not be made.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// The release before this one, with its programs built.
#[derive(Debug)]
pub struct PreviousRelease {
    directory: PathBuf,
    commit: String,
}

impl PreviousRelease {
    /// Builds what is not there yet. `None` if the history does not go back that far: in a shallow clone, or without a
    /// repository.
    ///
    /// # Errors
    /// git, cargo or a file operation failed.
    pub fn build() -> Result<Option<Self>, PreviousReleaseError> {
        let Some(commit) = commit()? else { return Ok(None) };
        let previous = PreviousRelease { directory: programs::cache().join("earlier").join(&commit), commit };
        if !previous.programs().exists() {
            previous.build_programs()?;
        }
        Ok(Some(previous))
    }

    /// The commit, which is also the tag of the images.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Its chart.
    pub fn chart(&self) -> PathBuf {
        self.source().join("charts").join(chart::NAME)
    }

    /// Its `kubectl-seccomp`.
    pub fn plugin(&self) -> PathBuf {
        self.programs().join(PLUGIN)
    }

    /// Writes its images into `directory`, and returns the archives.
    ///
    /// # Errors
    /// When a program cannot be read or an archive cannot be written.
    pub fn images(&self, directory: &Path) -> Result<Vec<PathBuf>, PreviousReleaseError> {
        Ok(pack(&self.programs(), &self.commit, directory, "earlier-")?)
    }

    fn source(&self) -> PathBuf {
        self.directory.join("source")
    }

    fn programs(&self) -> PathBuf {
        self.directory.join("programs")
    }

    fn build_programs(&self) -> Result<(), PreviousReleaseError> {
        self.extract()?;
        let built = compile_into(&self.source(), &target_directory(repository()), &["cli"])?;

        // Renamed when complete, so that a killed build does not count. The next build of this commit's own programs
        // replaces these again.
        let unfinished = self.directory.join("unfinished");
        files::create_dir(&unfinished)?;
        let programs = PROGRAMS.map(|(name, _)| name).into_iter();
        for name in programs.filter(|name| self.source().join(name).is_dir()).chain([PLUGIN]) {
            let to = unfinished.join(name);
            fs::copy(built.join(name), &to).name_path("copy to", &to)?;
        }
        Ok(fs::rename(&unfinished, self.programs()).name_path("rename to", &self.programs())?)
    }

    fn extract(&self) -> Result<(), PreviousReleaseError> {
        let (archive, source) = (self.directory.join("source.tar"), self.source());
        files::create_dir(&source)?;
        let mut git = git();
        command::output(git.args(["archive", "--format=tar", &self.commit, "--output"]).arg(&archive))?;
        let file = File::open(&archive).name_path("open", &archive)?;
        Ok(tar::Archive::new(file).unpack(&source).name_path("unpack into", &source)?)
    }
}

/// The commit of the release before this one, if the history has it.
fn commit() -> Result<Option<String>, PreviousReleaseError> {
    if !repository().join(".git").exists() {
        return Ok(None);
    }
    let tag = git_output(&["describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^"])?;
    let name = tag.unwrap_or_else(|| FALLBACK_COMMIT.to_owned());
    git_output(&["rev-parse", "--quiet", "--verify", &format!("{name}^{{commit}}")])
}

/// The output of git; `None` if the object does not exist.
fn git_output(args: &[&str]) -> Result<Option<String>, PreviousReleaseError> {
    match command::output(git().args(args)) {
        Ok(answer) => Ok(Some(answer.trim().to_owned())),
        Err(CommandError::Failed { status, .. }) if matches!(status.code(), Some(1 | 128)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn git() -> Command {
    let mut git = Command::new("git");
    // The tests run as root, and the work tree may belong to another user.
    git.args(["-c", "safe.directory=*", "-C"]).arg(repository());
    git
}
