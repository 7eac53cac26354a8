//! `kubectl seccomp` behind a proxy that the environment or the kubeconfig names: it uses the same proxy as kubectl.

#![allow(
    clippy::unwrap_used,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;

/// A host name of the API server that does not resolve.
const NAME: &str = "api.cluster.invalid";

/// An API server without profiles, to which every proxy connects, and the certificate that the server and the proxies
/// use.
struct ApiServer {
    runtime: Runtime,
    server: SocketAddr,
    tls: TlsAcceptor,
    certificate: String,
}

/// A proxy, and the targets that clients requested from it.
struct Proxy {
    address: SocketAddr,
    requested: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// The requested targets, without consecutive repeats.
    fn requested(&self) -> Vec<String> {
        let mut requested = self.requested.lock().unwrap().clone();
        requested.dedup();
        requested
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl ApiServer {
    /// An API server with or without TLS.
    fn new(encrypted: bool) -> Self {
        let (certificate, key) = certificate();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let accept = encrypted.then(|| tls.clone());
        let server = serve(&runtime, accept, |stream| async { _ = answer(stream).await });
        Self { runtime, server, tls, certificate }
    }

    /// An HTTP proxy, with or without TLS. With `credentials` it accepts only clients that send them.
    fn proxy(&self, encrypted: bool, credentials: Option<&'static str>) -> Proxy {
        let (requested, server) = (Arc::new(Mutex::new(Vec::new())), self.server);
        let seen = Arc::clone(&requested);
        let address = serve(&self.runtime, encrypted.then(|| self.tls.clone()), move |mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                let Some(head) = head(&mut stream).await else { return };
                seen.lock().unwrap().push(head.lines().next().unwrap().to_owned());
                let authorization = format!("Proxy-Authorization: Basic {}", credentials.unwrap_or_default());
                if credentials.is_some() && !head.lines().any(|line| line == authorization) {
                    _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
                    return;
                }
                _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
                tunnel(stream, server).await;
            }
        });
        Proxy { address, requested }
    }

    /// A SOCKS 5 proxy (RFC 1928) without authentication.
    fn socks(&self) -> Proxy {
        let (requested, server) = (Arc::new(Mutex::new(Vec::new())), self.server);
        let seen = Arc::clone(&requested);
        let address = serve(&self.runtime, None, move |mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                let mut greeting = [0; 3];
                stream.read_exact(&mut greeting).await.unwrap();
                assert_eq!(greeting, [5, 1, 0], "one method: no authentication");
                stream.write_all(&[5, 0]).await.unwrap();
                // CONNECT to a domain name, whose length is the last byte.
                let mut request = [0; 5];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(request[..4], [5, 1, 0, 3]);
                let mut target = vec![0; usize::from(request[4]) + 2];
                stream.read_exact(&mut target).await.unwrap();
                let port = target.split_off(target.len() - 2);
                let port = u16::from_be_bytes([port[0], port[1]]);
                seen.lock().unwrap().push(format!("{}:{port}", String::from_utf8(target).unwrap()));
                stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
                tunnel(stream, server).await;
            }
        });
        Proxy { address, requested }
    }

    /// Runs `kubectl-seccomp status` with `server` as the kubeconfig's API server, `fields` added to its cluster, and
    /// `variables` in the environment.
    fn status(&self, server: &str, fields: &str, variables: &[(&str, &str)]) -> Output {
        let directory = tempfile::tempdir().unwrap();
        let (kubeconfig, authority) = (directory.path().join("config"), directory.path().join("ca"));
        fs::write(&authority, &self.certificate).unwrap();
        let authority = match server.starts_with("https:") {
            true => format!(", certificate-authority: '{}'", authority.display()),
            false => String::new(),
        };
        let text = format!(
            "current-context: it
clusters: [{{ name: it, cluster: {{ server: '{server}'{authority}{fields} }} }}]
contexts: [{{ name: it, context: {{ cluster: it }} }}]
"
        );
        fs::write(&kubeconfig, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-seccomp"));
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"] {
            command.env_remove(name);
        }
        let variables = variables.iter().copied();
        command.arg("status").env("KUBECONFIG", kubeconfig).envs(variables).output().unwrap()
    }
}

/// A self-signed certificate for the API server and for proxies on this machine.
fn certificate() -> (String, PrivateKeyDer<'static>) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name);
    // openssl's own configuration differs between distributions; this one adds nothing to a certificate.
    fs::write(path("config"), "[req]\ndistinguished_name = name\n[name]\n").unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-days",
        "1",
        "-noenc",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    openssl.args(["-subj", "/CN=api", "-addext", &format!("subjectAltName=DNS:{NAME},IP:127.0.0.1")]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl
        .arg("-config")
        .arg(path("config"))
        .arg("-keyout")
        .arg(path("key"))
        .arg("-out")
        .arg(path("certificate"));
    let made = openssl.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = PrivateKeyDer::from_pem_file(path("key")).unwrap();
    (fs::read_to_string(path("certificate")).unwrap(), key)
}

/// Listens on a free port, handles each connection with `handler`, and returns the address.
fn serve<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    tls: Option<TlsAcceptor>,
    handler: impl Fn(Box<dyn Stream>) -> F + Send + Sync + 'static,
) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let handler = Arc::new(handler);
    runtime.spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (handler, tls) = (Arc::clone(&handler), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => handler(Box::new(connection)).await,
                    Some(tls) => {
                        if let Ok(connection) = tls.accept(connection).await {
                            handler(Box::new(connection)).await;
                        }
                    }
                }
            });
        }
    });
    address
}

/// The head of the next request; `None` at the end of the connection.
async fn head(stream: &mut Box<dyn Stream>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Answers every request with an empty list.
async fn answer(mut stream: Box<dyn Stream>) -> Option<()> {
    let list = r#"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
    let length = list.len();
    loop {
        head(&mut stream).await?;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{list}"
        );
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn tunnel(mut stream: Box<dyn Stream>, server: SocketAddr) {
    let mut server = TcpStream::connect(server).await.unwrap();
    _ = copy_bidirectional(&mut stream, &mut server).await;
}

fn assert_success(output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out == "There are no profiles.\n", "{out}{err}");
}

fn assert_failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_environments_proxy_is_used_and_the_server_behind_it_is_still_verified() {
    let api_server = ApiServer::new(true);
    let proxy = api_server.proxy(false, None);
    let url = format!("http://{}", proxy.address);
    assert_success(&api_server.status(&format!("https://{NAME}:6443"), "", &[("HTTPS_PROXY", &url)]));
    assert_eq!(proxy.requested(), [format!("CONNECT {NAME}:6443 HTTP/1.1")]);

    let other = ApiServer::new(true);
    let stderr = assert_failure(&other.status(&format!("https://{NAME}:6443"), "", &[("HTTPS_PROXY", &url)]));
    assert!(stderr.contains("certificate"), "{stderr}");
}

#[test]
fn the_kubeconfigs_proxy_is_used_with_its_password_whatever_the_environment_says() {
    let api_server = ApiServer::new(true);
    let proxy = api_server.proxy(false, Some("bWU6cEBzcw=="));
    let field = format!(", proxy-url: 'http://me:p%40ss@{}'", proxy.address);
    let elsewhere = [("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "*")];
    assert_success(&api_server.status(&format!("https://{NAME}"), &field, &elsewhere));
    assert_eq!(proxy.requested(), [format!("CONNECT {NAME}:443 HTTP/1.1")]);
}

#[test]
fn hosts_in_no_proxy_and_loopback_are_reached_directly() {
    let api_server = ApiServer::new(true);
    let proxy = api_server.proxy(false, None);
    let url = format!("http://{}", proxy.address);
    // Linux connects 0.0.0.0 to this machine, yet it is not among the loopback addresses, which never go through a
    // proxy.
    let server = format!("https://0.0.0.0:{}", api_server.server.port());
    let name = format!(", tls-server-name: {NAME}");
    assert_success(&api_server.status(
        &server,
        &name,
        &[("HTTPS_PROXY", &url), ("NO_PROXY", "other.example,0.0.0.0/8,")],
    ));
    assert_success(&api_server.status(
        &format!("https://{}", api_server.server),
        &name,
        &[("HTTPS_PROXY", &url)],
    ));
    assert_eq!(proxy.requested(), [""; 0]);
    assert_success(&api_server.status(
        &server,
        &name,
        &[("HTTPS_PROXY", &url), ("NO_PROXY", "other.example")],
    ));
    assert_eq!(proxy.requested(), [format!("CONNECT 0.0.0.0:{} HTTP/1.1", api_server.server.port())]);
}

#[test]
fn a_proxy_may_itself_speak_tls() {
    let api_server = ApiServer::new(true);
    let proxy = api_server.proxy(true, None);
    let field = format!(", proxy-url: 'https://{}'", proxy.address);
    assert_success(&api_server.status(&format!("https://{NAME}:6443"), &field, &[]));
    assert_eq!(proxy.requested(), [format!("CONNECT {NAME}:6443 HTTP/1.1")]);
}

#[test]
fn a_proxy_may_speak_socks_and_resolves_the_name() {
    let api_server = ApiServer::new(true);
    let proxy = api_server.socks();
    let field = format!(", proxy-url: 'socks5://{}'", proxy.address);
    assert_success(&api_server.status(&format!("https://{NAME}:6443"), &field, &[]));
    assert_eq!(proxy.requested(), [format!("{NAME}:6443")]);
}

#[test]
fn http_proxy_applies_to_an_api_server_without_tls() {
    let api_server = ApiServer::new(false);
    let proxy = api_server.proxy(false, None);
    let url = format!("http://{}", proxy.address);
    assert_success(&api_server.status(&format!("http://{NAME}"), "", &[("HTTP_PROXY", &url)]));
    assert_eq!(proxy.requested(), [format!("CONNECT {NAME}:80 HTTP/1.1")]);
}

#[test]
fn the_error_names_a_proxy_that_refuses_or_does_not_answer() {
    let api_server = ApiServer::new(true);
    let proxy = api_server.proxy(false, Some("bWU6cEBzcw=="));
    let server = format!("https://{NAME}:6443");
    let stderr =
        assert_failure(&api_server.status(&server, "", &[("HTTPS_PROXY", &proxy.address.to_string())]));
    let expected =
        format!("through the proxy http://{}/: tunnel error: proxy authorization required", proxy.address);
    assert!(stderr.contains(&expected), "{stderr}");
    let stderr =
        assert_failure(&api_server.status(&server, "", &[("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")]));
    assert!(
        stderr.contains("through the proxy http://127.0.0.1:1/: ") && !stderr.contains("secret"),
        "{stderr}"
    );
}

#[test]
fn a_proxy_of_an_unknown_kind_is_refused_before_any_request_is_sent() {
    let api_server = ApiServer::new(true);
    let server = format!("https://{NAME}:6443");
    let stderr = assert_failure(&api_server.status(&server, ", proxy-url: 'ftp://127.0.0.1:1'", &[]));
    assert_eq!(
        stderr,
        "error: cannot go through a proxy: the proxy-url of the kubeconfig's cluster is not a usable proxy; \
         expected http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT\n"
    );
}
