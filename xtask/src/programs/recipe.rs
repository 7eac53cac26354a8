//! What each program is built from: module, version and flags, and which are built together.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ProgramsError;
use super::module::{Module, published_replacements, staging_replacements};
use crate::command;
use crate::files;
use crate::progress::Compiler;

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
const DISTRIBUTION: &str = "3.1.2";
/// The crane that tests use, and the registry of its module.
pub const CRANE: &str = "0.22.1";
const ORAS: &str = "1.3.6";
const COSIGN: &str = "3.1.3";

/// How the main packages of a module are built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The module has no replace directives: `go install` takes it as it is.
    Plain,
    /// `go install` refuses a module with replace directives; a module that requires it builds it, with those of them
    /// that name a published version.
    Required,
    /// As above, and its staging modules must be replaced by the versions published with it.
    Kubernetes,
}

/// What one program is built from, and how.
pub(super) struct Recipe {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    module: &'static str,
    /// The main package, below its module.
    package: &'static str,
    source: Source,
    cgo: bool,
    tags: &'static str,
    /// What the linker writes into the program, beyond dropping its symbols.
    values: &'static [(&'static str, &'static str)],
}

impl Recipe {
    pub(super) const fn plain(
        name: &'static str,
        (module, package): (&'static str, &'static str),
        version: &'static str,
    ) -> Self {
        Recipe { name, version, module, package, source: Source::Plain, cgo: false, tags: "", values: &[] }
    }

    const fn kubernetes(name: &'static str, package: &'static str) -> Self {
        let recipe = Recipe::plain(name, ("k8s.io/kubernetes", package), KUBERNETES);
        Recipe { source: Source::Kubernetes, ..recipe }
    }

    /// All inputs of the build.
    pub(super) fn stamp(&self) -> String {
        let (package, version, values) = (self.path(), self.version, self.linker_values());
        format!("{package}@v{version} tags={} values={values:?}\n", self.tags)
    }

    /// The import path of the main package.
    fn path(&self) -> String {
        format!("{}{}", self.module, self.package)
    }

    /// Whether one `go build` makes both: it loads the packages that they share once, and links one program while it
    /// compiles for the other.
    fn builds_with(&self, other: &Recipe) -> bool {
        (self.module, self.version, self.source) == (other.module, other.version, other.source)
            && (self.cgo, self.tags, self.values) == (other.cgo, other.tags, other.values)
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

    /// Writes a module that only requires the recipe's module.
    fn write_requiring_module(&self, scratch: &Path, more: &str) -> Result<PathBuf, ProgramsError> {
        let directory = scratch.join(self.module.replace('/', "-"));
        files::create_dir(&directory)?;
        let required = format!("require {} v{}", self.module, self.version);
        let text = format!("module programs\n\ngo 1.26.0\n\n{required}\n{more}");
        files::write(&directory.join("go.mod"), text)?;
        Ok(directory)
    }

    /// The go.mod of the recipe's module.
    fn go_mod(&self, scratch: &Path) -> Result<String, ProgramsError> {
        Ok(files::read(&Module::download(self.module, self.version, scratch, None)?.go_mod)?)
    }
}

/// Programs that one `go build` makes. Never empty.
pub(super) struct Batch(pub(super) Vec<Recipe>);

impl Batch {
    /// Puts together what can be built together, in the order of the first of each.
    pub(super) fn of(recipes: impl IntoIterator<Item = Recipe>) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        for recipe in recipes {
            match batches.iter_mut().find(|batch| batch.0[0].builds_with(&recipe)) {
                Some(batch) => batch.0.push(recipe),
                None => batches.push(Batch(vec![recipe])),
            }
        }
        batches
    }

    /// The programs and their version, for a person.
    pub(super) fn title(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|recipe| recipe.name).collect();
        format!("{} {}", names.join(", "), self.0[0].version)
    }

    /// Builds into `scratch` and returns the programs' paths there, in the order of the recipes.
    pub(super) fn build(&self, scratch: &Path) -> Result<Vec<PathBuf>, ProgramsError> {
        let first = &self.0[0];
        let built = scratch.join("built");
        files::create_dir(&built)?;
        let mut go = Command::new("go");
        go.env("GOFLAGS", "-mod=mod -buildvcs=false")
            .env("GOBIN", &built)
            .env("GOWORK", "off")
            .env("CGO_ENABLED", if first.cgo { "1" } else { "0" })
            .current_dir(scratch);
        let alone = match self.0.as_slice() {
            [alone] if first.source != Source::Plain => Some(built.join(alone.name)),
            _ => None,
        };
        let mut build = |more: &str| {
            // Into a directory, `go build` names each program by its package.
            let output = alone.as_ref().unwrap_or(&built);
            go.current_dir(first.write_requiring_module(scratch, more)?).arg("build").arg("-o").arg(output);
            Ok::<_, ProgramsError>(())
        };
        match first.source {
            Source::Plain => drop(go.arg("install")),
            Source::Required => build(&published_replacements(&first.go_mod(scratch)?))?,
            Source::Kubernetes => build(&staging_replacements(&first.go_mod(scratch)?, first.version))?,
        }
        let values: String = first.linker_values().iter().map(|value| format!(" -X {value}")).collect();
        // The linker drops the debugger's information (-s -w); not making it saves a sixth of the CPU time.
        go.args(["-v", "-trimpath", "-gcflags=all=-dwarf=false", "-tags", first.tags]);
        go.args(["-ldflags", &format!("-s -w{values}")]);
        for recipe in &self.0 {
            match recipe.source {
                Source::Plain => go.arg(format!("{}@v{}", recipe.path(), recipe.version)),
                Source::Required | Source::Kubernetes => go.arg(recipe.path()),
            };
        }
        command::run_compiler(&mut go, Compiler::Go)?;
        // A program is called as the last part of its package, unless that is a version such as /v3.
        let named = |recipe: &Recipe| recipe.path().rsplit('/').next().map(|name| built.join(name));
        Ok(self.0.iter().map(|recipe| alone.clone().or_else(|| named(recipe)).unwrap_or_default()).collect())
    }
}

/// What a local cluster needs.
pub(super) fn recipes() -> Vec<Recipe> {
    let containerd =
        |name, package| Recipe::plain(name, ("github.com/containerd/containerd/v2", package), CONTAINERD);
    let cni = |name, package| Recipe::plain(name, ("github.com/containernetworking/plugins", package), CNI);
    vec![
        Recipe { source: Source::Required, ..Recipe::plain("etcd", ("go.etcd.io/etcd/server/v3", ""), ETCD) },
        Recipe::kubernetes("kube-apiserver", "/cmd/kube-apiserver"),
        Recipe::kubernetes("kube-controller-manager", "/cmd/kube-controller-manager"),
        Recipe::kubernetes("kube-scheduler", "/cmd/kube-scheduler"),
        Recipe::kubernetes("kube-proxy", "/cmd/kube-proxy"),
        Recipe::kubernetes("kubelet", "/cmd/kubelet"),
        Recipe::kubernetes("kubectl", "/cmd/kubectl"),
        helm(),
        containerd("containerd", "/cmd/containerd"),
        containerd("containerd-shim-runc-v2", "/cmd/containerd-shim-runc-v2"),
        containerd("ctr", "/cmd/ctr"),
        runc("runc", RUNC, &[("main.version", RUNC)]),
        cni("ptp", "/plugins/main/ptp"),
        cni("loopback", "/plugins/main/loopback"),
        cni("host-local", "/plugins/ipam/host-local"),
    ]
}

/// runc in other versions, for what they do with profiles.
pub(super) const fn other_runc() -> [Recipe; 3] {
    [
        runc("runc-1.1.15", "1.1.15", &[("main.version", "1.1.15")]),
        runc("runc-1.3.6", "1.3.6", &[("main.version", "1.3.6")]),
        runc("runc-1.6.0-rc.1", "1.6.0-rc.1", &[("main.version", "1.6.0-rc.1")]),
    ]
}

/// A release of Kubernetes that no cluster of ours runs, but whose API server tests do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherRelease {
    /// The oldest that the chart supports.
    V1_33,
    /// The last that does not serve `MutatingAdmissionPolicy` as `admissionregistration.k8s.io/v1`.
    V1_35,
}

impl OtherRelease {
    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_33, Self::V1_35];

    /// The patch release, such as `1.35.4`.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::V1_33 => "1.33.13",
            Self::V1_35 => "1.35.4",
        }
    }

    /// The file name of its API server.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::V1_33 => "kube-apiserver-1.33.13",
            Self::V1_35 => "kube-apiserver-1.35.4",
        }
    }

    pub(super) const fn api_server(self) -> Recipe {
        let recipe = Recipe::kubernetes(self.program(), "/cmd/kube-apiserver");
        Recipe { version: self.version(), ..recipe }
    }
}

/// The C compiler builds it with the machine's libseccomp.
const fn runc(
    name: &'static str,
    version: &'static str,
    values: &'static [(&'static str, &'static str)],
) -> Recipe {
    let recipe = Recipe::plain(name, ("github.com/opencontainers/runc", ""), version);
    Recipe { cgo: true, tags: "seccomp", values, ..recipe }
}

const fn helm() -> Recipe {
    Recipe::plain("helm", ("helm.sh/helm/v4", "/cmd/helm"), HELM)
}

/// What checks the chart.
pub(super) fn chart_recipes() -> [Recipe; 4] {
    [
        helm(),
        Recipe::plain("helm-docs", ("github.com/norwoodj/helm-docs", "/cmd/helm-docs"), HELM_DOCS),
        Recipe {
            source: Source::Required,
            ..Recipe::plain(
                "helm-unittest",
                ("github.com/helm-unittest/helm-unittest", "/cmd/helm-unittest"),
                HELM_UNITTEST,
            )
        },
        Recipe::plain("kubeconform", ("github.com/yannh/kubeconform", "/cmd/kubeconform"), KUBECONFORM),
    ]
}

/// The registry of the distribution project.
pub(super) const fn registry() -> Recipe {
    Recipe::plain("registry", ("github.com/distribution/distribution/v3", "/cmd/registry"), DISTRIBUTION)
}

/// Registries of others, and what writes to them.
pub(super) const fn registries() -> [Recipe; 3] {
    [
        registry(),
        Recipe::plain("crane", ("github.com/google/go-containerregistry", "/cmd/crane"), CRANE),
        Recipe::plain("oras", ("oras.land/oras", "/cmd/oras"), ORAS),
    ]
}

/// What signs.
pub(super) const fn cosign() -> Recipe {
    Recipe::plain("cosign", ("github.com/sigstore/cosign/v3", "/cmd/cosign"), COSIGN)
}

/// What starts the other kind of cluster.
pub(super) const fn kind() -> Recipe {
    Recipe::plain("kind", ("sigs.k8s.io/kind", ""), KIND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_another_release_is_named_by_its_version() {
        for release in OtherRelease::ALL {
            assert_eq!(release.program(), format!("kube-apiserver-{}", release.version()));
        }
    }

    #[test]
    fn all_of_kubernetes_is_one_build() {
        let titles: Vec<_> = Batch::of(recipes()).iter().map(Batch::title).collect();
        assert_eq!(
            titles,
            [
                "etcd 3.7.3",
                "kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubelet, kubectl 1.37.2",
                "helm 4.3.1",
                "containerd, containerd-shim-runc-v2, ctr 2.4.2",
                "runc 1.5.2",
                "ptp, loopback, host-local 1.9.1",
            ]
        );
    }
}
