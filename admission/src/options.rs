//! The options, as the chart sets them.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use daemon::lease::{LeaseOptions, duration};
use daemon::logging::LoggingArgs;
use rustls::pki_types::{InvalidDnsNameError, ServerName};

use crate::certificates::plan::Periods;
use crate::images::settings::ImageOptions;

/// Answers the API server's questions about objects before they are stored.
#[derive(Debug, Clone, Parser)]
#[command(name = "admission", version)]
pub struct Options {
    /// Namespace of the Secret and of the lease.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// The Secret that holds the certificate authorities, unless another program makes the certificate.
    #[arg(long, required_unless_present = "certificate_secret")]
    pub secret: Option<String>,
    /// The Secret in which another program, such as cert-manager, keeps this program's certificate and key. That program
    /// then also writes the authority into the webhook configurations.
    #[arg(long, conflicts_with_all = ["secret", "secret_labels", "authority_life", "certificate_life"])]
    pub certificate_secret: Option<String>,
    /// Labels of this Secret, as in `a=b,c=d`.
    #[arg(long, default_value = "", value_parser = labels)]
    pub secret_labels: Labels,
    /// The ValidatingWebhookConfiguration that the API server calls this program by.
    #[arg(long)]
    pub configuration: String,
    /// A name or an address by which the API server reaches this program; several times for several.
    #[arg(long = "server-name", required = true)]
    pub server_names: Vec<String>,
    /// Where the API server's requests are answered; `[::]` is IPv4, too, and alone where there is no IPv6.
    #[arg(long, default_value = "[::]:8443")]
    pub webhook_listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; the same applies.
    #[arg(long, default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// Refuse profiles with errors instead of warning about them.
    #[arg(long)]
    pub refuse_errors: bool,
    /// How long requests are still answered after the signal to stop: until then the API server may not know that this
    /// replica is about to end.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub drain: Duration,
    /// How long a certificate authority is valid; a new one is made when a third of this is left.
    #[arg(long, default_value = "2160h", value_parser = duration)]
    pub authority_life: Duration,
    /// How long this replica's own certificate is valid; a new one is signed when a third of this is left.
    #[arg(long, default_value = "168h", value_parser = duration)]
    pub certificate_life: Duration,
    /// How long a new authority must have been in the webhook configuration before this replica uses it: every API server
    /// must have learned of it.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub settle: Duration,
    /// How often the Secret is read although nothing has happened.
    #[arg(long, default_value = "1m", value_parser = duration)]
    pub check_interval: Duration,
    /// Pods whose images bring profiles.
    #[command(flatten)]
    pub images: ImageOptions,
    /// The election of the replica that writes.
    #[command(flatten)]
    pub lease: LeaseOptions,
    /// Logging.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

/// Who makes this program's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// It does, by authorities that are in this Secret.
    Own {
        /// The Secret's name.
        secret: String,
    },
    /// Another program, which keeps it in this Secret.
    Given {
        /// The Secret's name.
        secret: String,
    },
}

/// Labels of an object.
pub type Labels = std::collections::BTreeMap<String, String>;

impl Options {
    /// Who makes this program's certificate.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        match &self.certificate_secret {
            Some(secret) => Certificates::Given { secret: secret.clone() },
            // One of the two is there: see the options.
            None => Certificates::Own { secret: self.secret.clone().unwrap_or_default() },
        }
    }

    /// The names by which the API server reaches this program, as they are in a certificate.
    ///
    /// # Errors
    /// One of them is neither a name of DNS nor an address.
    pub fn names(&self) -> Result<Vec<ServerName<'static>>, InvalidDnsNameError> {
        self.server_names.iter().map(|name| ServerName::try_from(name.clone())).collect()
    }

    /// How long certificates last.
    #[must_use]
    pub fn periods(&self) -> Periods {
        Periods { authority: self.authority_life, leaf: self.certificate_life, settle: self.settle }
    }
}

fn labels(text: &str) -> Result<Labels, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    let parsed = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?}: expected KEY=VALUE"))?;
        Ok((key.to_owned(), value.to_owned()))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_chart_are_read() {
        let options = Options::try_parse_from([
            "admission",
            "--namespace=ns",
            "--secret=s",
            "--secret-labels=a=b,c=",
            "--configuration=w",
            "--server-name=a.ns.svc",
            "--server-name=127.0.0.1",
            "--lease=l",
            "--refuse-errors",
            "--images-configuration=w",
            "--architecture=arm64",
            "--unusable=refuse",
            "--unknown=baseline",
            "--secrets-in=shop",
            "--inside=Registry.internal:5000",
            "--signature-keys=/etc/registries/keys.pem",
            "--signed=registry.example/team",
        ])
        .unwrap();
        assert_eq!(options.images.architectures, [convert::Machine::Arm64]);
        assert!(options.images.reach().inside.contains("registry.internal:5000"));
        assert_eq!(options.images.signed[0].to_string(), "registry.example/team");
        assert_eq!(options.server_names, ["a.ns.svc", "127.0.0.1"]);
        assert_eq!(options.secret_labels.len(), 2);
        assert_eq!(options.periods().leaf, Duration::from_hours(7 * 24));
        assert_eq!(options.periods().authority, Duration::from_hours(90 * 24));
        let common = ["admission", "--namespace=n", "--configuration=w", "--server-name=a"];
        let parse = |more: &[&str]| Options::try_parse_from(common.iter().chain(more));
        let given = parse(&["--certificate-secret=given"]).unwrap();
        assert_eq!(given.certificates(), Certificates::Given { secret: "given".to_owned() });
        assert_eq!(options.certificates(), Certificates::Own { secret: "s".to_owned() });
        assert_eq!(options.names().unwrap().len(), 2);
        assert!(Options { server_names: vec!["a b".to_owned()], ..options }.names().is_err());
        assert!(parse(&[]).is_err() && parse(&["--certificate-secret=x", "--secret=s"]).is_err());
        // Repositories without keys would silently be no policy, and a path without a registry one for Docker Hub.
        for wrong in ["--secret-labels=a", "--settle=x", "--signed=a.example"] {
            let arguments =
                ["admission", "--namespace=n", "--secret=s", "--configuration=w", "--server-name=a", wrong];
            assert!(Options::try_parse_from(arguments).is_err(), "{wrong}");
        }
        assert!(parse(&["--secret=s", "--signature-keys=k", "--signed=team/app"]).is_err());
    }
}
