//! Images for tests.

#![allow(clippy::unwrap_used, reason = "only tests use it")]

use derive::testing::program;
use registry::testing::{INDEX, MANIFEST, TestRegistry};
use tar::{Builder, EntryType, Header};

/// push 39; pop rax; syscall; push 60; pop rax; syscall. All in ASCII, as what the placeholder of registries keeps.
const CODE: &[u8] = b"\x6a\x27\x58\x0f\x05\x6a\x3c\x58\x0f\x05";
/// push 102; pop rax; syscall.
const OTHER: &[u8] = b"\x6a\x66\x58\x0f\x05";

/// A program of a size that has no byte above 127.
fn ascii(code: &[u8]) -> Vec<u8> {
    program(&[code, &vec![0; 0x100 - 0x78 - code.len()]].concat())
}

/// A layer that is not compressed.
pub(crate) fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An entry point that is a script, and the program that it names.
pub(crate) fn layers() -> [Vec<u8>; 2] {
    let (shell, server) = (ascii(OTHER), ascii(CODE));
    [
        layer(&[("bin/sh", &shell), ("usr/sbin/server", b"#!/bin/absent\n")]),
        layer(&[("usr/sbin/server", &server), ("entry.sh", b"#!/bin/sh\nexec \"$@\"\n")]),
    ]
}

pub(crate) const CONFIG: &str =
    r#"{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/entry.sh"],"Cmd":["server","-x"]}}"#;

/// A registry that has the image `team/app:1` for one architecture, and the descriptors of its layers.
pub(crate) fn registry(architecture: &str) -> (TestRegistry, Vec<String>) {
    let mut registry = TestRegistry::new("team/app");
    let config =
        registry.blob("application/vnd.oci.image.config.v1+json", &CONFIG.replace("amd64", architecture));
    let texts = layers().map(|bytes| String::from_utf8(bytes).unwrap());
    let layers = texts.map(|text| registry.blob("application/vnd.oci.image.layer.v1.tar", &text));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{}]}}"#,
        layers.join(",")
    );
    let descriptor = registry.manifest(MANIFEST, manifest);
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{descriptor},
        "platform":{{"os":"linux","architecture":"{architecture}"}}}}]}}"#
    );
    registry.tag("1", INDEX, index);
    (registry, layers.to_vec())
}

/// A registry that has the image `team/app:1`.
pub(crate) fn registry_with_image() -> TestRegistry {
    registry("amd64").0
}
