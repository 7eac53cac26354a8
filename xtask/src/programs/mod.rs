//! Builds the programs of a real Kubernetes from their published Go modules, once: etcd, the control
//! plane, kubelet, kubectl, kube-proxy, containerd, runc, the CNI plugins and helm; and those that check the chart.
//!
//! They are cached outside the work tree, by Kubernetes version. Each has a stamp that names what it
//! was built from, so a killed build goes on where it stopped and a new version rebuilds only what it
//! concerns.

mod module;
mod recipe;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

pub use module::Module;
use recipe::{Batch, Recipe, chart_recipes, recipes};
pub use recipe::{CONTAINERD, CRANE, KUBERNETES, OtherRelease};

use crate::command::CommandError;
use crate::file_lock::FileLock;
use crate::files::{self, FileError, NamePath};
use crate::step::{StepError, note, step};

/// Why a program could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// The cache could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// `go` failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// One program's build failed.
    #[error(transparent)]
    Build(#[from] Box<StepError<ProgramsError>>),
}

/// The cache for everything that is built once and kept outside the work tree: `$SECCOMP_E2E_CACHE`, or
/// `seccomp-profile-e2e` in the user's cache directory.
pub fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SECCOMP_E2E_CACHE").unwrap_or_else(|| {
        let user = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        user.unwrap_or_else(env::temp_dir).join("seccomp-profile-e2e")
    })
}

/// The directory that holds the built programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs(PathBuf);

impl Programs {
    /// The cache.
    pub fn in_cache() -> Self {
        Programs(cache().join(KUBERNETES))
    }

    /// The programs in this directory.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Programs(directory.into())
    }

    /// The directory itself, to put on a `PATH`.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// One program's path.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A command that runs one of the programs.
    pub fn command(&self, name: &str) -> Command {
        Command::new(self.path(name))
    }

    /// Builds what a local cluster needs and is not there yet.
    ///
    /// # Errors
    /// The first program that does not build, with what the compiler said.
    pub fn build(&self) -> Result<(), ProgramsError> {
        self.build_those(recipes())
    }

    /// Builds only what talks to a cluster that someone else runs: kubectl and helm.
    ///
    /// # Errors
    /// Same as [`Programs::build`].
    pub fn build_clients(&self) -> Result<(), ProgramsError> {
        self.build_those(recipes().into_iter().filter(|recipe| ["kubectl", "helm"].contains(&recipe.name)))
    }

    /// Builds only what checks the chart: helm, helm-docs, helm-unittest and kubeconform.
    ///
    /// # Errors
    /// Same as [`Programs::build`].
    pub fn build_chart_tools(&self) -> Result<(), ProgramsError> {
        self.build_those(chart_recipes())
    }

    /// The directory of [`Self::build_other_runc`].
    pub fn other_runc() -> Self {
        Programs(cache().join("runc"))
    }

    /// Builds runc in the versions that no cluster runs, as `runc-VERSION`, for the tests of runtimes.
    ///
    /// # Errors
    /// Same as [`Programs::build`].
    pub fn build_other_runc(&self) -> Result<(), ProgramsError> {
        self.build_those(recipe::other_runc())
    }

    /// The directory of [`Self::build_api_server_of`].
    fn other_api_servers() -> Self {
        Programs(cache().join("api-servers"))
    }

    /// Builds the API server of another release of Kubernetes; returns its path.
    ///
    /// # Errors
    /// Same as [`Programs::build`].
    pub fn build_api_server_of(release: OtherRelease) -> Result<PathBuf, ProgramsError> {
        let programs = Self::other_api_servers();
        programs.build_those([release.api_server()])?;
        Ok(programs.path(release.program()))
    }

    /// Builds registries of other projects, with what writes to them: `registry` (distribution), `crane`, which also is
    /// one, and `oras`.
    ///
    /// # Errors
    /// Same as [`Programs::build`].
    pub fn build_registries() -> Result<Self, ProgramsError> {
        let programs = Self(cache().join("registries"));
        programs.build_those(recipe::registries())?;
        Ok(programs)
    }

    /// Builds only `registry` of [`Self::build_registries`], for images that nodes pull.
    ///
    /// # Errors
    /// Same as [`Programs::build`].
    pub fn build_registry() -> Result<Self, ProgramsError> {
        let programs = Self(cache().join("registries"));
        programs.build_those([recipe::registry()])?;
        Ok(programs)
    }

    /// Builds cosign, which takes longer than all of [`Self::build_registries`].
    ///
    /// # Errors
    /// Same as [`Programs::build`].
    pub fn build_cosign() -> Result<Self, ProgramsError> {
        let programs = Self(cache().join("registries"));
        programs.build_those([recipe::cosign()])?;
        Ok(programs)
    }

    /// Builds only kind, which no other cluster needs.
    ///
    /// # Errors
    /// Same as [`Programs::build`].
    pub fn build_kind(&self) -> Result<(), ProgramsError> {
        self.build_those([recipe::kind()])
    }

    /// Whether every program is there in the wanted version.
    pub fn complete(&self) -> bool {
        recipes().iter().all(|recipe| self.has(recipe))
    }

    fn build_those(&self, wanted: impl IntoIterator<Item = Recipe>) -> Result<(), ProgramsError> {
        let mut recipes: Vec<_> = wanted.into_iter().filter(|recipe| !self.has(recipe)).collect();
        if recipes.is_empty() {
            return Ok(());
        }
        files::create_dir(&self.stamps())?;
        let _lock = self.lock()?;
        // What another process built while this one waited is there.
        recipes.retain(|recipe| !self.has(recipe));
        note(format!("building {} programs into {}", recipes.len(), self.0.display()));
        // Inside the cache, so that the finished program can be renamed into its place.
        let scratch = tempfile::Builder::new()
            .prefix(".build-")
            .tempdir_in(&self.0)
            .name_path("create a directory in", &self.0)?;
        for batch in Batch::of(recipes) {
            step(format!("build {}", batch.title()), || {
                let built = batch.build(scratch.path())?;
                batch.0.iter().zip(built).try_for_each(|(recipe, built)| {
                    let path = self.path(recipe.name);
                    fs::rename(&built, &path).name_path("rename to", &path)?;
                    files::write(&self.stamp(recipe), recipe.stamp())?;
                    Ok::<_, ProgramsError>(())
                })
            })
            .map_err(Box::new)?;
        }
        Ok(())
    }

    /// Two processes that build the same programs at once would take twice as long.
    fn lock(&self) -> Result<FileLock, FileError> {
        let path = self.stamps().join(".lock");
        let file = File::create(&path).name_path("create", &path)?;
        match FileLock::try_take(file).name_path("lock", &path)? {
            Ok(lock) => Ok(lock),
            Err(file) => {
                note(format!("waiting for another process that builds into {}", self.0.display()));
                FileLock::wait(file).name_path("lock", &path)
            }
        }
    }

    fn has(&self, recipe: &Recipe) -> bool {
        self.path(recipe.name).is_file()
            && fs::read_to_string(self.stamp(recipe)).is_ok_and(|stamp| stamp == recipe.stamp())
    }

    fn stamps(&self) -> PathBuf {
        self.0.join(".stamps")
    }

    fn stamp(&self, recipe: &Recipe) -> PathBuf {
        self.stamps().join(recipe.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_builds_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let programs = Programs::in_directory(directory.path());
        files::create_dir(&programs.stamps()).unwrap();
        let lock = programs.lock().unwrap();
        let other = || FileLock::try_take(File::open(programs.stamps().join(".lock")).unwrap()).unwrap();
        assert!(other().is_err());
        drop(lock);
        other().unwrap();
    }

    #[test]
    fn a_program_counts_only_with_the_stamp_of_the_wanted_version() {
        let directory = tempfile::tempdir().unwrap();
        let programs = Programs::in_directory(directory.path());
        let recipe = Recipe::plain("x", ("example.org/x", ""), "1");
        assert!(!programs.has(&recipe));
        fs::write(programs.path("x"), "").unwrap();
        assert!(!programs.has(&recipe), "without a stamp it may be half a build");
        fs::create_dir(programs.stamps()).unwrap();
        fs::write(programs.stamp(&recipe), recipe.stamp()).unwrap();
        assert!(programs.has(&recipe));
        assert!(!programs.has(&Recipe::plain("x", ("example.org/x", ""), "2")));
    }
}
