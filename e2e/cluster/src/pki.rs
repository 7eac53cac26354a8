//! The cluster's certificates and the kubeconfigs that carry them, made with openssl.

use std::path::Path;
use std::process::Command;

use xtask::command::{self, CommandError};
use xtask::files::{self, FileError};

use crate::layout::Layout;
use crate::node_id::NodeId;

/// A certificate that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// openssl failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// openssl's own configuration differs between distributions; ours adds nothing to a certificate.
const CONFIG: &str = "[req]\ndistinguished_name = name\n[name]\n";

/// Makes the certificate authority, the control plane's certificates and the key that signs the
/// tokens of service accounts.
pub(crate) fn create(layout: &Layout) -> Result<(), PkiError> {
    files::create_dir(&layout.pki(""))?;
    files::create_dir(&layout.kubeconfig(""))?;
    files::write(&layout.pki("openssl.cnf"), CONFIG)?;
    let mut authority = request(layout, "ca", "/CN=seccomp-profile-e2e");
    authority.args([
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign",
    ]);
    command::output(&mut authority)?;

    let mut key = Command::new("openssl");
    key.args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]);
    command::output(key.arg(layout.pki("service-accounts.key")))?;
    let mut public = Command::new("openssl");
    public.args(["pkey", "-pubout", "-in"]).arg(layout.pki("service-accounts.key"));
    command::output(public.arg("-out").arg(layout.pki("service-accounts.pub")))?;

    let names = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost";
    certify(
        layout,
        "apiserver",
        "/CN=kube-apiserver",
        &format!("{names},IP:{},IP:{}", layout.instance().control_plane(), layout.instance().api_service()),
    )?;
    certify(layout, "front-proxy", "/CN=front-proxy", "DNS:front-proxy")?;
    user(layout, "admin", "/O=system:masters/CN=admin")?;
    user(layout, "controller-manager", "/CN=system:kube-controller-manager")?;
    user(layout, "scheduler", "/CN=system:kube-scheduler")?;
    user(layout, "proxy", "/CN=system:kube-proxy")
}

/// Makes a node's certificate, with which its kubelet both serves and asks, and its kubeconfig.
pub(crate) fn create_node(layout: &Layout, node: NodeId) -> Result<(), PkiError> {
    let address = layout.instance().address(node);
    let subject = format!("/O=system:nodes/CN=system:node:{node}");
    certify(layout, &node.to_string(), &subject, &format!("DNS:{node},IP:{address}"))?;
    kubeconfig(layout, &node.to_string())
}

fn user(layout: &Layout, name: &str, subject: &str) -> Result<(), PkiError> {
    certify(layout, name, subject, &format!("DNS:{name}"))?;
    kubeconfig(layout, name)
}

/// A certificate of our authority. `openssl req` signs it itself (since 3.0) with a random serial
/// number, so nodes can be made side by side.
fn certify(layout: &Layout, name: &str, subject: &str, names: &str) -> Result<(), PkiError> {
    let mut command = request(layout, name, subject);
    command.arg("-CA").arg(layout.pki("ca.crt")).arg("-CAkey").arg(layout.pki("ca.key"));
    command.args(["-addext", &format!("subjectAltName={names}")]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command.args(["-addext", "extendedKeyUsage=serverAuth,clientAuth"]);
    command::output(&mut command)?;
    Ok(())
}

fn request(layout: &Layout, name: &str, subject: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-days", "30", "-noenc", "-newkey", "ec"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", subject]);
    command.arg("-config").arg(layout.pki("openssl.cnf"));
    command.arg("-keyout").arg(layout.pki(&format!("{name}.key")));
    command.arg("-out").arg(layout.pki(&format!("{name}.crt")));
    command
}

fn kubeconfig(layout: &Layout, user: &str) -> Result<(), PkiError> {
    let path = |file: String| layout.pki(&file).display().to_string();
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {
            "server": format!("https://{}:6443", layout.instance().control_plane()),
            "certificate-authority": path("ca.crt".into()),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": path(format!("{user}.crt")),
            "client-key": path(format!("{user}.key")),
        }}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": user}}],
        "current-context": "e2e",
    });
    let path: &Path = &layout.kubeconfig(user);
    Ok(files::write(path, config.to_string())?)
}
