//! A client whose connections go through a proxy.
//!
//! kube has one behind its feature `http-proxy`, with which it also decides for itself when to use it, and not as
//! kubectl does (see `proxy.rs`). This is the same stack of public parts: the proxy's connection, TLS to the API server
//! inside it, time-outs around both.

use http::{HeaderValue, Uri};
use hyper::rt::{Read, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{ClientBuilder, ConfigExt};
use kube::{Client, Config};
use link::client::{DEFAULT_WATCH_LIMIT, with_timeouts};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::proxy::{Protocol, Proxy, with_port};

/// A connection through a proxy that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("through the proxy {proxy}: {source}")]
struct ThroughProxy {
    proxy: Uri,
    source: BoxError,
}

/// A client that reaches the API server of `config` through `proxy`.
///
/// # Errors
/// The configuration cannot be used.
pub(crate) fn client(config: Config, proxy: Proxy) -> Result<Client, kube::Error> {
    let mut config = with_timeouts(config, DEFAULT_WATCH_LIMIT);
    if config.cluster_url.scheme_str() == Some("http") {
        // The port that a proxy is asked for is 443 otherwise.
        config.cluster_url = with_port(&config.cluster_url, 80);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let Proxy { url, protocol } = proxy;
    match protocol {
        Protocol::Http { tls: false, authorization } => {
            over(authorized(Tunnel::new(url.clone(), tcp), authorization), url, &config)
        }
        Protocol::Http { tls: true, authorization } => {
            // As for kubectl, the cluster's certificate authority vouches for the proxy, too.
            let tls = config.rustls_https_connector_with_connector(tcp)?;
            over(authorized(Tunnel::new(url.clone(), tls), authorization), url, &config)
        }
        Protocol::Socks { login } => {
            let proxied = SocksV5::new(url.clone(), tcp);
            let proxied = match login {
                Some((user, password)) => proxied.with_auth(user, password),
                None => proxied,
            };
            over(proxied, url, &config)
        }
    }
}

fn authorized<C>(tunnel: Tunnel<C>, authorization: Option<HeaderValue>) -> Tunnel<C> {
    match authorization {
        Some(authorization) => tunnel.with_auth(authorization),
        None => tunnel,
    }
}

/// The client over connections that `connector` makes through `proxy`.
fn over<C>(connector: C, proxy: Uri, config: &Config) -> Result<Client, kube::Error>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Unpin + Send + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let connector = connector.map_err(move |error| ThroughProxy { proxy, source: error.into() });
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(legacy::Client::builder(TokioExecutor::new()).build(connector));
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}
