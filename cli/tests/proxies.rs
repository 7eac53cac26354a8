//! The program beside a proxy that its environment or its kubeconfig names: the same is used as by kubectl.

#![allow(
    clippy::unwrap_used,
    reason = "clippy's leave to panic in tests does not reach the helpers of an integration test"
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

/// The API server's name, which no resolver knows.
const NAME: &str = "api.cluster.invalid";

/// An API server without any profile, at the end of every proxy, and the certificate that vouches for all of them.
struct World {
    runtime: Runtime,
    server: SocketAddr,
    tls: TlsAcceptor,
    certificate: String,
}

/// A proxy, and what it was asked for: the target, and who asked.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// What it was asked for, each once.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl World {
    /// Whose API server speaks TLS, or not.
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

    /// An HTTP proxy, reached through TLS or not, that lets in who introduces himself so, or everybody.
    fn proxy(&self, encrypted: bool, credentials: Option<&'static str>) -> Proxy {
        let (asked, server) = (Arc::new(Mutex::new(Vec::new())), self.server);
        let seen = Arc::clone(&asked);
        let address = serve(&self.runtime, encrypted.then(|| self.tls.clone()), move |mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                let Some(head) = head(&mut stream).await else { return };
                seen.lock().unwrap().push(head.lines().next().unwrap().to_owned());
                let introduced = format!("Proxy-Authorization: Basic {}", credentials.unwrap_or_default());
                if credentials.is_some() && !head.lines().any(|line| line == introduced) {
                    _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
                    return;
                }
                _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
                tunnel(stream, server).await;
            }
        });
        Proxy { address, asked }
    }

    /// A SOCKS 5 proxy (RFC 1928) that lets in everybody.
    fn socks(&self) -> Proxy {
        let (asked, server) = (Arc::new(Mutex::new(Vec::new())), self.server);
        let seen = Arc::clone(&asked);
        let address = serve(&self.runtime, None, move |mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                let mut greeting = [0; 3];
                stream.read_exact(&mut greeting).await.unwrap();
                assert_eq!(greeting, [5, 1, 0], "one method: nobody introduces himself");
                stream.write_all(&[5, 0]).await.unwrap();
                // Connect to a name of so many bytes.
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
        Proxy { address, asked }
    }

    /// What `kubectl-seccomp status` says with this API server, these further fields of its cluster, and these
    /// variables.
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

/// A certificate for the API server and for proxies on this machine, which is its own authority.
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

/// Serves each connection to a port of its own.
fn serve<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    tls: Option<TlsAcceptor>,
    each: impl Fn(Box<dyn Stream>) -> F + Send + Sync + 'static,
) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    runtime.spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (each, tls) = (Arc::clone(&each), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => each(Box::new(connection)).await,
                    Some(tls) => {
                        if let Ok(connection) = tls.accept(connection).await {
                            each(Box::new(connection)).await;
                        }
                    }
                }
            });
        }
    });
    address
}

/// The next request without a body; none when the connection has ended.
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

fn answered(output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out == "There are no profiles.\n", "{out}{err}");
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_environments_proxy_is_used_and_the_clusters_certificate_authority_holds_behind_it() {
    let world = World::new(true);
    let proxy = world.proxy(false, None);
    let url = format!("http://{}", proxy.address);
    answered(&world.status(&format!("https://{NAME}:6443"), "", &[("HTTPS_PROXY", &url)]));
    assert_eq!(proxy.asked(), [format!("CONNECT {NAME}:6443 HTTP/1.1")]);

    let other = World::new(true);
    let said = refused(&other.status(&format!("https://{NAME}:6443"), "", &[("HTTPS_PROXY", &url)]));
    assert!(said.contains("certificate"), "{said}");
}

#[test]
fn the_kubeconfigs_proxy_is_used_with_its_password_whatever_the_environment_says() {
    let world = World::new(true);
    let proxy = world.proxy(false, Some("bWU6cEBzcw=="));
    let field = format!(", proxy-url: 'http://me:p%40ss@{}'", proxy.address);
    let elsewhere = [("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "*")];
    answered(&world.status(&format!("https://{NAME}"), &field, &elsewhere));
    assert_eq!(proxy.asked(), [format!("CONNECT {NAME}:443 HTTP/1.1")]);
}

#[test]
fn no_proxy_and_this_machine_are_reached_directly() {
    let world = World::new(true);
    let proxy = world.proxy(false, None);
    let url = format!("http://{}", proxy.address);
    // Linux connects to this machine, and it is none of the addresses that are always reached directly.
    let server = format!("https://0.0.0.0:{}", world.server.port());
    let name = format!(", tls-server-name: {NAME}");
    answered(&world.status(
        &server,
        &name,
        &[("HTTPS_PROXY", &url), ("NO_PROXY", "other.example,0.0.0.0/8,")],
    ));
    answered(&world.status(&format!("https://{}", world.server), &name, &[("HTTPS_PROXY", &url)]));
    assert_eq!(proxy.asked(), [""; 0]);
    answered(&world.status(&server, &name, &[("HTTPS_PROXY", &url), ("NO_PROXY", "other.example")]));
    assert_eq!(proxy.asked(), [format!("CONNECT 0.0.0.0:{} HTTP/1.1", world.server.port())]);
}

#[test]
fn a_proxy_may_itself_speak_tls() {
    let world = World::new(true);
    let proxy = world.proxy(true, None);
    let field = format!(", proxy-url: 'https://{}'", proxy.address);
    answered(&world.status(&format!("https://{NAME}:6443"), &field, &[]));
    assert_eq!(proxy.asked(), [format!("CONNECT {NAME}:6443 HTTP/1.1")]);
}

#[test]
fn a_proxy_may_speak_socks_and_resolves_the_name() {
    let world = World::new(true);
    let proxy = world.socks();
    let field = format!(", proxy-url: 'socks5://{}'", proxy.address);
    answered(&world.status(&format!("https://{NAME}:6443"), &field, &[]));
    assert_eq!(proxy.asked(), [format!("{NAME}:6443")]);
}

#[test]
fn an_api_server_without_tls_has_a_variable_of_its_own() {
    let world = World::new(false);
    let proxy = world.proxy(false, None);
    let url = format!("http://{}", proxy.address);
    answered(&world.status(&format!("http://{NAME}"), "", &[("HTTP_PROXY", &url)]));
    assert_eq!(proxy.asked(), [format!("CONNECT {NAME}:80 HTTP/1.1")]);
}

#[test]
fn a_proxy_that_refuses_or_does_not_answer_is_named() {
    let world = World::new(true);
    let proxy = world.proxy(false, Some("bWU6cEBzcw=="));
    let server = format!("https://{NAME}:6443");
    let said = refused(&world.status(&server, "", &[("HTTPS_PROXY", &proxy.address.to_string())]));
    let expected =
        format!("through the proxy http://{}/: tunnel error: proxy authorization required", proxy.address);
    assert!(said.contains(&expected), "{said}");
    let said = refused(&world.status(&server, "", &[("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")]));
    assert!(said.contains("through the proxy http://127.0.0.1:1/: ") && !said.contains("secret"), "{said}");
}

#[test]
fn a_proxy_of_an_unknown_kind_is_refused_before_anything_is_asked() {
    let world = World::new(true);
    let server = format!("https://{NAME}:6443");
    let said = refused(&world.status(&server, ", proxy-url: 'ftp://127.0.0.1:1'", &[]));
    assert_eq!(
        said,
        "error: cannot go through a proxy: the proxy-url of the kubeconfig's cluster is no proxy that can be used; \
         expected http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT\n"
    );
}
