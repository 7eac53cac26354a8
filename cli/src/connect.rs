//! The connection to the cluster that the options name.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use link::chain;

use crate::error::CliError;
use crate::options::ClusterOptions;
use crate::proxy::{self, Environment};
use crate::tunnel;

/// A client with kubectl's configuration: from the kubeconfig or, in a pod without one, from its service account;
/// through the proxy that the kubeconfig or the environment names.
///
/// # Errors
/// There is no kubeconfig, or it cannot be used; or the proxy that is named cannot be used.
pub async fn connect(options: &ClusterOptions) -> Result<Client, CliError> {
    // One provider for the whole process; a second call fails harmlessly because it is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (mut config, proxy_url) = config(options).await?;
    // What kube read is decided anew below.
    config.proxy_url = None;
    let proxy = proxy::choose(proxy_url.as_deref(), &Environment::read(), &config.cluster_url)?;
    let client = match proxy {
        Some(proxy) => tunnel::client(config, proxy),
        None => link::client::client(config),
    };
    client.map_err(|error| CliError::Kubeconfig(chain(&error)))
}

/// The configuration, and the `proxy-url` that the kubeconfig has for its cluster.
async fn config(options: &ClusterOptions) -> Result<(Config, Option<String>), CliError> {
    let ClusterOptions { kubeconfig, context, cluster, user } = options.clone();
    let asked = kubeconfig.is_some() || context.is_some() || cluster.is_some() || user.is_some();
    let read = match &kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let chosen = KubeConfigOptions { context, cluster, user };
    let result = match read {
        Ok(read) => {
            let proxy_url = link::client::proxy_url(&read, &chosen).map(str::to_owned);
            Config::from_custom_kubeconfig(read, &chosen).await.map(|config| (config, proxy_url))
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(found) => Ok(found),
        Err(error) => match Config::incluster() {
            Ok(config) if !asked => Ok((config, None)),
            _ => Err(CliError::Kubeconfig(chain(&error))),
        },
    }
}
