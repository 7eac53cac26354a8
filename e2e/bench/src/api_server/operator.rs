//! Our operator, our gate and our admission webhook, as processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cluster::NAMESPACE;
use xtask::build_program::build_program;
use xtask::workspace::repository;

use super::program::Program;
use super::server::free_port;
use super::{Account, ApiServer, ApiServerError};

/// How an operator is started.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    /// Its number, which selects its token and its log.
    pub number: usize,
    /// The URL of the API server, if not the direct one.
    pub url: Option<String>,
    /// Duration, renew deadline and retry period of its lease; without them it leads alone.
    pub lease: Option<[Duration; 3]>,
}

/// A running operator or gate; killed when this is dropped.
#[derive(Debug)]
pub struct OperatorProcess {
    /// The process.
    pub program: Program,
    /// Where its metrics and probes are.
    pub endpoint: String,
}

/// A running admission webhook; killed when this is dropped.
#[derive(Debug)]
pub struct AdmissionProcess {
    /// The process, with its metrics and probes.
    pub process: OperatorProcess,
    /// The port where it answers the API server, on loopback.
    pub port: u16,
}

/// Builds the operator of this workspace; `release` as in the images, else quickly.
///
/// # Errors
/// It does not build.
pub fn build_operator(release: bool) -> Result<PathBuf, ApiServerError> {
    Ok(build_program(repository(), "operator", release)?)
}

/// Builds the admission webhook of this workspace; `release` as in the images, else quickly.
///
/// # Errors
/// It does not build.
pub fn build_admission(release: bool) -> Result<PathBuf, ApiServerError> {
    Ok(build_program(repository(), "admission", release)?)
}

impl AdmissionProcess {
    /// Starts the webhook `binary` against `server`, with further `arguments`. It makes its certificates itself, unless
    /// they name a Secret of another program.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        binary: &Path,
        server: &ApiServer,
        options: &OperatorOptions,
        arguments: &[&str],
    ) -> Result<Self, ApiServerError> {
        let port = free_port()?;
        let mut command = Command::new(binary);
        if !arguments.iter().any(|argument| argument.starts_with("--certificate-secret=")) {
            command.arg(format!("--secret={NAMESPACE}-admission-authorities"));
        }
        command
            .arg(format!("--configuration={NAMESPACE}-admission"))
            .arg(format!("--webhook-listen=127.0.0.1:{port}"))
            .arg("--server-name=127.0.0.1")
            .args(arguments);
        let process = start(command, server, Account::Admission(options.number), options)?;
        Ok(Self { process, port })
    }
}

impl OperatorProcess {
    /// Starts the operator `binary` against `server`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        binary: &Path,
        server: &ApiServer,
        options: &OperatorOptions,
    ) -> Result<Self, ApiServerError> {
        Self::start_with(binary, server, options, &[])
    }

    /// Starts the operator `binary` against `server`, with further `arguments`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with(
        binary: &Path,
        server: &ApiServer,
        options: &OperatorOptions,
        arguments: &[&str],
    ) -> Result<Self, ApiServerError> {
        let mut command = Command::new(binary);
        command.args(arguments);
        start(command, server, Account::Operator(options.number), options)
    }

    /// Starts the gate of the operator `binary` against `server`, with further `arguments`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_gate(
        binary: &Path,
        server: &ApiServer,
        options: &OperatorOptions,
        arguments: &[&str],
    ) -> Result<Self, ApiServerError> {
        let mut command = Command::new(binary);
        command.arg("gate").args(arguments);
        start(command, server, Account::Gate(options.number), options)
    }
}

fn start(
    mut command: Command,
    server: &ApiServer,
    account: Account,
    options: &OperatorOptions,
) -> Result<OperatorProcess, ApiServerError> {
    let name = account.uid();
    let endpoint = format!("127.0.0.1:{}", free_port()?);
    command
        .env("KUBECONFIG", server.kubeconfig(&name, account, options.url.as_deref())?)
        .env("HOSTNAME", &name)
        .args(["--namespace", NAMESPACE, "--listen", &endpoint]);
    if let Some([duration, renew_deadline, retry]) = options.lease {
        let component = match account {
            Account::Gate(_) => "gate",
            Account::Admission(_) => "admission",
            Account::Operator(_) | Account::Admin => "operator",
        };
        command.arg(format!("--lease={NAMESPACE}-{component}"));
        for (option, value) in [("duration", duration), ("renew-deadline", renew_deadline), ("retry", retry)]
        {
            command.arg(format!("--lease-{option}={}ms", value.as_millis()));
        }
    }
    let program = Program::start(&name, &command, &server.path(&format!("{name}.log")))?;
    Ok(OperatorProcess { program, endpoint })
}
