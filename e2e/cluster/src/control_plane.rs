//! etcd, the API server, the controller manager and the scheduler, on the host behind the bridge's
//! address.

use std::time::Duration;

use xtask::files;
use xtask::programs::Programs;

use crate::client::Client;
use crate::instance::Instance;
use crate::layout::Layout;
use crate::process::Daemon;
use crate::wait;
use crate::{ClusterError, cgroup};

/// How long the API server may take until it is ready; about 3 s on an idle machine.
const READY: Duration = Duration::from_mins(2);

/// The requests of our own service accounts are logged, one line a request, and no others: tests count
/// them.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: [\"system:serviceaccounts:seccomp-profile\"]
- level: None
";

/// A program of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controller manager.
    ControllerManager,
    /// The scheduler.
    Scheduler,
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Component::Etcd => "etcd",
            Component::ApiServer => "kube-apiserver",
            Component::ControllerManager => "kube-controller-manager",
            Component::Scheduler => "kube-scheduler",
        }
    }
}

/// The control plane of the cluster at `layout`.
pub(crate) struct ControlPlane<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) programs: &'a Programs,
    pub(crate) etcd_fsync: bool,
}

impl ControlPlane<'_> {
    /// Starts everything and returns when the API server is ready.
    pub(crate) fn up(&self, client: &Client) -> Result<(), ClusterError> {
        files::write(&self.layout.audit_policy(), AUDIT_POLICY)?;
        self.start(Component::Etcd)?;
        self.start(Component::ApiServer)?;
        self.wait_ready(client)?;
        self.start(Component::ControllerManager)?;
        self.start(Component::Scheduler)?;
        client.kubectl([
            "create",
            "clusterrolebinding",
            "node-proxier",
            "--clusterrole=system:node-proxier",
            "--user=system:kube-proxy",
        ])?;
        Ok(())
    }

    /// Waits until pods can be created: not before the controller manager has made their service account.
    pub(crate) fn wait_for_pods(&self, client: &Client) -> Result<(), ClusterError> {
        self.wait(Component::ControllerManager, "the default service account", || {
            client.kubectl(["get", "serviceaccount", "default"]).is_ok()
        })
    }

    /// Waits until the API server reports that it is ready.
    pub(crate) fn wait_ready(&self, client: &Client) -> Result<(), ClusterError> {
        self.wait(Component::ApiServer, "the API server's readiness", || {
            client.kubectl(["get", "--raw", "/readyz"]).is_ok()
        })
    }

    fn wait(&self, by: Component, what: &str, holds: impl Fn() -> bool) -> Result<(), ClusterError> {
        wait::until(what, READY, || {
            self.daemon(Component::Etcd).expect_running()?;
            self.daemon(by).expect_running()?;
            Ok(holds().then_some(()))
        })
    }

    pub(crate) fn daemon(&self, component: Component) -> Daemon {
        Daemon::new(self.layout, component.name())
    }

    /// Starts one component. It need not be ready when this returns.
    pub(crate) fn start(&self, component: Component) -> Result<(), ClusterError> {
        let groups =
            cgroup::Hierarchies::of_this_machine()?.create(&self.instance().control_plane_group())?;
        let program = self.programs.path(component.name()).display().to_string();
        let arguments = match component {
            Component::Etcd => self.etcd(),
            Component::ApiServer => self.api_server(),
            Component::ControllerManager => self.controller_manager(),
            Component::Scheduler => self.scheduler(),
        };
        Ok(self.daemon(component).start(&groups, [program].into_iter().chain(arguments))?)
    }

    fn instance(&self) -> Instance {
        self.layout.instance()
    }

    fn etcd(&self) -> Vec<String> {
        let (client, peer) = (self.instance().etcd_client(), self.instance().etcd_peer());
        let mut arguments = vec![
            format!("--data-dir={}", self.layout.etcd().display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // In milliseconds. A single member elects itself after this time, and no other member is remote.
            "--heartbeat-interval=10".into(),
            "--election-timeout=100".into(),
        ];
        if !self.etcd_fsync {
            arguments.push("--unsafe-no-fsync".into());
        }
        arguments
    }

    fn api_server(&self) -> Vec<String> {
        let pki = |file: &str| self.layout.pki(file).display().to_string();
        vec![
            format!("--etcd-servers={}", self.instance().etcd_client()),
            format!("--bind-address={}", self.instance().control_plane()),
            format!("--advertise-address={}", self.instance().control_plane()),
            "--secure-port=6443".into(),
            format!("--cert-dir={}", pki("")),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!("--kubelet-client-certificate={}", pki("admin.crt")),
            format!("--kubelet-client-key={}", pki("admin.key")),
            // The machine's resolver does not know the nodes' names.
            "--kubelet-preferred-address-types=InternalIP".into(),
            format!("--service-account-key-file={}", pki("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", pki("service-accounts.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-cluster-ip-range={}", self.instance().services()),
            // No kube-proxy runs beside the API server, so it asks webhooks at the addresses of their pods.
            "--enable-aggregator-routing=true".into(),
            "--authorization-mode=Node,RBAC".into(),
            "--enable-admission-plugins=NodeRestriction".into(),
            "--allow-privileged=true".into(),
            format!("--requestheader-client-ca-file={}", pki("ca.crt")),
            // One authority signs for both kinds of client; 1.37 then insists on the names.
            "--requestheader-allowed-names=front-proxy".into(),
            format!("--proxy-client-cert-file={}", pki("front-proxy.crt")),
            format!("--proxy-client-key-file={}", pki("front-proxy.key")),
            format!("--audit-policy-file={}", self.layout.audit_policy().display()),
            format!("--audit-log-path={}", self.layout.audit_log().display()),
            // In megabytes. A rotated log would lose what tests count.
            "--audit-log-maxsize=10000".into(),
        ]
    }

    fn controller_manager(&self) -> Vec<String> {
        let pki = |file: &str| self.layout.pki(file).display().to_string();
        vec![
            format!("--kubeconfig={}", self.layout.kubeconfig("controller-manager").display()),
            "--secure-port=0".into(),
            format!("--root-ca-file={}", pki("ca.crt")),
            format!("--service-account-private-key-file={}", pki("service-accounts.key")),
            format!("--cluster-signing-cert-file={}", pki("ca.crt")),
            format!("--cluster-signing-key-file={}", pki("ca.key")),
            "--use-service-account-credentials".into(),
            // It asks for a token a controller when it starts: 5 s with the default of 20 a second.
            "--kube-api-qps=1000".into(),
            "--kube-api-burst=1000".into(),
            format!("--service-cluster-ip-range={}", self.instance().services()),
            "--leader-elect=false".into(),
            // Made when it is not there; the default is in /usr.
            format!("--flex-volume-plugin-dir={}", self.layout.directory().join("volume-plugins").display()),
            // Half of the default, so that a test of a lost node need not wait so long.
            "--node-monitor-grace-period=20s".into(),
        ]
    }

    fn scheduler(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.layout.kubeconfig("scheduler").display()),
            "--secure-port=0".into(),
            "--leader-elect=false".into(),
        ]
    }
}
