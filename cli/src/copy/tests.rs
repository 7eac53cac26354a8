use clap::Parser;
use registry::testing::{INDEX, MANIFEST, RunningRegistry, TestRegistry as Registry};

use super::*;
use crate::inspect::inspect;
use crate::options::{Options, Task};
use crate::show::Paint;

const READS: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","exit_group"],"action":"SCMP_ACT_ALLOW"}]}"#;
/// The placeholder of images in these tests has no layer, so that a blob of this many bytes is added to one.
const LAYER: usize = 300_000;

/// An image for two platforms, one of which has a layer and an attached profile.
fn source() -> Registry {
    let mut registry = Registry::new("team/app");
    let layer = registry.blob("application/vnd.oci.image.layer.v1.tar", &"x".repeat(LAYER));
    let mut entries = Vec::new();
    for name in ["amd64", "arm64"] {
        let image = registry.image(name, None, "");
        let image = match name {
            "amd64" => image.replace("\"layers\":[]", &format!("\"layers\":[{layer}]")),
            _ => image,
        };
        let descriptor = registry.manifest(MANIFEST, image.clone());
        entries.push(format!(r#"{descriptor},"platform":{{"os":"linux","architecture":"{name}"}}}}"#));
        if name == "amd64" {
            registry.attach(&image, READS);
        }
    }
    let entries = entries.join(",");
    registry.tag(
        "1",
        INDEX,
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#),
    );
    registry
}

/// What `copy` prints and tells, with other names for the registries.
async fn copied(
    from: &RunningRegistry,
    to: &RunningRegistry,
    name: &str,
) -> Result<(String, Vec<String>), String> {
    let [source, mirror] = [from, to].map(|it| format!("127.0.0.1:{}", it.port()));
    let (image, copy_name) = (format!("{source}/team/app:1"), format!("{mirror}/mirror/app{name}"));
    let all =
        ["kubectl-seccomp", "copy", &image, &copy_name, "--plain-http", &source, "--plain-http", &mirror];
    let Task::Copy(args) = Options::parse_from(all).task else { panic!("copy") };
    let mut told = Vec::new();
    let renamed = |text: String| text.replace(&source, "registry.example").replace(&mirror, "mirror.example");
    let (view, remarks) = copy(&args, &mut |line: &str| told.push(line.to_owned()))
        .await
        .map_err(|error| renamed(error.to_string()))?;
    assert!(remarks.is_empty(), "{remarks:?}");
    Ok((renamed(view.render(Paint::Plain)), told))
}

/// What a node would run.
async fn contents(registry: &RunningRegistry) -> String {
    let host = format!("127.0.0.1:{}", registry.port());
    let image = format!("{host}/mirror/app:1");
    let all = ["kubectl-seccomp", "inspect", &image, "--contents", "--plain-http", &host];
    let Task::Inspect(args) = Options::parse_from(all).task else { panic!("inspect") };
    inspect(&args).await.unwrap().0.contents()
}

fn writes(registry: &RunningRegistry) -> Vec<String> {
    let is_write = |it: &&String| it.starts_with("PUT ") || it.starts_with("POST ");
    registry.asked().iter().filter(is_write).cloned().collect()
}

#[tokio::test]
async fn a_copy_has_the_digest_all_platforms_and_the_profile() {
    let mut shown = Vec::new();
    for mirror in [Registry::new("mirror/app"), Registry::new("mirror/app").with_referrers()] {
        let (from, to) = (source().start().await, mirror.start().await);
        let (printed, told) = copied(&from, &to, ":1").await.unwrap();
        shown.push(printed);
        assert!(told.contains(&"blob 2 of 5, 300.0 kB".to_owned()), "{told:?}");
        assert!(contents(&to).await.contains("\"read\""));
        let all = writes(&to);
        assert!(all.last().unwrap().ends_with("/manifests/1"), "the tag comes last: {all:?}");
        assert_eq!(writes(&from), [""; 0]);
        let (again, _) = copied(&from, &to, ":1").await.unwrap();
        assert!(again.contains("0 blobs (0 bytes) copied, 5 blobs there already"), "{again}");
    }
    assert_eq!(shown[0], shown[1]);
    insta::assert_snapshot!(shown[0]);
    let page = include_str!("../../../docs/how-to/attach-to-an-image.md");
    assert!(page.contains(&shown[0]), "the page shows this output");
}

#[tokio::test]
async fn a_layer_that_is_to_be_had_from_elsewhere_is_not_copied() {
    let mut registry = Registry::new("team/app");
    let digest = format!("sha256:{}", "1".repeat(64));
    let layer = format!(r#"{{"mediaType":"x","digest":"{digest}","size":9,"urls":["https://b.example/x"]}}"#);
    let image = registry.image("amd64", None, "").replace("\"layers\":[]", &format!("\"layers\":[{layer}]"));
    registry.tag("1", MANIFEST, image);
    let (from, to) = (registry.start().await, Registry::new("mirror/app").start().await);
    let (printed, _) = copied(&from, &to, ":1").await.unwrap();
    assert!(printed.contains("1 blob ("), "{printed}");
    assert!(from.asked().iter().chain(&to.asked()).all(|it| !it.contains(&digest)));
}

#[tokio::test]
async fn without_a_login_a_registry_that_wants_one_gets_nothing() {
    let (from, to) = (source().start().await, Registry::new("mirror/app").with_login("u", "p").start().await);
    let error = copied(&from, &to, ":1").await.unwrap_err();
    assert!(error.contains("cannot write to mirror.example/mirror/app"), "{error}");
    assert!(error.contains("docker login"), "{error}");
    assert!(writes(&to).iter().all(|it| !it.contains(" 201 ")), "{:?}", writes(&to));
}

#[tokio::test]
async fn a_blob_that_is_not_the_one_of_its_digest_does_not_arrive() {
    let layer = Registry::new("any").blob("x", &"x".repeat(LAYER));
    let digest = layer.split('"').find(|it| it.starts_with("sha256:")).unwrap();
    for (bytes, why) in [("y".repeat(LAYER), "other bytes"), ("x".repeat(LAYER - 1), "not of the size")] {
        let mut registry = source();
        registry.replace_blob(digest, &bytes);
        let (from, to) = (registry.start().await, Registry::new("mirror/app").start().await);
        let error = copied(&from, &to, ":1").await.unwrap_err();
        assert!(error.contains(why), "{error}");
        let arrived = writes(&to).iter().filter(|it| it.contains(digest) && it.contains(" 201 ")).count();
        assert_eq!(arrived, 0);
        assert!(writes(&to).iter().all(|it| !it.contains("/manifests/")), "nothing is named");
    }
}

#[tokio::test]
async fn a_destination_with_another_digest_is_refused() {
    let (from, to) = (source().start().await, Registry::new("mirror/app").start().await);
    let other = format!("@sha256:{}", "0".repeat(64));
    let error = copied(&from, &to, &other).await.unwrap_err();
    assert!(error.contains("the destination names sha256:000"), "{error}");
    assert_eq!(writes(&to), [""; 0]);
}

#[test]
fn sizes_are_shown_with_one_digit() {
    for (size, shown) in [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (45_000_000_000, "45.0 GB"),
        (u64::MAX, "18446744073.7 GB"),
    ] {
        assert_eq!(crate::show::bytes(size), shown);
    }
}
