//! kubectl and helm against a cluster, local or external.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use xtask::chart;
use xtask::command::{self, CommandError};
use xtask::programs::Programs;

use crate::wait::{self, WaitError};

/// The namespace that the chart is installed in, and the release's name.
pub const NAMESPACE: &str = chart::NAME;

/// The two command lines, with the cluster that they talk to.
#[derive(Debug, Clone)]
pub struct Client {
    programs: Programs,
    kubeconfig: PathBuf,
}

impl Client {
    /// Talks to the cluster of this kubeconfig.
    pub fn new(programs: Programs, kubeconfig: impl Into<PathBuf>) -> Self {
        Client { programs, kubeconfig: kubeconfig.into() }
    }

    /// The kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where kubectl, helm and the rest are.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Runs kubectl and returns its standard output.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn kubectl(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<String, CommandError> {
        command::output(self.command("kubectl").args(arguments))
    }

    /// Runs kubectl with `input` as its standard input, as `kubectl apply -f -` wants it.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn kubectl_input(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        input: &str,
    ) -> Result<String, CommandError> {
        command::output_with_input(self.command("kubectl").args(arguments), input)
    }

    /// Runs helm and returns its standard output.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn helm(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<String, CommandError> {
        command::output(self.command("helm").args(arguments))
    }

    /// Installs the chart in this directory, or upgrades to it, and waits until it is rolled out. `values`
    /// are further arguments for helm, such as `--set` and what it sets.
    ///
    /// # Errors
    /// When helm fails or the rollout takes longer than two minutes.
    pub fn install_chart(&self, chart: &Path, values: &[&str]) -> Result<String, CommandError> {
        let mut helm = self.command("helm");
        helm.args(["upgrade", "--install", NAMESPACE]).arg(chart);
        helm.args(["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "2m"]);
        // Without any value Helm would take those that the release has.
        helm.arg("--reset-values");
        command::output(helm.args(values))
    }

    /// Waits until the API server serves the kinds of these CustomResourceDefinitions, by name.
    ///
    /// # Errors
    /// When it does not do so in half a minute.
    pub fn wait_established(&self, definitions: &[String]) -> Result<(), WaitError> {
        let established = ["wait", "--for=condition=Established", "--timeout=5s"].map(String::from);
        let definitions = definitions.iter().map(|name| format!("crd/{name}"));
        let words: Vec<String> = established.into_iter().chain(definitions).collect();
        // kubectl may give up at once on a definition that was created a moment ago and has no conditions yet.
        wait::until("the definitions being served", Duration::from_secs(30), || {
            Ok(self.kubectl(&words).is_ok().then_some(()))
        })
    }

    /// One of the programs, with the kubeconfig in its environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.programs.command(program);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}
