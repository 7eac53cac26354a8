//! Keeps the certificates: reads and writes the Secret and the configuration, and signs this replica's own leaf.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::names::ADMISSION_FIELD_MANAGER;
use daemon::lease::Lead as Election;
use daemon::{Changeable, metrics};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use kube_runtime::watcher::Config;
use link::chain;
use link::changes::{Change, Changes};
use link::client::within;
use link::watch::WatchStream;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::authority::{Authority, CertificateError};
use super::bundle::Bundle;
use super::clock::{Clock, UnixTime};
use super::configuration::{Configuration, Webhooks};
use super::fingerprint::Fingerprint;
use super::plan::{self, Lead, LeafFacts, Periods, Seen};
use super::secret::Authorities;
use super::served::Served;
use crate::metrics::{Metrics, Write};

/// The pause after a failure, and after a write that another one has overtaken.
const RETRY: Duration = Duration::from_secs(1);

/// How long a watch lasts.
pub const WATCH: Duration = Duration::from_mins(1);

/// What the certificates are for, and where they are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The namespace of the Secret.
    pub namespace: String,
    /// The Secret of the authorities.
    pub secret: String,
    /// The ValidatingWebhookConfiguration.
    pub configuration: String,
    /// The names, or addresses, by which the API server reaches this program.
    pub names: Vec<String>,
    /// How long things last.
    pub periods: Periods,
    /// How often the Secret is read although nothing has happened.
    pub check: Duration,
    /// Labels of a Secret that is created.
    pub labels: BTreeMap<String, String>,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("secret: {0}")]
    Secret(#[source] kube::Error),
    #[error("webhook configuration: {0}")]
    Configuration(#[source] kube::Error),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A second configuration by which the API server calls this program. It gets the certificates of the first one from any
/// replica, because one that knows it may not lead while its predecessor does not know it.
#[derive(Debug)]
pub struct Second {
    configurations: Api<MutatingWebhookConfiguration>,
    name: String,
    view: watch::Receiver<Option<Configuration>>,
}

impl Second {
    /// The configuration of this name, as [`follow`] has seen it.
    #[must_use]
    pub fn new(client: Client, name: String, view: watch::Receiver<Option<Configuration>>) -> Self {
        Self { configurations: Api::all(client), name, view }
    }
}

/// Waits until a view has changed, for ever if there is none.
pub(super) async fn changed(view: Option<&mut watch::Receiver<Option<Configuration>>>) {
    let changed = match view {
        Some(view) => view.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}

/// Keeps the certificates of this replica, and, while it leads, the authorities.
pub struct Keeper {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    second: Option<Second>,
    settings: Settings,
    election: Arc<Election>,
    served: Served,
    trusted: Changeable,
    metrics: Metrics,
    leaf: Option<LeafFacts>,
    seen: Seen,
    start: Instant,
    clock: Clock,
    has_begun: bool,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("settings", &self.settings)
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// A keeper that sends no request before [`Self::run`]. `trusted` is the part of the readiness that says whether the
    /// API server trusts this replica.
    #[must_use]
    pub fn new(
        client: Client,
        settings: Settings,
        election: Arc<Election>,
        served: Served,
        trusted: Changeable,
        metrics: Metrics,
    ) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &settings.namespace),
            configurations: Api::all(client),
            second: None,
            settings,
            election,
            served,
            trusted,
            metrics,
            leaf: None,
            seen: Seen::default(),
            start: Instant::now(),
            clock: Clock::new(wall(), Duration::ZERO),
            has_begun: false,
        }
    }

    /// Keeps a second configuration, too.
    #[must_use]
    pub fn with(self, second: Option<Second>) -> Self {
        Self { second, ..self }
    }

    /// Keeps them for ever. `view` is the configuration as [`follow`] has seen it, and `woken` changes when this process
    /// has become the leader.
    pub async fn run(
        mut self,
        mut view: watch::Receiver<Option<Configuration>>,
        mut woken: watch::Receiver<()>,
    ) {
        loop {
            let configuration = view.borrow_and_update().clone();
            let pause = match configuration {
                None => self.settings.check,
                Some(configuration) => match self.round(&configuration).await {
                    Ok(pause) => pause,
                    Err(error) => {
                        warn!(error = %chain(&error), "the certificates are not as they should be");
                        RETRY
                    }
                },
            };
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = view.changed() => {}
                () = changed(self.second.as_mut().map(|second| &mut second.view)) => {}
                Ok(()) = woken.changed() => {}
            }
        }
    }

    /// Does what is to be done now; returns how long nothing is, unless something happens.
    async fn round(&mut self, configuration: &Configuration) -> Result<Duration, RoundError> {
        let bundle = configuration.bundle();
        // After the configuration: see `plan::lead`.
        let secret = within(self.secrets.get_opt(&self.settings.secret)).await.map_err(RoundError::Secret)?;
        let authorities = secret.as_ref().map(Authorities::of).unwrap_or_default();
        let monotonic = self.start.elapsed();
        let now = self.clock.at(wall(), monotonic);
        let in_both = self.copy(&bundle).await?;
        self.seen.see(&in_both.ids(), monotonic);
        self.sign(&authorities, now, monotonic)?;
        let leaf = self.leaf.as_ref();
        let periods = &self.settings.periods;
        self.has_begun |= plan::may_begin(leaf, &self.seen, now, monotonic, periods);
        let trusted = self.has_begun && plan::is_trusted(leaf, &self.seen, now);
        self.trusted.set(trusted);
        self.metrics.trusted(trusted, self.leaf.map(|leaf| leaf.expires));
        if !self.election.may_write() {
            return Ok(self.pause());
        }
        let stored = authorities.stored();
        match plan::lead(&stored, &bundle.ids(), &self.seen, now, monotonic, periods) {
            Lead::Renew => {
                let authority = Authority::generate(now, periods.authority)?;
                info!(authority = %authority.facts().id, "a new certificate authority is stored");
                self.store(&authorities.renewed(authority), secret.as_ref()).await
            }
            Lead::Forget => {
                info!("the certificate authority before the present one is removed");
                self.store(&authorities.without_previous(), secret.as_ref()).await
            }
            // Without webhooks there is nobody to tell.
            _ if configuration.is_empty() => Ok(self.settings.check),
            Lead::Publish(ids) => {
                self.publish(configuration, &authorities.bundle().choose(&bundle, &ids)).await
            }
            Lead::Nothing if !configuration.is_uniform() => self.publish(configuration, &bundle).await,
            Lead::Nothing => Ok(self.pause()),
        }
    }

    /// Writes the certificates into the second configuration, if there is one. Returns those that both have.
    async fn copy(&mut self, bundle: &Bundle) -> Result<Bundle, RoundError> {
        let Some(second) = &mut self.second else { return Ok(bundle.clone()) };
        let Some(configuration) = second.view.borrow_and_update().clone() else {
            return Ok(Bundle::default());
        };
        let common = configuration.common_with(bundle);
        if !bundle.ids().is_empty() && !configuration.has_exactly(bundle) {
            let (configurations, name) = (second.configurations.clone(), second.name.clone());
            self.write(&configurations, &name, &configuration, bundle).await?;
        }
        Ok(common)
    }

    /// Signs a leaf if this replica needs one.
    fn sign(
        &mut self,
        authorities: &Authorities,
        now: UnixTime,
        monotonic: Duration,
    ) -> Result<(), CertificateError> {
        let periods = &self.settings.periods;
        let id = plan::sign(self.leaf.as_ref(), &authorities.stored(), &self.seen, now, monotonic, periods);
        let Some(authority) = id.and_then(|id: Fingerprint| authorities.get(id)) else { return Ok(()) };
        let leaf = authority.sign(&self.settings.names, now, periods.leaf)?;
        let facts = leaf.facts;
        self.served.set(leaf)?;
        self.leaf = Some(facts);
        info!(authority = %facts.authority, expires = facts.expires.0, "a new certificate is in use");
        Ok(())
    }

    /// Until when nothing is to be done, unless something happens: until an authority has been seen for long enough, or
    /// the Secret is read again.
    fn pause(&self) -> Duration {
        let settle = self.settings.periods.settle;
        let remaining = self.seen.next_at(settle, self.start.elapsed());
        remaining.map_or(self.settings.check, |remaining| remaining.min(self.settings.check))
    }

    async fn store(&self, authorities: &Authorities, old: Option<&Secret>) -> Result<Duration, RoundError> {
        let secret = authorities.to_secret(&self.settings.secret, &self.settings.labels, old);
        let params =
            PostParams { field_manager: Some(ADMISSION_FIELD_MANAGER.into()), ..PostParams::default() };
        let written = match old {
            Some(_) => within(self.secrets.replace(&self.settings.secret, &params, &secret)).await,
            None => within(self.secrets.create(&params, &secret)).await,
        };
        self.written(Write::Secret, written.map(drop), RoundError::Secret)
            .map(|done| if done { Duration::ZERO } else { RETRY })
    }

    async fn publish(&self, configuration: &Configuration, bundle: &Bundle) -> Result<Duration, RoundError> {
        let done =
            self.write(&self.configurations, &self.settings.configuration, configuration, bundle).await?;
        // The watch delivers the new version.
        Ok(if done { self.settings.check } else { RETRY })
    }

    /// Writes certificates into a configuration; returns whether it was as expected.
    async fn write<K: Clone + DeserializeOwned + fmt::Debug>(
        &self,
        configurations: &Api<K>,
        name: &str,
        configuration: &Configuration,
        bundle: &Bundle,
    ) -> Result<bool, RoundError> {
        let operations: Value = configuration.patch(bundle);
        let Ok(patch) = serde_json::from_value(operations) else { return Ok(false) };
        let params =
            PatchParams { field_manager: Some(ADMISSION_FIELD_MANAGER.into()), ..PatchParams::default() };
        let written = within(configurations.patch(name, &params, &Patch::Json::<()>(patch))).await;
        let done = self.written(Write::Configuration, written.map(drop), RoundError::Configuration)?;
        if done {
            info!(name, authorities = bundle.ids().len(), "the webhook configuration has the authorities");
        }
        Ok(done)
    }

    /// Whether a write was made; another one may have been faster.
    fn written(
        &self,
        what: Write,
        written: Result<(), kube::Error>,
        error: impl FnOnce(kube::Error) -> RoundError,
    ) -> Result<bool, RoundError> {
        match written {
            Ok(()) => {
                self.metrics.writes.of(what).inc();
                Ok(true)
            }
            // 422: an operation `test` of a JSON patch has failed.
            Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => Ok(false),
            Err(failure) => {
                self.metrics.failed_writes.of(what).inc();
                Err(error(failure))
            }
        }
    }
}

/// Keeps `view` at what the API server has shown of the configuration, for ever.
pub async fn follow<K>(
    client: Client,
    name: String,
    view: watch::Sender<Option<Configuration>>,
    measured: metrics::Watch,
) where
    K: Webhooks + Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    let config = Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH.as_secs() as u32);
    let stream = WatchStream::<K>::observed(client, config, measured);
    let mut changes = Changes::new(stream);
    loop {
        match changes.next().await {
            Ok(Change::Apply(object, _)) => drop(view.send_replace(Some(Configuration::of(&object)))),
            Ok(Change::Gone(_)) => drop(view.send_replace(Some(Configuration::default()))),
            Ok(Change::Complete) => {
                view.send_if_modified(|view| {
                    let is_first = view.is_none();
                    view.get_or_insert_default();
                    is_first
                });
            }
            Err(error) => warn!(error = %chain(&error), "the watch of the webhook configuration failed"),
        }
    }
}

fn wall() -> UnixTime {
    UnixTime(metrics::now() as i64)
}
