//! etcd and the API server, as child processes.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use api::SeccompProfile;
use api::names::FINALIZER;
use cluster::wait;
use cluster::{Client as CommandLine, NAMESPACE};
use http::Request;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource};
use serde_json::json;
use tempfile::TempDir;
use xtask::chart::MUTATING_POLICY;
use xtask::command;
use xtask::files::{self, NamePath};
use xtask::programs::{OtherRelease, Programs};
use xtask::workspace::repository;

use super::account::{self, Account};
use super::program::{Program, failed};
use super::{ApiServerError, audit};

/// How long the API server may take until it is ready; about 3 s on an idle machine.
const READY: Duration = Duration::from_mins(2);

/// Every request of our accounts is logged once it is answered; a watch when it begins, too.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// The API group of cert-manager.
const CERT_MANAGER: &str = "cert-manager.io";

/// Options of the server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether etcd syncs to the disk.
    pub etcd_fsync: bool,
    /// Values of the chart, as helm takes them: `--set` and what it sets.
    pub values: Vec<String>,
    /// Whether the policy for the finalizer is the chart's to the letter, which has no effect for half a minute after
    /// the installation. Otherwise it has one when [`ApiServer::start`] returns.
    pub policy_as_installed: bool,
    /// The release of Kubernetes whose API server is started, if not the cluster's. Helm itself then installs the chart, as
    /// it asks the API server what it serves.
    pub release: Option<OtherRelease>,
    /// The controllers of Kubernetes that run beside the garbage collector, such as `job-controller`.
    pub controllers: Vec<&'static str>,
}

/// An API server with the chart's definitions, rights and policies, until this is dropped.
#[derive(Debug)]
pub struct ApiServer {
    programs: Programs,
    /// The API server's own program.
    program: PathBuf,
    options: Options,
    ports: Ports,
    etcd: Option<Program>,
    server: Option<Program>,
    collector: Option<Program>,
    /// Whether the policy for the finalizer is installed, to be in effect at once.
    has_policy_at_once: bool,
    // Last: it must be there until the programs have gone.
    directory: TempDir,
}

#[derive(Debug)]
struct Ports {
    etcd: u16,
    peer: u16,
    server: u16,
}

impl ApiServer {
    /// Builds the programs where they are missing, starts them and installs the chart's objects.
    ///
    /// # Errors
    /// When a part does not start, with the end of its log.
    pub fn start(options: Options) -> Result<Self, ApiServerError> {
        let programs = Programs::in_cache();
        programs.build()?;
        let program = match options.release {
            Some(release) => Programs::build_api_server_of(release)?,
            None => programs.path("kube-apiserver"),
        };
        let directory = tempfile::Builder::new()
            .prefix("seccomp-profile-api-server-")
            .tempdir()
            .name_path("create a directory in", &std::env::temp_dir())?;
        let ports = Ports { etcd: free_port()?, peer: free_port()?, server: free_port()? };
        let mut server = ApiServer {
            programs,
            program,
            options,
            ports,
            etcd: None,
            server: None,
            collector: None,
            has_policy_at_once: false,
            directory,
        };
        server.prepare()?;
        server.start_etcd()?;
        server.launch_server()?;
        server.install()?;
        server.wait_for_policy()?;
        server.start_collector()?;
        Ok(server)
    }

    /// Where its files are: logs, and what tests put there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.server)
    }

    /// The certificate that it shows.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("pki/apiserver.crt")
    }

    /// What was asked from now on.
    #[must_use]
    pub fn audit(&self) -> audit::Log {
        audit::Log::from_now(self.path("audit.log"))
    }

    /// The configuration of a client for `account`; at `url`, or directly.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub async fn config(&self, account: Account, url: Option<&str>) -> Result<Config, ApiServerError> {
        let kubeconfig: Kubeconfig = serde_json::from_value(self.kubeconfig_of(account, url))
            .map_err(|error| ApiServerError::Config(error.to_string()))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| ApiServerError::Config(error.to_string()))?;
        config.default_retry = false;
        Ok(config)
    }

    /// A client that passes on whatever credentials a request contains.
    pub(super) async fn transparent_client(&self) -> Result<Client, ApiServerError> {
        let mut config = self.config(Account::Admin, None).await?;
        config.auth_info = AuthInfo::default();
        config.read_timeout = None;
        Ok(Client::try_from(config)?)
    }

    /// A client that asks as the admin.
    ///
    /// # Errors
    /// None can be made.
    pub async fn admin(&self) -> Result<Client, ApiServerError> {
        Ok(Client::try_from(self.config(Account::Admin, None).await?)?)
    }

    /// Writes a kubeconfig under the name `name`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig(
        &self,
        name: &str,
        account: Account,
        url: Option<&str>,
    ) -> Result<PathBuf, ApiServerError> {
        let path = self.path(&format!("{name}.kubeconfig"));
        files::write(&path, self.kubeconfig_of(account, url).to_string())?;
        Ok(path)
    }

    /// kubectl and helm as the admin.
    ///
    /// # Errors
    /// The kubeconfig cannot be written.
    pub fn command_line(&self) -> Result<CommandLine, ApiServerError> {
        Ok(CommandLine::new(self.programs.clone(), self.kubeconfig("admin", Account::Admin, None)?))
    }

    /// Kills the API server.
    pub fn kill_server(&mut self) {
        self.server = None;
    }

    /// Kills etcd.
    pub fn kill_etcd(&mut self) {
        self.etcd = None;
    }

    /// Compacts etcd to the present versions.
    ///
    /// # Errors
    /// It refuses.
    pub async fn compact_etcd(&self) -> Result<(), ApiServerError> {
        let revision = self.ask_etcd("kv/range", json!({ "key": "AA==", "limit": "1" })).await?;
        let revision = revision["header"]["revision"].clone();
        self.ask_etcd("kv/compaction", json!({ "revision": revision, "physical": true })).await?;
        Ok(())
    }

    /// How much of etcd's file holds data, in bytes.
    ///
    /// # Errors
    /// Its answer has no size.
    pub async fn etcd_bytes(&self) -> Result<u64, ApiServerError> {
        let status = self.ask_etcd("maintenance/status", json!({})).await?;
        // 64-bit numbers are text in protobuf's JSON.
        let bytes = status["dbSizeInUse"].as_str().and_then(|bytes| bytes.parse().ok());
        bytes.ok_or_else(|| ApiServerError::Config(format!("etcd's status has no size: {status}")))
    }

    /// The process ids of the API server and of etcd, where they run.
    #[must_use]
    pub fn ids(&self) -> [Option<u32>; 2] {
        [&self.server, &self.etcd].map(|program| program.as_ref().map(Program::id))
    }

    /// One call of etcd's API as JSON: <https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/>.
    async fn ask_etcd(
        &self,
        call: &str,
        body: serde_json::Value,
    ) -> Result<serde_json::Value, ApiServerError> {
        let wrong = |error: http::Error| ApiServerError::Config(error.to_string());
        let url: http::Uri = format!("http://127.0.0.1:{}", self.ports.etcd)
            .parse()
            .map_err(|error: http::uri::InvalidUri| ApiServerError::Config(error.to_string()))?;
        let client = Client::try_from(Config::new(url))?;
        let request =
            Request::post(format!("/v3/{call}")).body(body.to_string().into_bytes()).map_err(wrong)?;
        Ok(client.request(request).await?)
    }

    /// Starts etcd, on the data that it has.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_etcd(&mut self) -> Result<(), ApiServerError> {
        let [client, peer] =
            [self.ports.etcd, self.ports.peer].map(|port| format!("http://127.0.0.1:{port}"));
        let mut etcd = self.programs.command("etcd");
        etcd.arg(format!("--data-dir={}", self.path("etcd").display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=default={peer}"))
            // In milliseconds. A single member elects itself after this time, and no other member is remote.
            .args(["--heartbeat-interval=10", "--election-timeout=100"]);
        if !self.options.etcd_fsync {
            etcd.arg("--unsafe-no-fsync");
        }
        self.etcd = Some(Program::start("etcd", &etcd, &self.path("etcd.log"))?);
        Ok(())
    }

    /// Starts the API server again and returns when it is as ready as it was.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_server(&mut self) -> Result<(), ApiServerError> {
        self.launch_server()?;
        self.wait_for_policy()
    }

    /// Starts the API server and returns when it is ready.
    fn launch_server(&mut self) -> Result<(), ApiServerError> {
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd))
            .arg(format!("--secure-port={}", self.ports.server))
            .args(["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none", "--allow-privileged"])
            .arg(format!("--cert-dir={}", self.path("pki").display()))
            .arg(format!("--token-auth-file={}", self.path("tokens.csv").display()))
            .args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16"])
            .arg(format!("--service-account-key-file={}", self.path("accounts.pub").display()))
            .arg(format!("--service-account-signing-key-file={}", self.path("accounts.key").display()))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!("--audit-policy-file={}", self.path("audit.yaml").display()))
            .arg(format!("--audit-log-path={}", self.path("audit.log").display()))
            // In megabytes. A rotated log would lose what tests count.
            .arg("--audit-log-maxsize=100000");
        self.server = Some(Program::start("kube-apiserver", &command, &self.path("kube-apiserver.log"))?);
        let client = self.command_line()?;
        wait::until("the API server's readiness", READY, || {
            for program in [&mut self.etcd, &mut self.server].into_iter().flatten() {
                program.expect_running()?;
            }
            Ok(client.kubectl(["get", "--raw", "/readyz"]).is_ok().then_some(()))
        })
    }

    /// The garbage collector, which removes what a removed node owned, and further controllers.
    fn start_collector(&mut self) -> Result<(), ApiServerError> {
        let mut controllers = vec!["garbage-collector-controller"];
        controllers.extend(&self.options.controllers);
        let mut command = self.programs.command("kube-controller-manager");
        command
            .arg(format!("--kubeconfig={}", self.path("admin.kubeconfig").display()))
            .arg(format!("--controllers={}", controllers.join(",")))
            .args(["--secure-port=0", "--leader-elect=false"])
            .args(["--kube-api-qps=1000", "--kube-api-burst=1000"])
            // Made when it is not there; the default is in /usr.
            .arg(format!("--flex-volume-plugin-dir={}", self.path("plugins").display()));
        let log = self.path("kube-controller-manager.log");
        self.collector = Some(Program::start("kube-controller-manager", &command, &log)?);
        Ok(())
    }

    fn prepare(&self) -> Result<(), ApiServerError> {
        files::write(&self.path("audit.yaml"), AUDIT_POLICY)?;
        files::write(&self.path("tokens.csv"), account::tokens())?;
        let key = self.path("accounts.key");
        let mut openssl = Command::new("openssl");
        openssl
            .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
            .arg(&key);
        command::output(&mut openssl)?;
        let mut openssl = Command::new("openssl");
        openssl.args(["pkey", "-pubout", "-in"]).arg(&key).arg("-out").arg(self.path("accounts.pub"));
        command::output(&mut openssl)?;
        Ok(())
    }

    /// The chart without its workloads' pods: nothing here runs any.
    fn install(&mut self) -> Result<(), ApiServerError> {
        let client = self.command_line()?;
        client.kubectl(["create", "namespace", NAMESPACE])?;
        let chart = repository().join("charts").join(NAMESPACE);
        let verb = if self.options.release.is_some() { "install" } else { "template" };
        let mut arguments = vec![verb.into(), NAMESPACE.into(), chart.display().to_string()];
        arguments.extend(["--namespace", NAMESPACE, "--no-hooks"].map(String::from));
        arguments.extend(self.options.values.iter().cloned());
        let crds = ["seccompprofiles", "nodeprofilestatuses", "seccompobservations"]
            .map(|kind| format!("{kind}.{}", api::names::GROUP));
        if self.options.release.is_some() {
            client.helm(&arguments)?;
            return Ok(client.wait_established(&crds)?);
        }
        arguments.extend(["--api-versions", MUTATING_POLICY].map(String::from));
        let mut objects = client.helm(&arguments)?;
        let has_policy = objects.contains("kind: MutatingAdmissionPolicy\n");
        self.has_policy_at_once = has_policy && !self.options.policy_as_installed;
        if self.has_policy_at_once {
            objects = objects.replace("duration('30s')", "duration('0s')");
        }
        if objects.contains(CERT_MANAGER) {
            client.kubectl_input(["apply", "-f", "-"], &certificates().to_string())?;
            client.wait_established(&[format!("certificates.{CERT_MANAGER}")])?;
        }
        client.kubectl_input(["apply", "--server-side", "-f", "-"], &objects)?;
        Ok(client.wait_established(&crds)?)
    }

    /// Waits until the policy that adds the operator's finalizer is in effect, if it is to be.
    fn wait_for_policy(&self) -> Result<(), ApiServerError> {
        if self.has_policy_at_once { wait_for_finalizer(&self.command_line()?) } else { Ok(()) }
    }

    fn kubeconfig_of(&self, account: Account, url: Option<&str>) -> serde_json::Value {
        let server = url.map_or_else(|| self.url(), str::to_owned);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "it", "cluster": {
                "server": server, "certificate-authority": self.certificate(),
            } }],
            "users": [{ "name": "me", "user": { "token": account.token() } }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "me" } }],
            "current-context": "it",
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A definition of the kind with which the chart asks cert-manager for a certificate. Nothing here makes it.
fn certificates() -> serde_json::Value {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("certificates.{CERT_MANAGER}") },
        "spec": {
            "group": CERT_MANAGER,
            "names": { "plural": "certificates", "kind": "Certificate" },
            "scope": "Namespaced",
            "versions": [
                { "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } },
            ],
        },
    })
}

/// Waits until the API server adds the operator's finalizer to new profiles. It compiles the policy against schemas that
/// it reads every five seconds.
fn wait_for_finalizer(client: &CommandLine) -> Result<(), ApiServerError> {
    let profile = json!({
        "apiVersion": SeccompProfile::api_version(&()),
        "kind": SeccompProfile::kind(&()),
        "metadata": { "name": "dry-run" },
        "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
    });
    wait::until("the policy that adds the finalizer", READY, || {
        let create = ["create", "--dry-run=server", "--output=jsonpath={.metadata.finalizers}", "-f", "-"];
        let created = client.kubectl_input(create, &profile.to_string());
        Ok(created.is_ok_and(|finalizers| finalizers.contains(FINALIZER)).then_some(()))
    })
}

/// A free port, below those that the kernel gives to programs which ask for any: none of them can take it before the
/// program that it is for.
pub(crate) fn free_port() -> Result<u16, ApiServerError> {
    const PORTS: Range<u16> = 15_000..30_000;
    let random = RandomState::new();
    let mut last = io::Error::from(ErrorKind::AddrInUse);
    for attempt in 0..100_u8 {
        let port = PORTS.start + (random.hash_one(attempt) % PORTS.len() as u64) as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(failed("bind", "a port")(last))
}
