//! What the tests put into registries: one manifest of each kind.

use registry::Digest;
use serde_json::{Value, json};

use super::TYPE;

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A type of the specification's drafts, which version 1.1 does not have.
pub(crate) const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// The type of the configuration of an artifact that has none.
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The type of other artifacts.
pub(crate) const OTHER: &str = "application/vnd.example.other.v1+json";

/// A manifest with the blobs that it names.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// Its tag, and how the tests call it.
    pub(crate) name: String,
    pub(crate) media_type: &'static str,
    pub(crate) bytes: String,
    pub(crate) blobs: Vec<String>,
    /// The manifests that it names.
    pub(crate) children: Vec<Content>,
}

impl Content {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.bytes.as_bytes())
    }

    /// The descriptor of an image for this architecture.
    fn descriptor(&self, architecture: &str) -> Value {
        let mut descriptor = descriptor(self.media_type, &self.bytes);
        descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
        descriptor
    }

    /// The same by another name, with something changed.
    pub(crate) fn changed(self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut manifest = serde_json::from_str(&self.bytes).unwrap();
        change(&mut manifest);
        Self { name: name.to_owned(), bytes: manifest.to_string(), ..self }
    }
}

pub(crate) fn descriptor(media_type: &str, text: &str) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(text.as_bytes()).to_string(), "size": text.len() })
}

/// The configuration of an image for this architecture, with Podman's label.
fn config(architecture: &str) -> String {
    let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": [if architecture == "amd64" { "read" } else { "write" }], "action": "SCMP_ACT_ALLOW" },
    ] });
    json!({
        "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
        "config": { "Labels": { "io.containers.seccomp.profile": profile.to_string() } },
    })
    .to_string()
}

fn image(
    name: &str,
    [media_type, config_type, layer_type]: [&'static str; 3],
    architecture: &str,
) -> Content {
    let (config, layer) = (config(architecture), "layer".to_owned());
    let bytes = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": descriptor(config_type, &config),
        "layers": [descriptor(layer_type, &layer)],
    });
    Content {
        name: name.to_owned(),
        media_type,
        bytes: bytes.to_string(),
        blobs: vec![config, layer],
        children: Vec::new(),
    }
}

fn list(name: &str, media_type: &'static str, children: [Content; 2]) -> Content {
    let entries = [("amd64", &children[0]), ("arm64", &children[1])].map(|(of, it)| it.descriptor(of));
    let bytes = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries }).to_string();
    Content { name: name.to_owned(), media_type, bytes, blobs: Vec::new(), children: children.into() }
}

/// An OCI image for amd64.
pub(crate) fn oci() -> Content {
    oci_for("oci", "amd64")
}

/// An OCI image for this architecture.
pub(crate) fn oci_for(name: &str, architecture: &str) -> Content {
    const TYPES: [&str; 3] =
        [OCI, "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"];
    image(name, TYPES, architecture)
}

/// An OCI index for amd64 and arm64.
pub(crate) fn index() -> Content {
    list("index", OCI_INDEX, [oci_for("oci-amd64", "amd64"), oci_for("oci-arm64", "arm64")])
}

/// Docker's image for amd64.
pub(crate) fn docker() -> Content {
    docker_for("docker", "amd64")
}

fn docker_for(name: &str, architecture: &str) -> Content {
    const TYPES: [&str; 3] = [
        DOCKER,
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ];
    image(name, TYPES, architecture)
}

/// Docker's list for amd64 and arm64.
pub(crate) fn docker_list() -> Content {
    list("list", DOCKER_LIST, [docker_for("docker-amd64", "amd64"), docker_for("docker-arm64", "arm64")])
}

/// An OCI image whose manifest does not say what it is.
pub(crate) fn untyped() -> Content {
    oci().changed("untyped", |it| {
        it.as_object_mut().unwrap().remove("mediaType");
    })
}

/// An artifact of the withdrawn type.
pub(crate) fn withdrawn() -> Content {
    let blob = "blob".to_owned();
    let bytes = json!({
        "mediaType": OCI_ARTIFACT, "artifactType": OTHER, "blobs": [descriptor("text/plain", &blob)],
    });
    let (name, media_type) = ("withdrawn".to_owned(), OCI_ARTIFACT);
    Content { name, media_type, bytes: bytes.to_string(), blobs: vec![blob], children: Vec::new() }
}

/// An OCI image whose manifest has so many bytes.
pub(crate) fn of_size(bytes: usize) -> Content {
    let padded = |length: usize| {
        oci().changed("large", |it| it["annotations"] = json!({ "padding": " ".repeat(length) }))
    };
    padded(bytes - padded(0).bytes.len())
}

/// An artifact that refers to a manifest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refers<'a> {
    pub(crate) name: &'a str,
    pub(crate) config_type: &'a str,
    pub(crate) artifact_type: Option<&'a str>,
    /// When it was made.
    pub(crate) created: &'a str,
    pub(crate) layer: &'a str,
}

impl Refers<'_> {
    /// The artifact, which refers to this manifest.
    pub(crate) fn to(&self, subject: &Content) -> Content {
        let (config, layer) = ("{}".to_owned(), self.layer.to_owned());
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": OCI, "config": descriptor(self.config_type, &config),
            "layers": [descriptor("application/json", &layer)],
            "subject": descriptor(subject.media_type, &subject.bytes),
            "annotations": { "org.opencontainers.image.created": self.created },
        });
        if let Some(artifact_type) = self.artifact_type {
            manifest["artifactType"] = json!(artifact_type);
        }
        let (name, bytes) = (self.name.to_owned(), manifest.to_string());
        Content { name, media_type: OCI, bytes, blobs: vec![config, layer], children: Vec::new() }
    }
}

/// Artifacts with all mixes of types.
pub(crate) const ARTIFACTS: [Refers<'static>; 4] = {
    const fn of(
        name: &'static str,
        config_type: &'static str,
        artifact_type: Option<&'static str>,
    ) -> Refers<'static> {
        Refers { name, config_type, artifact_type, created: "2026-01-01T00:00:00Z", layer: "{}" }
    }
    [
        of("by-artifact-type", EMPTY, Some(TYPE)),
        of("by-config", TYPE, None),
        of("by-both", TYPE, Some(OTHER)),
        of("other", EMPTY, Some(OTHER)),
    ]
};
