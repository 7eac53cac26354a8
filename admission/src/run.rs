//! Starts the program: the certificates, the election, the endpoints.

use std::pin::Pin;
use std::sync::Arc;

use api::names::ADMISSION_FIELD_MANAGER;
use daemon::lease::election::UnsafeTiming;
use daemon::lease::{Lead, elect};
use daemon::{Readiness, http};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use link::client;
use rustls::pki_types::InvalidDnsNameError;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::info;

use crate::certificates::authority::CertificateError;
use crate::certificates::follower::{Follower, follow as follow_secret};
use crate::certificates::keeper::{Keeper, Second, Settings, WATCH, follow};
use crate::certificates::served::Served;
use crate::handler::Handler;
use crate::images::admit::Images;
use crate::images::lookup::Lookup;
use crate::images::objects::Objects;
use crate::images::oci::api_server::ApiServer;
use crate::images::oci::nodes::Nodes;
use crate::images::oci::{Mode, Oci};
use crate::images::registries::{self, RegistriesError};
use crate::images::signatures::{PolicyError, SignaturePolicy};
use crate::metrics::{Kind, Metrics};
use crate::options::{Certificates, Options};
use crate::server::Server;
use crate::warn;

/// Why the program failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The metrics could not be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// There is no connection to the API server.
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
    /// The endpoints, or the port for requests, cannot be served.
    #[error(transparent)]
    Listen(#[from] http::ListenError),
    /// The API server cannot reach a program by such a name.
    #[error("--server-name: {0}")]
    Name(#[from] InvalidDnsNameError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] CertificateError),
    /// The timing permits two leaders.
    #[error(transparent)]
    Timing(#[from] UnsafeTiming),
    /// The client of registries cannot be set up.
    #[error(transparent)]
    Registries(#[from] RegistriesError),
    /// It cannot be told which profiles of images are signed.
    #[error("--signature-keys: {0}")]
    Signatures(#[from] PolicyError),
    /// Nothing can compute profiles.
    #[error("threads: {0}")]
    Threads(std::io::Error),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signal(std::io::Error),
}

/// Runs until SIGTERM, then answers requests for a while longer.
///
/// # Errors
/// The program could not start; once it runs, no failure ends it.
pub async fn run(options: Options) -> Result<(), RunError> {
    let signal = daemon::shutdown_signal().map_err(RunError::Signal)?;
    let registry = daemon::metrics::registry("admission", env!("CARGO_PKG_VERSION"))?;
    let images_configuration = options.images.images_configuration.clone();
    let mode = options.images.mode;
    let kinds = Kind::watched(images_configuration.is_some(), mode == Mode::Auto);
    let metrics = Metrics::new(&registry, kinds)?;
    let readiness = Readiness::default();
    let (trusted, stays) = (readiness.changeable("certificate"), readiness.changeable("stopping"));
    stays.set(true);
    let are_known =
        options.images.images_configuration.as_ref().map(|_| readiness.changeable("profiles of images"));
    let endpoints = http::serve(options.listen, registry, readiness, std::future::pending()).await?;
    let client = client::connect(WATCH).await?;
    let served = Served::default();
    let objects = Arc::new(Objects::new(client.clone(), options.images.most_profiles));
    let (nodes, api_server) = (Arc::new(Nodes::default()), Arc::new(ApiServer::default()));
    let images = match &images_configuration {
        None => None,
        Some(_) => {
            let registries = registries::client(&options.images)?;
            let (settings, namespace) = (options.images.clone(), options.namespace.clone());
            let keys = settings.signature_keys.as_ref();
            let signatures = keys.map(|path| SignaturePolicy::read(path, &settings.signed)).transpose()?;
            if signatures.is_some() {
                info!(repositories = settings.signed.len(), "profiles of images must be signed");
            }
            let (client, objects) = (client.clone(), objects.clone());
            let lookup = Lookup::new(registries, signatures).map_err(RunError::Threads)?;
            let oci = Oci::new(mode, api_server.clone(), nodes.clone());
            Some(Images::new(settings, namespace, client, lookup, objects, oci, metrics.clone()))
        }
    };
    let handler =
        Handler::new(warn::Settings { refuse_errors: options.refuse_errors }, images, metrics.clone());
    let (drain, draining) = watch::channel(false);
    let server = Server::new(options.webhook_listen, served.config()?, handler, draining)?;
    info!(version = env!("CARGO_PKG_VERSION"), listen = %options.webhook_listen, "admission starts");

    let lead = Arc::new(Lead::default());
    let (wake, woken) = watch::channel(());
    let elected = lead.clone();
    let lead_until = move |until| {
        if elected.until(until) {
            wake.send_replace(());
        }
    };
    let mut leadership =
        options.lease.leadership(&options.namespace, ADMISSION_FIELD_MANAGER, &client, lead_until)?;
    let (view, viewed) = watch::channel(None);
    let (second_view, second_viewed) = watch::channel(None);
    // Watches that are needed for pods alone.
    let of_images = {
        let (name, client) = (options.images.images_configuration.clone(), client.clone());
        let (watches, namespace) = (metrics.watches.clone(), options.namespace.clone());
        async move {
            let (Some(name), Some(are_known)) = (name, are_known) else {
                return std::future::pending().await;
            };
            let configuration = follow::<MutatingWebhookConfiguration>(
                client.clone(),
                name,
                second_view,
                watches.of(Kind::Images),
            );
            let nodes = async {
                if mode == Mode::Auto {
                    nodes.follow(client.clone(), watches.of(Kind::Nodes)).await;
                }
            };
            let api_server = async {
                if mode != Mode::Localhost {
                    api_server.follow(client.clone(), &namespace).await;
                }
            };
            let profiles = objects.follow(are_known, watches.of(Kind::Profiles));
            tokio::join!(configuration, profiles, nodes, api_server);
        }
    };
    let configuration = follow::<ValidatingWebhookConfiguration>(
        client.clone(),
        options.configuration.clone(),
        view,
        metrics.watches.of(Kind::Configuration),
    );
    let certificates: Pin<Box<dyn Future<Output = ()>>> = match options.certificates() {
        Certificates::Given { secret } => {
            let (names, settle, namespace) = (options.names()?, options.settle, options.namespace.clone());
            let second = images_configuration.is_some().then_some(second_viewed);
            let (found, given) = watch::channel(None);
            let follower = Follower { names, settle, served, trusted, metrics };
            Box::pin(async move {
                tokio::join!(
                    follow_secret(client, namespace, secret, found),
                    follower.run(given, viewed, second)
                );
            })
        }
        Certificates::Own { secret } => {
            let settings = Settings {
                namespace: options.namespace.clone(),
                secret,
                configuration: options.configuration.clone(),
                names: options.server_names.clone(),
                periods: options.periods(),
                check: options.check_interval,
                labels: options.secret_labels.clone(),
            };
            let second = images_configuration.map(|name| Second::new(client.clone(), name, second_viewed));
            let keeper = Keeper::new(client, settings, lead.clone(), served, trusted, metrics).with(second);
            Box::pin(keeper.run(viewed, woken))
        }
    };
    let work = async {
        tokio::select! {
            // None of these ever ends by itself.
            () = endpoints => {}
            () = configuration => {}
            () = of_images => {}
            () = certificates => {}
            () = server.run() => {}
        }
    };
    let end = async {
        tokio::select! {
            () = signal => {}
            () = elect(leadership.as_mut()) => {}
        }
        info!(drain = ?options.drain, "admission stops");
        lead.stop();
        stays.set(false);
        if let Some(leadership) = &mut leadership {
            leadership.release().await;
        }
        drain.send_replace(true);
        sleep(options.drain).await;
    };
    tokio::select! {
        () = work => {}
        () = end => {}
    }
    Ok(())
}
