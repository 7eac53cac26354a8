//! What the cluster's operator chooses about images.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use api::ProfileName;
use clap::{Args, ValueEnum};
use convert::Machine;
use daemon::lease::duration;
use registry::Prefix;

use super::oci::Mode;
use super::oci::artifact::Base;

/// What a container gets whose image carries a profile that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Unusable {
    /// The baseline, and the client a warning.
    Baseline,
    /// Nothing: the pod is refused.
    Refuse,
}

/// What a container gets whose image cannot be looked at: the registry is slow or away, or does not accept the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Unknown {
    /// It stays as it is, and the client gets a warning.
    Warn,
    /// The baseline, and the client a warning.
    Baseline,
    /// Nothing: the pod is refused.
    Refuse,
}

/// The options about images.
#[derive(Debug, Clone, Args)]
pub struct ImageOptions {
    /// The MutatingWebhookConfiguration that the API server calls this program by about pods; without it, pods are not
    /// answered for.
    #[arg(long)]
    pub images_configuration: Option<String>,
    /// The directory of the profiles below the kubelet's `seccomp/`.
    #[arg(long, default_value = api::names::DEFAULT_DIRECTORY)]
    pub directory: String,
    /// The architecture of nodes, as in their label `kubernetes.io/arch`; several times for several.
    #[arg(long = "architecture", default_values = ["amd64", "arm64"])]
    pub architectures: Vec<Machine>,
    /// What a container gets whose image carries a profile that cannot be used.
    #[arg(long, value_enum, default_value = "baseline")]
    pub unusable: Unusable,
    /// What a container gets whose image cannot be looked at.
    #[arg(long, value_enum, default_value = "warn")]
    pub unknown: Unknown,
    /// How containers get the profiles that their images carry in an artifact. Others are always files.
    #[arg(long, value_enum, default_value = "localhost")]
    pub mode: Mode,
    /// The SeccompProfile whose file runtimes intersect artifacts with, in place of their own default.
    #[arg(long)]
    pub oci_base: Option<ProfileName>,
    /// A namespace whose pull secrets are read; several times for several.
    #[arg(long = "secrets-in")]
    pub secrets_in: Vec<String>,
    /// Read the pull secrets of every namespace.
    #[arg(long)]
    pub secrets_everywhere: bool,
    /// The most profiles of images at a time.
    #[arg(long, default_value_t = 500)]
    pub most_profiles: usize,
    /// How long the images of a pod are looked at; less than the `timeoutSeconds` of the webhook configuration.
    #[arg(long, default_value = "8s", value_parser = duration)]
    pub images_time: Duration,
    /// A registry that is asked without TLS, as HOST or HOST:PORT; several times for several.
    #[arg(long = "plain-http", value_parser = host)]
    pub plain: Vec<String>,
    /// A host that may have a loopback, link-local, private or cluster address, as HOST or HOST:PORT; several times for
    /// several.
    #[arg(long = "inside", value_parser = host)]
    pub inside: Vec<String>,
    /// A network that counts as inside although its addresses are public ones; several times for several.
    #[arg(long = "inside-network")]
    pub networks: Vec<ipnet::IpNet>,
    /// A file with certificates of authorities that are trusted besides the system's.
    #[arg(long = "registry-authorities")]
    pub authorities: Option<PathBuf>,
    /// A file with public keys as PEM, of which one must have signed a profile that an image carries; otherwise the profile
    /// cannot be used.
    #[arg(long)]
    pub signature_keys: Option<PathBuf>,
    /// A registry, or a repository with all below it, for whose images alone that applies, as HOST[:PORT][/PATH]; several
    /// times for several.
    #[arg(long = "signed", requires = "signature_keys")]
    pub signed: Vec<Prefix>,
}

impl ImageOptions {
    /// What runtimes intersect artifacts with.
    #[must_use]
    pub fn base(&self) -> Base {
        match &self.oci_base {
            None => Base::RuntimeDefault,
            Some(name) => Base::Localhost(name.localhost_profile(&self.directory)),
        }
    }

    /// Which hosts may be asked.
    #[must_use]
    pub fn reach(&self) -> registry::Reach {
        let names = |hosts: &[String]| hosts.iter().cloned().collect::<BTreeSet<_>>();
        registry::Reach {
            plain: names(&self.plain),
            inside: names(&self.inside),
            networks: self.networks.clone(),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a parser of values for clap")]
fn host(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.to_ascii_lowercase())
}
