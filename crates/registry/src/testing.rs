//! A registry in memory, for tests: it keeps what is put into it, and serves it on a port of loopback.

#![expect(clippy::unwrap_used, reason = "only tests use it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::Digest;
use crate::document::media;

/// The type of manifests.
pub const MANIFEST: &str = media::MANIFEST;
/// The type of indexes.
pub const INDEX: &str = media::INDEX;

/// A registry with one repository: the answers by path, each with its type.
#[derive(Debug, Default)]
pub struct TestRegistry {
    repository: String,
    answers: BTreeMap<String, (&'static str, String)>,
    /// The value of the header that every request must have.
    authorization: Option<String>,
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

    /// Adds a blob, and returns its descriptor.
    pub fn blob(&mut self, media_type: &str, text: &str) -> String {
        let digest = Digest::of(text.as_bytes());
        let path = format!("/v2/{}/blobs/{digest}", self.repository);
        self.answers.insert(path, ("application/octet-stream", text.to_owned()));
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, text.len())
    }

    /// Adds a manifest, and returns its descriptor without the closing brace.
    pub fn manifest(&mut self, media_type: &'static str, text: String) -> String {
        let digest = Digest::of(text.as_bytes());
        let descriptor = format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}"#, text.len());
        self.tag(&digest.to_string(), media_type, text);
        descriptor
    }

    /// Gives a manifest a tag.
    pub fn tag(&mut self, name: &str, media_type: &'static str, text: String) {
        self.answers.insert(format!("/v2/{}/manifests/{name}", self.repository), (media_type, text));
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

    /// Attaches a profile to a manifest, by the tag that stands in for the API of referrers.
    pub fn attach(&mut self, image: &str, profile: &str) {
        let layer = self.blob("application/json", profile);
        let config = self.blob(media::EMPTY, "{}");
        let subject = Digest::of(image.as_bytes());
        let artifact = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{}","config":{config},"layers":[{layer}],"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":{}}}}}"#,
            media::PROFILE,
            image.len()
        );
        let descriptor = self.manifest(MANIFEST, artifact);
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{descriptor}}}]}}"#);
        self.tag(&subject.to_string().replace(':', "-"), INDEX, index);
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
        let (registry, asked) = (Arc::new(self), Arc::<Mutex<Vec<String>>>::default());
        let of_task = asked.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (registry, asked, tls) = (registry.clone(), of_task.clone(), tls.clone());
                connections.spawn(async move {
                    // The client may close the connection at any time.
                    let _ = match tls {
                        None => registry.answer(stream, &asked).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => registry.answer(stream, &asked).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        RunningRegistry { port, asked, task }
    }

    async fn answer(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        asked: &Mutex<Vec<String>>,
    ) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let authorization = head.lines().find_map(|line| line.strip_prefix("authorization: "));
        let mut more = "";
        let (status, (kind, text)) = match self.answers.get(&path) {
            _ if self.authorization.is_some() && self.authorization.as_deref() != authorization => {
                more = "www-authenticate: Basic realm=\"test\"\r\n";
                (401, ("text/plain", String::new()))
            }
            Some(answer) => (200, answer.clone()),
            None => (404, ("text/plain", String::new())),
        };
        asked.lock().unwrap().push(format!("{status} {path}"));
        let mut answer = String::new();
        write!(answer, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: {kind}\r\n{more}").unwrap();
        write!(answer, "content-length: {}\r\n\r\n{text}", text.len()).unwrap();
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }
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
