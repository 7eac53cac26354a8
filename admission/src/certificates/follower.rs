//! Follows a certificate that another program, such as cert-manager, keeps in a Secret of the type `kubernetes.io/tls`.

use std::time::{Duration, Instant};

use daemon::{Changeable, metrics};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use kube_runtime::watcher::Config;
use link::chain;
use link::changes::{Change, Changes};
use link::watch::WatchStream;
use rustls::pki_types::ServerName;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::bundle::Bundle;
use super::choice::{Choice, Verdict};
use super::clock::UnixTime;
use super::configuration::Configuration;
use super::given::{Given, GivenError};
use super::keeper::{WATCH, changed};
use super::served::Served;
use crate::metrics::Metrics;

/// How often is looked whether a certificate has expired, although nothing has happened.
const CHECK: Duration = Duration::from_secs(5);

/// A configuration, as far as it has been seen.
type View = watch::Receiver<Option<Configuration>>;

/// Gives new connections the certificate in a Secret.
#[derive(Debug)]
pub struct Follower {
    /// The names by which the API server reaches this program.
    pub names: Vec<ServerName<'static>>,
    /// How long a new certificate must have been trusted, as far as this process has seen, before it is used: each of several
    /// API servers learns of its authority at another moment.
    pub settle: Duration,
    /// What new connections get.
    pub served: Served,
    /// The part of the readiness that says whether the API server trusts this replica.
    pub trusted: Changeable,
    /// What is measured.
    pub metrics: Metrics,
}

impl Follower {
    /// Follows it for ever. `given` is what [`follow`] has seen of the Secret; the other views are the webhook
    /// configurations, into which another program writes the authority. The second one is that about pods, if there is
    /// one.
    pub async fn run(
        self,
        mut given: watch::Receiver<Option<Given>>,
        mut view: View,
        mut second: Option<View>,
    ) {
        let start = Instant::now();
        let mut choice = Choice::new(self.settle);
        let mut said = None;
        loop {
            if let Some(given) = given.borrow_and_update().clone() {
                choice.found(given);
            }
            let second_view = second.as_mut().map(|view| view.borrow_and_update().clone());
            let bundle = common(view.borrow_and_update().as_ref(), second_view);
            let now = UnixTime(metrics::now() as i64);
            let pause = match choice
                .decide(start.elapsed(), |given| given.trusted_until(&bundle, &self.names, now))
            {
                None => CHECK,
                Some(decision) => {
                    self.served.give(decision.given.certified());
                    self.trusted.set(decision.is_ready);
                    self.metrics.trusted(decision.is_ready, decision.expires());
                    if said.as_ref() != Some(&decision.verdict) {
                        log(&decision.verdict);
                        said = Some(decision.verdict);
                    }
                    decision.next.unwrap_or(CHECK).min(CHECK)
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = given.changed() => {}
                Ok(()) = view.changed() => {}
                () = changed(second.as_mut()) => {}
            }
        }
    }
}

fn log(verdict: &Verdict) {
    match verdict {
        Verdict::Newest { expires } => {
            info!(expires = expires.0, "a certificate that the API server trusts is in use");
        }
        Verdict::Before { expires } => info!(
            expires = expires.0,
            "the newest certificate waits until every API server trusts it: the one before stays in use"
        ),
        Verdict::Untrusted { error } => warn!(error, "the API server does not trust the certificate"),
    }
}

/// The authorities by which the API server trusts every webhook.
fn common(first: Option<&Configuration>, second: Option<Option<Configuration>>) -> Bundle {
    let Some(first) = first else { return Bundle::default() };
    let bundle = first.common_with(&first.bundle());
    match second {
        None => bundle,
        Some(None) => Bundle::default(),
        Some(Some(second)) => second.common_with(&bundle),
    }
}

/// Keeps `view` at the last certificate that the Secret of this name has held, for ever. One that cannot be read changes
/// nothing, nor does a Secret that is gone.
pub async fn follow(client: Client, namespace: String, name: String, view: watch::Sender<Option<Given>>) {
    let config = Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH.as_secs() as u32);
    let secrets: Api<Secret> = Api::namespaced(client, &namespace);
    let mut changes = Changes::new(WatchStream::new(secrets, config));
    loop {
        match changes.next().await {
            Ok(Change::Apply(secret, _)) => match given(&secret) {
                Ok(given) => drop(view.send_replace(Some(given))),
                Err(error) => {
                    warn!(secret = name, error = %chain(&error), "the certificate in the Secret cannot be used");
                }
            },
            Ok(Change::Gone(_)) => warn!(secret = name, "the Secret of the certificate is gone"),
            Ok(Change::Complete) => {}
            Err(error) => warn!(error = %chain(&error), "the watch of the Secret failed"),
        }
    }
}

/// The certificate in a Secret.
fn given(secret: &Secret) -> Result<Given, GivenError> {
    let part = |name: &str| {
        let part = secret.data.as_ref().and_then(|data| data.get(name));
        part.map(|part| &part.0[..]).unwrap_or_default()
    };
    Given::read(part("tls.crt"), part("tls.key"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
    use serde_json::json;

    use super::*;

    fn bundle(certificates: &[&str]) -> Bundle {
        let mut bundle = Bundle::default();
        certificates.iter().for_each(|der| bundle.add(der.as_bytes()));
        bundle
    }

    /// A configuration whose webhooks have these certificates.
    fn configuration(webhooks: &[&[&str]]) -> Configuration {
        let webhooks = webhooks.iter().enumerate().map(|(at, certificates)| {
            json!({
                "name": format!("w{at}.example.org"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": { "caBundle": ByteString(bundle(certificates).text().into_bytes()) },
            })
        });
        let object = json!({ "metadata": { "name": "it" }, "webhooks": webhooks.collect::<Vec<_>>() });
        Configuration::of(&serde_json::from_value::<ValidatingWebhookConfiguration>(object).unwrap())
    }

    #[test]
    fn a_replica_is_judged_by_the_authorities_that_every_webhook_has() {
        let both = configuration(&[&["one", "two"]]);
        assert_eq!(common(None, None), Bundle::default());
        assert_eq!(common(Some(&both), None), bundle(&["one", "two"]));
        assert_eq!(common(Some(&configuration(&[&["one", "two"], &["two"]])), None), bundle(&["two"]));
        assert_eq!(common(Some(&both), Some(None)), Bundle::default(), "it has not been seen");
        assert_eq!(
            common(Some(&both), Some(Some(configuration(&[&["two"], &["two", "three"]])))),
            bundle(&["two"])
        );
        assert_eq!(common(Some(&both), Some(Some(configuration(&[&[]])))), Bundle::default());
    }

    #[test]
    fn a_secret_that_lacks_a_part_is_refused_with_its_name() {
        let error = |data: serde_json::Value| {
            given(&serde_json::from_value(json!({ "data": data })).unwrap()).unwrap_err().to_string()
        };
        assert_eq!(error(json!({})), "tls.crt has no certificate in PEM");
        assert_eq!(error(json!({ "tls.key": "" })), "tls.crt has no certificate in PEM");
    }
}
