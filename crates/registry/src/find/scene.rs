//! Images in registries of this process, for the tests of this module.

use std::collections::BTreeSet;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::{Carried, Depth, Finder, Found, Sizes};
use crate::client::{Client, Limits};
use crate::testing::{MANIFEST, RunningRegistry, TestRegistry};
use crate::{Digest, Keyring, Keys, Reach, Reference};

pub(super) const PROFILE: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#;

pub(super) fn registry() -> TestRegistry {
    TestRegistry::new("team/app")
}

/// An image with this tag and annotations, which may have a profile in its label, and its digest.
pub(super) fn image(registry: &mut TestRegistry, label: Option<&str>, annotations: &str) -> (String, Digest) {
    let text = registry.image("amd64", label, annotations);
    registry.manifest(MANIFEST, text.clone());
    registry.tag("1", MANIFEST, text.clone());
    let digest = Digest::of(text.as_bytes());
    (text, digest)
}

/// What is found first of the image in the first registry, by a client that may ask all of them.
pub(super) async fn look(registries: &[&RunningRegistry], keys: Option<&Keys>) -> Found {
    find(registries, keys).await.platforms[0].winner().unwrap().clone()
}

/// What is found of it.
pub(super) async fn find(registries: &[&RunningRegistry], keys: Option<&Keys>) -> Carried {
    find_within(Sizes::LARGEST, registries, keys).await
}

/// What is found of it in documents that are not larger.
pub(super) async fn find_within(
    sizes: Sizes,
    registries: &[&RunningRegistry],
    keys: Option<&Keys>,
) -> Carried {
    let hosts: Vec<_> = registries.iter().map(|it| format!("127.0.0.1:{}", it.port())).collect();
    let names: BTreeSet<_> = hosts.iter().cloned().collect();
    let reach = Reach { plain: names.clone(), inside: names, networks: Vec::new() };
    let time = Duration::from_secs(20);
    let client =
        Client::new(reach, Limits { time, connect: time }, std::iter::empty::<CertificateDer<'_>>()).unwrap();
    let finder = Finder { client: &client, logins: &Keyring::default(), depth: Depth::First, keys, sizes };
    let reference = Reference::parse(&format!("{}/team/app:1", hosts[0])).unwrap();
    finder.find(&reference, &["amd64".to_owned()], None).await.unwrap()
}
