#!/usr/bin/env bash
# How kube decides whether NO_PROXY exempts an API server from the proxy.
#
# Versions: kube-client 5.0.0 with its feature http-proxy.
#
# Guessed before: as kubectl does, so that HTTPS_PROXY is used unless NO_PROXY lists the API server, an entry that is empty
# is skipped, and what a kubeconfig has as its proxy-url is used whatever the environment says.
# Seen: NO_PROXY is compared with the address of the proxy instead of the API server's (`ConfigLoader::proxy_url` in
# src/config/file_loader.rs), so that an API server that it lists is asked through the proxy all the same. A list that ends
# with a comma is an error, with which the kubeconfig cannot be used at all. NO_PROXY holds for a proxy-url, too.
#
# It needs cargo and crates.io. It ends with 0 where all is as it was seen, with 1 where something has changed, and with 2
# where a version cannot be had any more.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

cat >Cargo.toml <<'MANIFEST'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
k8s-openapi = { version = "=0.29.0", default-features = false, features = ["v1_33"] }
kube-client = { version = "=5.0.0", default-features = false, features = ["client", "http-proxy"] }
tokio = { version = "1", default-features = false, features = ["macros", "rt"] }

[workspace]
MANIFEST

mkdir src
cat >src/main.rs <<'PROGRAM'
use kube_client::Config;
use kube_client::config::{KubeConfigOptions, Kubeconfig};

/// Prints the proxy for the API server api.example, whose cluster has the proxy-url that is the argument, if any.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let field = std::env::args().nth(1).map_or_else(String::new, |url| format!(", proxy-url: '{url}'"));
    let text = format!(
        "{{ current-context: it, clusters: [{{ name: it, cluster: {{ server: 'https://api.example'{field} }} }}], \
         contexts: [{{ name: it, context: {{ cluster: it }} }}] }}"
    );
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    match Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await {
        Ok(config) => println!("{}", config.proxy_url.map_or_else(|| "none".into(), |url| url.to_string())),
        Err(error) => println!("error: {error}"),
    }
}
PROGRAM

if ! cargo fetch --quiet; then
    echo "kube-client 5.0.0 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi
cargo build --quiet

unset HTTPS_PROXY https_proxy NO_PROXY no_proxy
ask() {
    printf '%s: ' "$*"
    env "${@:1:2}" target/debug/finding "${@:3}"
}
{
    ask HTTPS_PROXY=http://proxy.example NO_PROXY=api.example
    ask HTTPS_PROXY=http://proxy.example NO_PROXY=http://proxy.example
    ask HTTPS_PROXY=http://proxy.example NO_PROXY=localhost,
    ask HTTPS_PROXY= NO_PROXY='*' http://proxy.example
} >seen

cat >expected <<'OUTPUT'
HTTPS_PROXY=http://proxy.example NO_PROXY=api.example: http://proxy.example/
HTTPS_PROXY=http://proxy.example NO_PROXY=http://proxy.example: none
HTTPS_PROXY=http://proxy.example NO_PROXY=localhost,: error: failed to parse NO_PROXY/no_proxy env var
HTTPS_PROXY= NO_PROXY=* http://proxy.example: none
OUTPUT

if ! diff expected seen; then
    echo "kube decides otherwise now" >&2
    exit 1
fi
echo "as it was seen with kube-client 5.0.0:"
cat seen
