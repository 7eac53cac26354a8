//! A registry in memory, for tests: it keeps what is put into it, before and by requests, and serves it on a port of
//! loopback.

#![expect(clippy::unwrap_used, reason = "only tests use it")]

mod http;
mod signer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::Digest;
use crate::document::media;
use http::{Request, Response};

pub use signer::Signer;

/// The type of manifests.
pub const MANIFEST: &str = media::MANIFEST;
/// The type of indexes.
pub const INDEX: &str = media::INDEX;

/// The answers by path, each with its type.
type Answers = BTreeMap<String, (String, String)>;

/// A registry with one repository.
#[derive(Debug, Default)]
pub struct TestRegistry {
    repository: String,
    answers: Answers,
    /// The value of the header that every request must have.
    authorization: Option<String>,
    /// Whether it lists referrers.
    lists: bool,
    /// How many writes of an index somebody else is just before.
    overtaken: usize,
    /// Whether it stores a manifest whatever the conditions of the write are.
    ignores_conditions: bool,
    /// Where blobs are to be put, if not here.
    uploads: Option<String>,
    /// The paths where it has a fault.
    faults: BTreeSet<String>,
}

impl TestRegistry {
    /// One with this repository, which is empty.
    #[must_use]
    pub fn new(repository: &str) -> Self {
        Self { repository: repository.to_owned(), ..Self::default() }
    }

    /// Asks for a user name and a password.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str) -> Self {
        self.authorization = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        self
    }

    /// Lists referrers, as the OCI distribution specification 1.1 says.
    #[must_use]
    pub fn with_referrers(mut self) -> Self {
        self.lists = true;
        self
    }

    /// Has somebody else add an entry to an index each time before it is written, so many times.
    #[must_use]
    pub fn with_others(mut self, times: usize) -> Self {
        self.overtaken = times;
        self
    }

    /// Stores manifests whatever the conditions of a write are, as many registries do.
    #[must_use]
    pub fn ignoring_conditions(mut self) -> Self {
        self.ignores_conditions = true;
        self
    }

    /// Has blobs be put to this URL.
    #[must_use]
    pub fn with_uploads_at(mut self, url: &str) -> Self {
        self.uploads = Some(url.to_owned());
        self
    }

    /// Answers 503 about who refers to the manifest with this digest.
    #[must_use]
    pub fn failing_about(mut self, digest: &Digest) -> Self {
        self.faults.insert(format!("/v2/{}/referrers/{digest}", self.repository));
        self
    }

    /// Adds a blob, and returns its descriptor.
    pub fn blob(&mut self, media_type: &str, text: &str) -> String {
        let digest = Digest::of(text.as_bytes());
        let path = format!("/v2/{}/blobs/{digest}", self.repository);
        self.answers.insert(path, ("application/octet-stream".to_owned(), text.to_owned()));
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, text.len())
    }

    /// Has a blob have other bytes than those of its digest.
    pub fn replace_blob(&mut self, digest: &str, text: &str) {
        let path = format!("/v2/{}/blobs/{digest}", self.repository);
        self.answers.insert(path, ("application/octet-stream".to_owned(), text.to_owned()));
    }

    /// Adds a manifest, and returns its descriptor without the closing brace.
    pub fn manifest(&mut self, media_type: &str, text: String) -> String {
        let digest = Digest::of(text.as_bytes());
        let descriptor = format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}"#, text.len());
        self.tag(&digest.to_string(), media_type, text);
        descriptor
    }

    /// Gives a manifest a tag.
    pub fn tag(&mut self, name: &str, media_type: &str, text: String) {
        let path = format!("/v2/{}/manifests/{name}", self.repository);
        self.answers.insert(path, (media_type.to_owned(), text));
    }

    /// Gives the manifest with this digest a tag.
    pub fn give_tag(&mut self, digest: &Digest, name: &str) {
        let path = format!("/v2/{}/manifests/{digest}", self.repository);
        let (media_type, text) = self.answers[&path].clone();
        self.tag(name, &media_type, text);
    }

    /// Adds the configuration of an image, with Podman's label if one is given, and returns the image's manifest.
    pub fn image(&mut self, architecture: &str, label: Option<&str>, annotations: &str) -> String {
        let labels = label.map(|it| {
            let text = serde_json::to_string(it).unwrap();
            format!(r#"{{"io.containers.seccomp.profile":{text}}}"#)
        });
        let labels = labels.unwrap_or_else(|| "null".to_owned());
        let text =
            format!(r#"{{"architecture":"{architecture}","os":"linux","config":{{"Labels":{labels}}}}}"#);
        let config = self.blob(media::IMAGE_CONFIG, &text);
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[],"annotations":{{{annotations}}}}}"#
        )
    }

    /// Adds an image with this tag and Podman's label.
    pub fn labelled(&mut self, tag: &str, architecture: &str, profile: Option<&str>) -> Digest {
        let image = self.image(architecture, profile, "");
        let digest = Digest::of(image.as_bytes());
        self.manifest(MANIFEST, image.clone());
        self.tag(tag, MANIFEST, image);
        digest
    }

    /// Attaches a profile to a manifest, and returns the artifact's digest.
    pub fn attach(&mut self, image: &str, profile: &str) -> Digest {
        let layer = self.blob("application/json", profile);
        self.refer(&Digest::of(image.as_bytes()), media::PROFILE, &[layer])
    }

    /// Attaches a bundle to the manifest with this digest, as cosign does.
    pub fn sign(&mut self, manifest: &Digest, bundle: &str) -> Digest {
        let layer = self.blob(media::BUNDLE, bundle);
        self.refer(manifest, media::BUNDLE, &[layer])
    }

    /// Adds an artifact that refers to the manifest with this digest, also to the tag that stands in for the API of
    /// referrers, and returns the artifact's digest.
    pub fn refer(&mut self, subject: &Digest, artifact_type: &str, layers: &[String]) -> Digest {
        let (config, layers) = (self.blob(media::EMPTY, "{}"), layers.join(","));
        let known = self.answers.get(&format!("/v2/{}/manifests/{subject}", self.repository));
        let size = known.map_or(1, |(_, text)| text.len());
        let artifact = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{artifact_type}","config":{config},"layers":[{layers}],"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":{size}}}}}"#,
        );
        let digest = Digest::of(artifact.as_bytes());
        let descriptor = self.manifest(MANIFEST, artifact);
        let name = subject.to_string().replace(':', "-");
        let known = self.answers.get(&format!("/v2/{}/manifests/{name}", self.repository));
        let others =
            known.and_then(|(_, index)| index.split_once("\"manifests\":[")).map_or("]}", |(_, it)| it);
        let comma = if others == "]}" { "" } else { "," };
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{descriptor},"artifactType":"{artifact_type}"}}{comma}{others}"#
        );
        self.tag(&name, INDEX, index);
        digest
    }

    /// Serves it without TLS.
    pub async fn start(self) -> RunningRegistry {
        self.serve(None).await
    }

    /// Serves it with TLS.
    pub async fn start_with_tls(self, config: ServerConfig) -> RunningRegistry {
        self.serve(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serve(self, tls: Option<TlsAcceptor>) -> RunningRegistry {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (registry, asked) = (Arc::new(Mutex::new(self)), Arc::<Mutex<Vec<String>>>::default());
        let of_task = asked.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (registry, asked, tls) = (registry.clone(), of_task.clone(), tls.clone());
                connections.spawn(async move {
                    // The client may close the connection at any time.
                    let _ = match tls {
                        None => answer(stream, &registry, &asked).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => answer(stream, &registry, &asked).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        RunningRegistry { port, asked, task }
    }

    fn respond(&mut self, request: &Request) -> Response {
        if self.authorization.is_some() && self.authorization.as_deref() != request.header("authorization") {
            return Response::of(401).with("www-authenticate", "Basic realm=\"test\"");
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if self.faults.contains(path) {
            return Response::of(503);
        }
        let of_repository = format!("/v2/{}/", self.repository);
        let within = path.strip_prefix(&of_repository).unwrap_or_default();
        match (&*request.method, within.split_once('/')) {
            ("POST", Some(("blobs", "uploads/"))) => {
                let here = format!("{of_repository}blobs/uploads/1?state=x");
                Response::of(202).with("location", self.uploads.as_ref().unwrap_or(&here))
            }
            ("PUT", Some(("blobs", "uploads/1"))) => {
                let digest = query.strip_prefix("state=x&digest=").unwrap_or_default();
                if Digest::of(request.body.as_bytes()).to_string() != digest {
                    return Response::of(400);
                }
                self.blob("", &request.body);
                Response::of(201)
            }
            ("PUT", Some(("manifests", name))) => self.write(path, name, request),
            ("GET", Some(("referrers", digest))) if self.lists => self.referrers(digest),
            ("GET" | "HEAD", _) => match self.answers.get(path) {
                Some((kind, text)) => Response { body: text.clone(), ..Response::of(200) }
                    .with("content-type", kind)
                    .with("etag", &etag(text)),
                None => Response::of(404),
            },
            _ => Response::of(405),
        }
    }

    fn write(&mut self, path: &str, name: &str, request: &Request) -> Response {
        let media_type = request.header("content-type").unwrap_or_default().to_owned();
        if media_type == INDEX && self.overtaken > 0 {
            self.overtaken -= 1;
            let (_, known) = self.answers.entry(path.to_owned()).or_insert_with(|| {
                (INDEX.to_owned(), format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#))
            });
            let digest = Digest::of(self.overtaken.to_string().as_bytes());
            let entry = format!(r#"{{"mediaType":"x","digest":"{digest}","size":1}}"#);
            let comma = if known.contains("\"manifests\":[]") { "" } else { "," };
            *known = known.replace("\"manifests\":[", &format!("\"manifests\":[{entry}{comma}"));
        }
        let known = self.answers.get(path).map(|(_, text)| etag(text));
        let is_same = match (request.header("if-match"), request.header("if-none-match")) {
            (Some(tag), _) => known.as_deref() == Some(tag),
            (None, Some(_)) => known.is_none(),
            (None, None) => true,
        };
        if !is_same && !self.ignores_conditions {
            return Response::of(412);
        }
        self.tag(name, &media_type, request.body.clone());
        let subject = Self::subject(&request.body);
        match subject.filter(|_| self.lists) {
            Some(subject) => Response::of(201).with("oci-subject", &subject),
            None => Response::of(201),
        }
    }

    fn subject(manifest: &str) -> Option<String> {
        let manifest: serde_json::Value = serde_json::from_str(manifest).ok()?;
        Some(manifest["subject"]["digest"].as_str()?.to_owned())
    }

    fn referrers(&self, digest: &str) -> Response {
        let found: BTreeMap<_, _> = self
            .answers
            .values()
            .filter(|(kind, text)| kind == MANIFEST && Self::subject(text).as_deref() == Some(digest))
            .map(|(kind, text)| (Digest::of(text.as_bytes()).to_string(), (kind, text.len())))
            .collect();
        let entries: Vec<_> = found
            .iter()
            .map(|(digest, (kind, size))| {
                format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
            })
            .collect();
        let body =
            format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
        Response { body, ..Response::of(200) }.with("content-type", INDEX)
    }
}

fn etag(text: &str) -> String {
    format!("\"{}\"", Digest::of(text.as_bytes()))
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    registry: &Mutex<TestRegistry>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let request = Request::read(&mut stream).await?;
    let Response { status, headers, body } = registry.lock().unwrap().respond(&request);
    let method = if request.method == "GET" { String::new() } else { format!("{} ", request.method) };
    asked.lock().unwrap().push(format!("{method}{status} {}", request.path));
    let length = body.len();
    let body = if request.method == "HEAD" { "" } else { &body };
    let answer = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// A registry that is served until this is dropped.
#[derive(Debug)]
pub struct RunningRegistry {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl RunningRegistry {
    /// The port, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The answers so far: status and path.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for RunningRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}
