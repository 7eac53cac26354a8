//! A repository of a registry, which raw requests write and read.

use registry::Digest;
use serde_json::Value;

use super::contents::Content;
use super::raw::{Answer, Request};
use super::server::Server;

/// A repository.
pub(crate) struct Folder<'a> {
    pub(crate) server: &'a Server,
    pub(crate) path: String,
}

impl Folder<'_> {
    /// Sends a request about the repository.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let path = format!("/v2/{}/{path}", self.path);
        let request = Request { method, path: &path, headers, body };
        self.server.send(request).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    /// Puts a blob.
    pub(crate) fn push_blob(&self, text: &str) {
        let begun = self.ask("POST", "blobs/uploads/", &[], b"");
        assert_eq!(begun.status, 202, "{begun:?}");
        // Of the URL, which may name the host, the path in the repository.
        let location = begun.header("location").unwrap();
        let (_, path) = location.split_once(&format!("/v2/{}/", self.path)).unwrap();
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}digest={}", Digest::of(text.as_bytes()));
        let binary = [("content-type", "application/octet-stream")];
        let put = self.ask("PUT", &path, &binary, text.as_bytes());
        assert_eq!(put.status, 201, "{put:?}");
    }

    /// Puts the blobs that a manifest names.
    pub(crate) fn push_blobs(&self, content: &Content) {
        content.blobs.iter().for_each(|blob| self.push_blob(blob));
    }

    /// Puts a manifest under its tag, and no blob.
    pub(crate) fn put(&self, content: &Content) -> Answer {
        self.put_as(content, &content.name, content.media_type)
    }

    /// The same under another name, with another type in the header.
    pub(crate) fn put_as(&self, content: &Content, name: &str, media_type: &str) -> Answer {
        let headers = [("content-type", media_type)];
        self.ask("PUT", &format!("manifests/{name}"), &headers, content.bytes.as_bytes())
    }

    /// Puts a manifest under its tag, with all that it names.
    pub(crate) fn push(&self, content: &Content) {
        self.push_blobs(content);
        for child in &content.children {
            self.push_blobs(child);
            let put = self.put_as(child, &child.digest().to_string(), child.media_type);
            assert_eq!(put.status, 201, "{put:?}");
        }
        let put = self.put(content);
        assert_eq!(put.status, 201, "{put:?}");
    }
}

impl Answer {
    /// Which of these manifests it is, by the bytes and by the digest that the registry states.
    fn which(&self, known: &[Content]) -> String {
        let children = known.iter().flat_map(|it| &it.children);
        let all: Vec<_> = known.iter().chain(children).collect();
        let named = |digest: &str| all.iter().find(|it| it.digest().to_string() == digest);
        let by_bytes = named(&Digest::of(&self.body).to_string());
        let by_header = self.header("docker-content-digest").and_then(named);
        match (by_bytes, by_header) {
            (Some(one), Some(other)) if one.digest() == other.digest() => one.name.clone(),
            (None, Some(it)) if self.body.is_empty() => it.name.clone(),
            _ => "another manifest".to_owned(),
        }
    }

    /// The status, and the manifest or the code of the error, or whether the error is a text.
    pub(crate) fn outline(&self, known: &[Content]) -> String {
        let status = self.status;
        if status == 200 {
            return format!("{status} {}", self.which(known));
        }
        match &self.json()["errors"][0]["code"] {
            Value::String(code) => format!("{status} {code}"),
            _ if self.body.is_empty() => status.to_string(),
            _ => format!("{status} text"),
        }
    }
}
