//! Checks the chart without a cluster, with common tools: `helm lint`, helm-unittest, kubeconform
//! with the schemas of every Kubernetes release that the chart is for, and helm-docs, which makes its README.
//!
//! What the chart must have in common with the programs is checked in `e2e/tests/chart.rs`; what it does in a cluster,
//! in `e2e/tests/cluster/`.

mod openapi;
mod schemas;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, CommandError};
use crate::files::{self, FileError, NamePath};
use crate::programs::{Programs, ProgramsError};
use crate::step::{StepError, note, step};
use crate::workspace::repository;

/// The chart's name. In the tests it is also the name of its release, and of the namespace that it is installed in.
pub const NAME: &str = "seccomp-profile";

/// A kind that the chart uses where the API server serves it, as `helm template --api-versions` takes it.
pub const MUTATING_POLICY: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";

/// The folders of the project whose files are checked beside the chart.
const FOLDERS: [&str; 2] = ["profiles", "pods"];

/// A chart with an error, or a check that could not run.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The tools do not build.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// A tool failed, which is how it reports an error.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Helm reported a warning, which is printed.
    #[error("helm lint reported the problems above")]
    Lint,
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// What a tool printed, or a document of Kubernetes, is not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A definition in the chart is not YAML.
    #[error("not YAML: {0}")]
    Yaml(#[from] serde_saphyr::Error),
    /// A release of Kubernetes whose document describes nothing.
    #[error("the OpenAPI document of Kubernetes {0} has no kinds")]
    NoKinds(String),
    /// A schema that lets a misspelt field pass checks nothing.
    #[error("the schemas of Kubernetes {0} let a misspelt field of a container pass")]
    Lenient(String),
    /// The committed README is out of date.
    #[error("{} is out of date with the comments in values.yaml: run `make generate`", .0.display())]
    Drift(PathBuf),
    /// Values without a comment.
    #[error("values without a comment that begins with `# --`: {}", .0.join(", "))]
    Undocumented(Vec<String>),
    /// A part of the check failed.
    #[error(transparent)]
    Step(#[from] Box<StepError<ChartError>>),
}

impl From<StepError<ChartError>> for ChartError {
    fn from(error: StepError<ChartError>) -> Self {
        ChartError::Step(Box::new(error))
    }
}

/// Checks the chart in every way that needs no cluster.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check() -> Result<(), ChartError> {
    let chart = Chart::new()?;
    step("helm lint --strict", || chart.lint())?;
    step("helm-unittest", || chart.unit_tests())?;
    step("check that README.md is up to date", || chart.readme_is_current())?;
    for release in schemas::RELEASES {
        let root = schemas::of_release(release)?;
        step(format!("kubeconform for Kubernetes {release}"), || chart.conforms(release, &root))?;
    }
    Ok(())
}

/// Writes the chart's README from the values' comments.
///
/// # Errors
/// When helm-docs fails, a value has no comment, or the file cannot be written.
pub fn write_readme() -> Result<(), ChartError> {
    let chart = Chart::new()?;
    Ok(files::write(&chart.readme_path(), chart.readme()?)?)
}

/// The chart in the work tree, and the tools.
struct Chart {
    programs: Programs,
    directory: PathBuf,
}

impl Chart {
    fn new() -> Result<Self, ChartError> {
        let programs = Programs::in_cache();
        programs.build_chart_tools()?;
        Ok(Chart { programs, directory: repository().join("charts").join(NAME) })
    }

    /// Values that are checked in addition to the defaults: the files in `ci/`, by the convention of Helm's
    /// chart-testing.
    fn values(&self) -> Result<Vec<Option<PathBuf>>, ChartError> {
        let files = files::entries(&self.directory.join("ci"))?;
        Ok([None].into_iter().chain(files.into_iter().map(Some)).collect())
    }

    fn lint(&self) -> Result<(), ChartError> {
        for values in self.values()? {
            let mut helm = self.programs.command("helm");
            helm.args(["lint", "--strict", "--quiet", "--with-subcharts"]).arg(&self.directory);
            // It prints the errors on its standard output, and only their number on standard error.
            let ended = command::run_interactive(with(&mut helm, values.as_deref()))?;
            if !ended.success() {
                return Err(ChartError::Lint);
            }
        }
        Ok(())
    }

    fn unit_tests(&self) -> Result<(), ChartError> {
        let mut tests = self.programs.command("helm-unittest");
        let said = command::output(tests.args(["--strict", "--color=false"]).arg(&self.directory))?;
        said.lines().filter(|line| line.starts_with("Tests:")).for_each(note);
        Ok(())
    }

    fn readme_path(&self) -> PathBuf {
        self.directory.join("README.md")
    }

    /// The README as helm-docs makes it now.
    fn readme(&self) -> Result<String, ChartError> {
        let mut docs = self.programs.command("helm-docs");
        docs.arg("--chart-search-root").arg(&self.directory).arg("--chart-to-generate").arg(&self.directory);
        docs.args(["--sort-values-order", "file", "--dry-run", "--log-level", "error"]);
        let readme = command::output(&mut docs)?;
        let bare: Vec<_> = undocumented(&readme).map(str::to_owned).collect();
        if bare.is_empty() { Ok(readme) } else { Err(ChartError::Undocumented(bare)) }
    }

    fn readme_is_current(&self) -> Result<(), ChartError> {
        let path = self.readme_path();
        if files::read(&path)? == self.readme()? { Ok(()) } else { Err(ChartError::Drift(path)) }
    }

    /// Checks the rendered chart, the profiles and the pods against the schemas of this Kubernetes release.
    fn conforms(&self, release: &str, root: &Path) -> Result<(), ChartError> {
        let scratch = tempfile::tempdir().name_path("create a directory for", &self.directory)?;
        schemas::of_ours(release, &self.directory, scratch.path())?;
        let kubeconform = || {
            let mut kubeconform = self.programs.command("kubeconform");
            kubeconform.args(["-strict", "-summary", "-output", "text", "-kubernetes-version", release]);
            for location in [root, scratch.path()] {
                kubeconform.arg("-schema-location").arg(location);
            }
            kubeconform
        };
        let mut all = kubeconform();
        let mut first = None;
        for (number, values) in self.values()?.iter().enumerate() {
            let mut helm = self.programs.command("helm");
            helm.args(["template", NAME, "--namespace", NAME, "--kube-version", release]);
            // Without a cluster, helm does not know which kinds a release serves.
            if schemas::serves(root, release, MUTATING_POLICY) {
                helm.args(["--api-versions", MUTATING_POLICY]);
            }
            let rendered = command::output(with(helm.arg(&self.directory), values.as_deref()))?;
            let path = scratch.path().join(format!("rendered-{number}.yaml"));
            files::write(&path, &rendered)?;
            all.arg(path);
            first.get_or_insert(rendered);
        }
        all.args(FOLDERS.map(|folder| repository().join(folder)));
        // The last line is a summary with the number of checked objects.
        note(command::output(&mut all)?.trim_end());

        let misspelt =
            first.unwrap_or_default().replace("readOnlyRootFilesystem:", "readOnlyRootFileSystem:");
        let path = scratch.path().join("misspelt.yaml");
        files::write(&path, misspelt)?;
        match command::output(kubeconform().arg(path)) {
            Err(CommandError::Failed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(ChartError::Lenient(release.to_owned())),
        }
    }
}

/// Adds a file of values, if there is one.
fn with<'a>(helm: &'a mut Command, values: Option<&Path>) -> &'a mut Command {
    if let Some(values) = values {
        helm.arg("--values").arg(values);
    }
    helm
}

/// The values in the README's table without a description.
fn undocumented(readme: &str) -> impl Iterator<Item = &str> {
    let rows = readme.lines().filter(|line| line.starts_with("| `") && line.ends_with("|  |"));
    rows.filter_map(|row| row.split('`').nth(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_nothing_is_said_about_is_named() {
        let table = "| Key | Default | |\n|-|-|-|\n| `a` | `1` | one |\n| `b.c` | `{}` |  |\n";
        assert_eq!(undocumented(table).collect::<Vec<_>>(), ["b.c"]);
    }
}
