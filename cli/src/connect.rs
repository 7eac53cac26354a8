//! The connection to the cluster that the options name.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use link::chain;

use crate::error::CliError;
use crate::options::ClusterOptions;

/// A client with kubectl's configuration: from the kubeconfig or, in a pod without one, from its service account.
///
/// # Errors
/// There is no kubeconfig, or it cannot be used.
pub async fn connect(options: &ClusterOptions) -> Result<Client, CliError> {
    // One provider for the whole process; a second call fails harmlessly because it is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = config(options).await?;
    link::client::client(config).map_err(|error| CliError::Kubeconfig(chain(&error)))
}

async fn config(options: &ClusterOptions) -> Result<Config, CliError> {
    let ClusterOptions { kubeconfig, context, cluster, user } = options.clone();
    let asked = kubeconfig.is_some() || context.is_some() || cluster.is_some() || user.is_some();
    let read = match &kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let chosen = KubeConfigOptions { context, cluster, user };
    let result = match read {
        Ok(read) => Config::from_custom_kubeconfig(read.clone(), &chosen).await.map(|config| (config, read)),
        Err(error) => Err(error),
    };
    match result {
        Ok((config, read)) => link::client::direct(config, &read, &chosen)
            .map_err(|error| CliError::Kubeconfig(error.to_string())),
        Err(error) => match Config::incluster() {
            Ok(config) if !asked => Ok(config),
            _ => Err(CliError::Kubeconfig(chain(&error))),
        },
    }
}
