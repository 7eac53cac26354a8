use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use clap::Parser;
use registry::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::options::{Options, Task};
use crate::show::Paint;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const PROFILE: &str = "application/vnd.cncf.seccomp-profile.config.v1+json";

const READS: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write","exit_group","bpf"],"action":"SCMP_ACT_ALLOW"}]}"#;
const WRITES: &str =
    r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["write"],"action":"SCMP_ACT_ALLOW"}]}"#;

/// A registry: the answers by path, each with its type.
#[derive(Default)]
struct Registry(BTreeMap<String, (&'static str, String)>);

impl Registry {
    /// Adds a blob, and returns its descriptor.
    fn blob(&mut self, media_type: &str, text: &str) -> String {
        let digest = Digest::of(text.as_bytes());
        self.0.insert(format!("/v2/team/app/blobs/{digest}"), ("application/octet-stream", text.to_owned()));
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, text.len())
    }

    /// Adds a manifest, and returns its descriptor without the closing brace.
    fn manifest(&mut self, media_type: &'static str, text: String) -> String {
        let digest = Digest::of(text.as_bytes());
        let descriptor = format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}"#, text.len());
        self.0.insert(format!("/v2/team/app/manifests/{digest}"), (media_type, text));
        descriptor
    }

    fn tag(&mut self, name: &str, media_type: &'static str, text: String) {
        self.0.insert(format!("/v2/team/app/manifests/{name}"), (media_type, text));
    }

    /// Adds an image, and returns its manifest.
    fn image(&mut self, architecture: &str, label: Option<&str>, annotations: &str) -> String {
        let labels = label.map(|it| format!(r#"{{"io.containers.seccomp.profile":{}}}"#, json(it)));
        let labels = labels.unwrap_or_else(|| "null".to_owned());
        let text =
            format!(r#"{{"architecture":"{architecture}","os":"linux","config":{{"Labels":{labels}}}}}"#);
        let config = self.blob(CONFIG, &text);
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[],"annotations":{{{annotations}}}}}"#
        )
    }

    /// Attaches a profile to a manifest, by the tag that stands in for the API of referrers.
    fn attach(&mut self, image: &str, profile: &str) {
        let layer = self.blob("application/json", profile);
        let config = self.blob("application/vnd.oci.empty.v1+json", "{}");
        let subject = Digest::of(image.as_bytes());
        let artifact = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{PROFILE}","config":{config},"layers":[{layer}],"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":{}}}}}"#,
            image.len()
        );
        let descriptor = self.manifest(MANIFEST, artifact);
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{descriptor}}}]}}"#);
        self.tag(&subject.to_string().replace(':', "-"), INDEX, index);
    }

    async fn start(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::new(self.0);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answers = answers.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap();
                    let (status, (kind, text)) = match answers.get(path) {
                        Some(answer) => (200, answer.clone()),
                        None => (404, ("text/plain", String::new())),
                    };
                    let mut answer = String::new();
                    write!(answer, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: {kind}\r\n")
                        .unwrap();
                    write!(answer, "content-length: {}\r\n\r\n{text}", text.len()).unwrap();
                    stream.write_all(answer.as_bytes()).await.unwrap();
                });
            }
        });
        port
    }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// The view of an image, with another name for the registry.
async fn inspected(port: u16, image: &str, words: &[&str]) -> Result<(String, bool), String> {
    let (registry, image) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{port}/team/app{image}"));
    let all = [&["kubectl-seccomp", "inspect", &image, "--plain-http", &registry], words].concat();
    let Task::Inspect(args) = Options::parse_from(all).task else { panic!("inspect") };
    let found =
        inspect(&args).await.map_err(|error| error.to_string().replace(&registry, "registry.example"))?;
    let (view, remarks) = found;
    assert!(remarks.is_empty(), "{remarks:?}");
    let text = if args.contents { view.contents() } else { view.render(Paint::Plain) };
    let json = serde_json::to_string(&view).unwrap();
    assert!(json.contains("\"baseline\""), "{json}");
    Ok((text.replace(&registry, "registry.example"), view.is_usable()))
}

#[tokio::test]
async fn every_place_is_shown_and_the_first_one_counts() {
    let mut registry = Registry::default();
    let annotations = format!(
        r#""seccomp-profile.crio.io":"not a reference","seccomp.imjasonh.dev/profile":{}"#,
        json("{}")
    );
    let image = registry.image("amd64", Some(WRITES), &annotations);
    registry.manifest(MANIFEST, image.clone());
    registry.attach(&image, READS);
    registry.tag("1", MANIFEST, image);
    let port = registry.start().await;
    let (text, success) = inspected(port, ":1", &[]).await.unwrap();
    assert!(success);
    insta::assert_snapshot!(text);
    let page = include_str!("../../../docs/how-to/inspect-an-image.md");
    assert!(page.contains(&text), "the page shows this output");
    let (contents, _) = inspected(port, ":1", &["--contents"]).await.unwrap();
    assert!(contents.contains("\"read\"") && !contents.contains("\"flags\""), "{contents}");
}

#[tokio::test]
async fn each_platform_has_its_own_profile_or_none() {
    let mut registry = Registry::default();
    let amd64 = registry.image("amd64", Some("{\"defaultAction\":\"SCMP_ACT_TRACE\"}"), "");
    let arm64 = registry.image("arm64", None, "");
    let mut entries = Vec::new();
    for (name, text) in [("amd64", amd64), ("arm64", arm64)] {
        let descriptor = registry.manifest(MANIFEST, text);
        entries.push(format!(r#"{descriptor},"platform":{{"os":"linux","architecture":"{name}"}}}}"#));
    }
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
    registry.tag("2", INDEX, index);
    let port = registry.start().await;
    let (text, success) = inspected(port, ":2", &[]).await.unwrap();
    assert!(!success, "a profile that asks a tracer cannot be used");
    insta::assert_snapshot!(text);
    let (text, success) = inspected(port, ":2", &["--architecture", "arm64"]).await.unwrap();
    assert!(success && text.contains("carries no profile"), "{text}");
    let error = inspected(port, ":2", &["--architecture", "s390x"]).await.unwrap_err();
    assert_eq!(error, "registry.example/team/app:2: the image has no manifest for linux/s390x");
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_an_error_with_advice() {
    let port = Registry::default().start().await;
    let error = inspected(port, ":none", &[]).await.unwrap_err();
    assert!(error.contains("has no such manifest") && error.contains("not logged in"), "{error}");
}
