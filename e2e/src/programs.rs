//! Builds the programs of a real Kubernetes from their published Go modules, once: etcd, the control
//! plane, kubelet, kubectl, kube-proxy, containerd, runc, the CNI plugins and helm; and those that check the chart.
//!
//! They are cached outside the work tree, by Kubernetes version. Each has a stamp that names what it
//! was built from, so a killed build goes on where it stopped and a new version rebuilds only what it
//! concerns.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::command::{self, CommandError};
use crate::files::{self, FileError, NamePath};
use crate::step::{StepError, note, step};

/// The Kubernetes that the cluster runs.
pub const KUBERNETES: &str = "1.37.2";
const ETCD: &str = "3.7.3";
/// The containerd that the nodes run.
pub const CONTAINERD: &str = "2.4.2";
const RUNC: &str = "1.5.2";
const CNI: &str = "1.9.1";
const HELM: &str = "4.3.1";
const HELM_DOCS: &str = "1.14.2";
const HELM_UNITTEST: &str = "1.1.2";
const KUBECONFORM: &str = "0.8.0";
const KIND: &str = "0.33.0";

/// Something built wrongly, or not at all.
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

/// Where everything lies that is made once and kept outside the work tree: `$SECCOMP_E2E_CACHE`, or
/// `seccomp-profile-e2e` in the user's cache directory.
pub(crate) fn cache() -> PathBuf {
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
    /// As [`Programs::build`].
    pub fn build_clients(&self) -> Result<(), ProgramsError> {
        self.build_those(recipes().into_iter().filter(|recipe| ["kubectl", "helm"].contains(&recipe.name)))
    }

    /// Builds only what checks the chart: helm, helm-docs, helm-unittest and kubeconform.
    ///
    /// # Errors
    /// As [`Programs::build`].
    pub fn build_chart_tools(&self) -> Result<(), ProgramsError> {
        let helm = recipes().into_iter().filter(|recipe| recipe.name == "helm");
        self.build_those(helm.chain(chart_recipes()))
    }

    /// Builds only kind, which no other cluster needs.
    ///
    /// # Errors
    /// As [`Programs::build`].
    pub(crate) fn build_kind(&self) -> Result<(), ProgramsError> {
        self.build_those([Recipe::plain("kind", "sigs.k8s.io/kind", KIND)])
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
        for recipe in &recipes {
            step(format!("build {} {}", recipe.name, recipe.version), || {
                let built = recipe.build(scratch.path())?;
                let path = self.path(recipe.name);
                fs::rename(&built, &path).name_path("rename to", &path)?;
                files::write(&self.stamp(recipe), recipe.stamp())?;
                Ok::<_, ProgramsError>(())
            })
            .map_err(Box::new)?;
        }
        Ok(())
    }

    /// Two processes that build the same programs at once would take twice as long; held until the file is closed.
    fn lock(&self) -> Result<File, FileError> {
        let path = self.stamps().join(".lock");
        let file = File::create(&path).name_path("create", &path)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            note(format!("waiting for another process that builds into {}", self.0.display()));
            file.lock().name_path("lock", &path)?;
        }
        Ok(file)
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

/// What the module around a main package looks like.
#[derive(Clone, Copy)]
enum Source {
    /// No replace directives: `go install` takes it as it is.
    Plain,
    /// `go install` refuses a module with replace directives; a module that requires it builds it, with those of them
    /// that name a published version.
    Required(&'static str),
    /// As above, and its staging modules must be replaced by the versions published with it.
    Kubernetes,
}

/// How one program is built.
struct Recipe {
    name: &'static str,
    package: &'static str,
    version: &'static str,
    source: Source,
    cgo: bool,
    tags: &'static str,
    /// What the linker writes into the program, beyond dropping its symbols.
    values: &'static [(&'static str, &'static str)],
}

impl Recipe {
    const fn plain(name: &'static str, package: &'static str, version: &'static str) -> Self {
        Recipe { name, package, version, source: Source::Plain, cgo: false, tags: "", values: &[] }
    }

    const fn kubernetes(name: &'static str, package: &'static str) -> Self {
        Recipe { source: Source::Kubernetes, ..Recipe::plain(name, package, KUBERNETES) }
    }

    /// Everything that decides what comes out of the build.
    fn stamp(&self) -> String {
        format!("{}@v{} tags={} values={:?}\n", self.package, self.version, self.tags, self.linker_values())
    }

    fn linker_values(&self) -> Vec<String> {
        let mut values: Vec<_> = self.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if let Source::Kubernetes = self.source {
            let mut parts = self.version.split('.');
            let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let package = "k8s.io/component-base/version";
            values.push(format!("{package}.gitVersion=v{}", self.version));
            values.push(format!("{package}.gitMajor={major}"));
            values.push(format!("{package}.gitMinor={minor}"));
        }
        values
    }

    /// Builds into `scratch` and returns the program's path there.
    fn build(&self, scratch: &Path) -> Result<PathBuf, ProgramsError> {
        let linker: String = self.linker_values().iter().map(|value| format!(" -X {value}")).collect();
        let mut go = Command::new("go");
        go.env("GOFLAGS", "-mod=mod -buildvcs=false")
            .env("GOBIN", scratch)
            .env("GOWORK", "off")
            .env("CGO_ENABLED", if self.cgo { "1" } else { "0" })
            .current_dir(scratch);
        let built = scratch.join(self.name);
        match self.source {
            Source::Plain => go.arg("install"),
            Source::Required(module) => {
                let replaced = published_replacements(&self.go_mod(scratch, module)?);
                let module = self.module(scratch, module, &replaced)?;
                go.current_dir(module).arg("build").arg("-o").arg(&built)
            }
            Source::Kubernetes => {
                let go_mod = self.go_mod(scratch, "k8s.io/kubernetes")?;
                let replaced = staging_replacements(&go_mod, self.version);
                let module = self.module(scratch, "k8s.io/kubernetes", &replaced)?;
                go.current_dir(module).arg("build").arg("-o").arg(&built)
            }
        };
        go.args(["-trimpath", "-tags", self.tags, "-ldflags", &format!("-s -w{linker}")]);
        match self.source {
            Source::Plain => go.arg(format!("{}@v{}", self.package, self.version)),
            Source::Required(_) | Source::Kubernetes => go.arg(self.package),
        };
        command::output(&mut go)?;
        if let Source::Plain = self.source {
            // `go install` names a program by its package's last part, without a version such as /v3.
            let name = self.package.rsplit('/').next().unwrap_or(self.package);
            return Ok(scratch.join(name));
        }
        Ok(built)
    }

    /// A module that does nothing but require another one.
    fn module(&self, scratch: &Path, required: &str, more: &str) -> Result<PathBuf, ProgramsError> {
        let directory = scratch.join(required.replace('/', "-"));
        files::create_dir(&directory)?;
        let text = format!("module programs\n\ngo 1.26.0\n\nrequire {required} v{}\n{more}", self.version);
        // The second program of the same module finds go.mod and go.sum completed by the first.
        let path = directory.join("go.mod");
        if !path.exists() {
            files::write(&path, text)?;
        }
        Ok(directory)
    }

    /// The go.mod of a module in this recipe's version.
    fn go_mod(&self, scratch: &Path, module: &str) -> Result<String, ProgramsError> {
        Ok(files::read(&Module::download(module, self.version, scratch, None)?.go_mod)?)
    }
}

/// A module in Go's cache.
pub(crate) struct Module {
    go_mod: PathBuf,
    /// Its files.
    pub(crate) directory: PathBuf,
}

impl Module {
    /// Downloads it into the user's module cache, or into one of its own that can be deleted. `scratch` is a directory
    /// that belongs to no module.
    pub(crate) fn download(
        module: &str,
        version: &str,
        scratch: &Path,
        cache: Option<&Path>,
    ) -> Result<Self, ProgramsError> {
        let mut go = Command::new("go");
        go.args(["mod", "download", "-modcacherw", "-json", &format!("{module}@v{version}")]);
        go.current_dir(scratch).env("GOWORK", "off");
        if let Some(cache) = cache {
            go.env("GOMODCACHE", cache);
        }
        let downloaded: serde_json::Value =
            serde_json::from_str(&command::output(&mut go)?).unwrap_or_default();
        let path = |field: &str| PathBuf::from(downloaded[field].as_str().unwrap_or_default());
        Ok(Module { go_mod: path("GoMod"), directory: path("Dir") })
    }
}

/// The replace directives of `go_mod` that name a published version and not a folder of its repository.
fn published_replacements(go_mod: &str) -> String {
    let lines = go_mod.lines().map(|line| line.trim().trim_start_matches("replace "));
    let published = lines.filter(|line| line.split_once(" => ").is_some_and(|(_, to)| !to.starts_with('.')));
    published.map(|line| format!("\nreplace {line}\n")).collect()
}

/// Kubernetes replaces its staging modules by folders of its repository, which its module does not
/// hold: `=> ./staging/src/k8s.io/api` becomes `=> k8s.io/api v0.37.2`.
///
/// The replace directives that name the published versions of the staging modules in `go_mod`, with
/// the godebug line that Kubernetes is built and tested with.
fn staging_replacements(go_mod: &str, version: &str) -> String {
    let patch = version.strip_prefix("1.").unwrap_or(version);
    let mut text = String::new();
    for line in go_mod.lines().map(str::trim) {
        if line.starts_with("godebug default=") {
            text.push_str(&format!("\n{line}\n"));
        }
        if let Some((name, _)) = line.split_once(" => ./staging/") {
            let name = name.trim_start_matches("replace ");
            text.push_str(&format!("\nreplace {name} => {name} v0.{patch}\n"));
        }
    }
    text
}

fn recipes() -> Vec<Recipe> {
    let containerd = |name, package| Recipe::plain(name, package, CONTAINERD);
    let cni = |name, package| Recipe::plain(name, package, CNI);
    vec![
        Recipe {
            source: Source::Required("go.etcd.io/etcd/server/v3"),
            ..Recipe::plain("etcd", "go.etcd.io/etcd/server/v3", ETCD)
        },
        Recipe::kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        Recipe::kubernetes("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        Recipe::kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        Recipe::kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        Recipe::kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        Recipe::kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        Recipe::plain("helm", "helm.sh/helm/v4/cmd/helm", HELM),
        containerd("containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
        containerd(
            "containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        ),
        containerd("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
        Recipe {
            cgo: true,
            tags: "seccomp",
            values: &[("main.version", RUNC)],
            ..Recipe::plain("runc", "github.com/opencontainers/runc", RUNC)
        },
        cni("ptp", "github.com/containernetworking/plugins/plugins/main/ptp"),
        cni("loopback", "github.com/containernetworking/plugins/plugins/main/loopback"),
        cni("host-local", "github.com/containernetworking/plugins/plugins/ipam/host-local"),
    ]
}

/// What checks the chart, and no cluster needs.
fn chart_recipes() -> [Recipe; 3] {
    [
        Recipe::plain("helm-docs", "github.com/norwoodj/helm-docs/cmd/helm-docs", HELM_DOCS),
        Recipe {
            source: Source::Required("github.com/helm-unittest/helm-unittest"),
            ..Recipe::plain(
                "helm-unittest",
                "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
                HELM_UNITTEST,
            )
        },
        Recipe::plain("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", KUBECONFORM),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_replacements_those_by_published_modules_are_taken_over() {
        let go_mod = "module m\n\nreplace example.org/a v1.0.0 => example.org/b v1.2.0\n\nreplace (\n\
                      \texample.org/c => ../c\n\texample.org/d => example.org/e v3.0.0\n)\n";
        assert_eq!(
            published_replacements(go_mod),
            "\nreplace example.org/a v1.0.0 => example.org/b v1.2.0\n\
             \nreplace example.org/d => example.org/e v3.0.0\n"
        );
    }

    #[test]
    fn staging_modules_are_replaced_by_their_published_versions() {
        let go_mod = "module k8s.io/kubernetes\n\ngodebug default=go1.26\n\nreplace (\n\
                      \tk8s.io/api => ./staging/src/k8s.io/api\n)\nreplace k8s.io/x => ./staging/src/k8s.io/x\n";
        assert_eq!(
            staging_replacements(go_mod, "1.37.2"),
            "\ngodebug default=go1.26\n\nreplace k8s.io/api => k8s.io/api v0.37.2\n\
             \nreplace k8s.io/x => k8s.io/x v0.37.2\n"
        );
    }

    #[test]
    fn one_process_builds_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let programs = Programs::in_directory(directory.path());
        files::create_dir(&programs.stamps()).unwrap();
        let lock = programs.lock().unwrap();
        let other = File::open(programs.stamps().join(".lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        other.try_lock().unwrap();
    }

    #[test]
    fn a_program_counts_only_with_the_stamp_of_the_wanted_version() {
        let directory = tempfile::tempdir().unwrap();
        let programs = Programs::in_directory(directory.path());
        let recipe = Recipe::plain("x", "example.org/x", "1");
        assert!(!programs.has(&recipe));
        fs::write(programs.path("x"), "").unwrap();
        assert!(!programs.has(&recipe), "without a stamp it may be half a build");
        fs::create_dir(programs.stamps()).unwrap();
        fs::write(programs.stamp(&recipe), recipe.stamp()).unwrap();
        assert!(programs.has(&recipe));
        assert!(!programs.has(&Recipe::plain("x", "example.org/x", "2")));
    }
}
