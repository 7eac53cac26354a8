use clap::Parser;
use registry::Digest;
use registry::testing::{INDEX, MANIFEST, Signer, TestRegistry as Registry};

use super::*;
use crate::options::{Options, Task};
use crate::show::Paint;

const READS: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write","exit_group","bpf"],"action":"SCMP_ACT_ALLOW"}]}"#;
const WRITES: &str =
    r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["write"],"action":"SCMP_ACT_ALLOW"}]}"#;

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
    let mut registry = Registry::new("team/app");
    let annotations = format!(
        r#""seccomp-profile.crio.io":"not a reference","seccomp.imjasonh.dev/profile":{}"#,
        json("{}")
    );
    let image = registry.image("amd64", Some(WRITES), &annotations);
    registry.manifest(MANIFEST, image.clone());
    registry.attach(&image, READS);
    registry.tag("1", MANIFEST, image);
    let running = registry.start().await;
    let port = running.port();
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
    let mut registry = Registry::new("team/app");
    let amd64 = registry.image("amd64", Some("{\"defaultAction\":\"SCMP_ACT_TRACE\"}"), "");
    let arm64 = registry.image("arm64", None, "");
    let mut entries = Vec::new();
    for (name, text) in [("amd64", amd64), ("arm64", arm64)] {
        let descriptor = registry.manifest(MANIFEST, text);
        entries.push(format!(r#"{descriptor},"platform":{{"os":"linux","architecture":"{name}"}}}}"#));
    }
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
    registry.tag("2", INDEX, index);
    let running = registry.start().await;
    let port = running.port();
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
    let running = Registry::new("team/app").start().await;
    let port = running.port();
    let error = inspected(port, ":none", &[]).await.unwrap_err();
    assert!(error.contains("has no such manifest") && error.contains("not logged in"), "{error}");
}

#[tokio::test]
async fn with_a_key_only_what_it_has_signed_can_be_used() {
    let (signer, mut registry) = (Signer::new(), Registry::new("team/app"));
    let image = registry.image("amd64", Some(WRITES), "");
    let digest = Digest::of(image.as_bytes());
    registry.manifest(MANIFEST, image.clone());
    let artifact = registry.attach(&image, READS);
    // The signature of the image is none of what refers to it.
    registry.sign(&digest, &signer.bundle(&digest));
    registry.tag("1", MANIFEST, image);
    let running = registry.start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let key = file("key.pem", &signer.public_key());
    let (text, success) = inspected(running.port(), ":1", &["--key", &key]).await.unwrap();
    assert!(!success);
    let bare = format!("it is not signed: {artifact} has no signature");
    assert!(text.contains("counts, unusable") && text.contains(&bare), "{text}");
    assert!(
        text.contains("The profile cannot be used (Unsigned)") && text.contains("93 bytes, signed"),
        "{text}"
    );
    let error = inspected(running.port(), ":1", &["--key", &file("none", "no key")]).await.unwrap_err();
    assert!(
        error.starts_with("cannot read public keys from /") && error.contains("no public key"),
        "{error}"
    );

    let mut registry = Registry::new("team/app");
    let image = registry.image("amd64", Some(WRITES), "");
    registry.manifest(MANIFEST, image.clone());
    registry.tag("1", MANIFEST, image.clone());
    let artifact = registry.attach(&image, READS);
    registry.sign(&artifact, &signer.bundle(&artifact));
    let running = registry.start().await;
    let (text, success) = inspected(running.port(), ":1", &["--key", &key]).await.unwrap();
    assert!(success && text.contains("119 bytes, signed"), "{text}");
}
