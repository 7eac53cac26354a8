use clap::Parser;
use registry::testing::{INDEX, MANIFEST, RunningRegistry, TestRegistry as Registry};

use super::*;
use crate::inspect::inspect;
use crate::options::{Options, Task};
use crate::show::Paint;

const READS: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","exit_group"],"action":"SCMP_ACT_ALLOW"}]}"#;
const WRITES: &str =
    r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["write"],"action":"SCMP_ACT_ALLOW"}]}"#;

/// A registry with one image, and the folder of somebody who has two profiles.
struct Scene {
    running: RunningRegistry,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn of(registry: Registry) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("reads.json", READS), ("writes.json", WRITES)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { running: registry.start().await, folder }
    }

    /// One whose image has the tag `1`.
    async fn with_image(mut registry: Registry) -> Self {
        let image = registry.image("amd64", None, "");
        registry.manifest(MANIFEST, image.clone());
        registry.tag("1", MANIFEST, image);
        Self::of(registry).await
    }

    fn parse(&self, task: &str, words: &[&str]) -> Task {
        let registry = format!("127.0.0.1:{}", self.running.port());
        let image = format!("{registry}/team/app:1");
        let all = [&["kubectl-seccomp", task, &image, "--plain-http", &registry], words].concat();
        Options::parse_from(all).task
    }

    /// What `attach` prints, with another name for the registry.
    async fn attach(&self, profile: &str, words: &[&str]) -> Result<String, String> {
        let registry = format!("127.0.0.1:{}", self.running.port());
        let path = self.folder.path().join(profile).display().to_string();
        let Task::Attach(args) = self.parse("attach", &[&[&*path], words].concat()) else { panic!("attach") };
        let attached = attach(&args).await.map_err(|error| {
            error.to_string().replace(&registry, "registry.example").replace(&path, profile)
        });
        let (view, remarks) = attached?;
        assert!(remarks.is_empty(), "{remarks:?}");
        Ok(view.render(Paint::Plain).replace(&registry, "registry.example"))
    }

    /// What a node would run.
    async fn contents(&self) -> String {
        let Task::Inspect(args) = self.parse("inspect", &["--contents"]) else { panic!("inspect") };
        inspect(&args).await.unwrap().0.contents()
    }

    /// The writes of manifests, each with the name under which it was written.
    fn writes(&self) -> Vec<String> {
        let asked = self.running.asked();
        let names = asked.iter().filter_map(|it| {
            it.strip_prefix("PUT ")?.split_once("/manifests/").map(|(_, name)| name.to_owned())
        });
        names.collect()
    }
}

fn artifact(printed: &str) -> String {
    let digest = printed.lines().find_map(|line| {
        line.split_whitespace().find(|it| line.starts_with("linux/") && it.starts_with("sha256:"))
    });
    digest.unwrap().to_owned()
}

#[tokio::test]
async fn a_profile_that_is_attached_is_the_one_that_counts_and_is_attached_once() {
    let scene = Scene::with_image(Registry::new("team/app")).await;
    let printed = scene.attach("reads.json", &[]).await.unwrap();
    insta::assert_snapshot!(printed);
    let page = include_str!("../../../docs/how-to/attach-to-an-image.md");
    assert!(page.contains(&printed), "the page shows this output");
    assert!(scene.contents().await.contains("\"read\""));
    let writes = scene.writes();
    assert!(writes.len() == 2 && writes[1].starts_with("sha256-"), "{writes:?}");
    let again = scene.attach("reads.json", &[]).await.unwrap();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&again.replace("was there", "attached")), words(&printed));
    assert_eq!(scene.writes(), writes);
}

#[tokio::test]
async fn the_artifact_is_the_same_in_every_registry() {
    let one = Scene::with_image(Registry::new("team/app")).await;
    let other = Scene::with_image(Registry::new("team/app").with_referrers()).await;
    let printed = one.attach("reads.json", &[]).await.unwrap();
    assert_eq!(other.attach("reads.json", &[]).await.unwrap(), printed);
    // Where the registry lists what refers to a manifest, no tag stands in for the list.
    assert_eq!(other.writes(), [artifact(&printed)]);
    assert_eq!(one.contents().await, other.contents().await);
}

#[tokio::test]
async fn a_later_profile_takes_the_place_of_an_earlier_one() {
    for registry in [Registry::new("team/app"), Registry::new("team/app").with_referrers()] {
        let scene = Scene::with_image(registry).await;
        let first = scene.attach("reads.json", &[]).await.unwrap();
        assert!(!first.contains("instead of"), "{first}");
        let later = scene.attach("writes.json", &["--created", "2026-01-31T12:00:00Z"]).await.unwrap();
        let said = format!("on linux/amd64 it counts instead of {}, which stays there", artifact(&first));
        assert!(later.contains(&said), "{later}");
        let again = scene.attach("writes.json", &["--created", "2026-01-31T12:00:00Z"]).await.unwrap();
        assert!(!again.contains("instead of"), "it was there already: {again}");
        assert!(scene.contents().await.contains("\"write\""));
        // The present is later than that.
        scene.attach("reads.json", &[]).await.unwrap();
        assert!(scene.contents().await.contains("\"read\""));
        let error = scene.attach("writes.json", &["--created", "2026-01-31T12:00:00Z"]).await.unwrap_err();
        assert!(error.contains("of several the latest counts"), "{error}");
        assert!(scene.contents().await.contains("\"read\""));
    }
}

#[tokio::test]
async fn each_platform_of_an_image_gets_the_profile_or_the_one_that_is_named() {
    let registry = || {
        let mut registry = Registry::new("team/app");
        let mut entries = Vec::new();
        for name in ["amd64", "arm64"] {
            let image = registry.image(name, None, "");
            let descriptor = registry.manifest(MANIFEST, image);
            entries.push(format!(r#"{descriptor},"platform":{{"os":"linux","architecture":"{name}"}}}}"#));
        }
        let entries = entries.join(",");
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#);
        registry.tag("1", INDEX, index);
        registry
    };
    let scene = Scene::of(registry()).await;
    let printed = scene.attach("reads.json", &[]).await.unwrap();
    assert!(printed.contains("linux/amd64") && printed.contains("linux/arm64"), "{printed}");
    assert_eq!(scene.writes().len(), 4);
    let scene = Scene::of(registry()).await;
    let printed = scene.attach("reads.json", &["--architecture", "arm64"]).await.unwrap();
    assert!(!printed.contains("linux/amd64") && printed.contains("linux/arm64"), "{printed}");
    assert_eq!(scene.writes().len(), 2);
}

#[tokio::test]
async fn an_index_that_somebody_else_changes_meanwhile_loses_nothing() {
    let scene = Scene::with_image(Registry::new("team/app").with_others(2)).await;
    scene.attach("reads.json", &[]).await.unwrap();
    assert!(scene.contents().await.contains("\"read\""));
    let refused = scene.running.asked().iter().filter(|it| it.starts_with("PUT 412")).count();
    assert_eq!(refused, 2, "each time the index was another one");
    let scene = Scene::with_image(Registry::new("team/app").with_others(100)).await;
    let error = scene.attach("reads.json", &[]).await.unwrap_err();
    assert!(error.contains("at the same time"), "{error}");
}

#[tokio::test]
async fn a_registry_that_ignores_conditions_has_the_profile_all_the_same() {
    let scene = Scene::with_image(Registry::new("team/app").with_others(1).ignoring_conditions()).await;
    scene.attach("reads.json", &[]).await.unwrap();
    assert!(scene.contents().await.contains("\"read\""));
    // Once for what is put there, and once to see that it is there.
    let reads = scene.running.asked().iter().filter(|it| it.contains("/manifests/sha256-")).count();
    assert!(reads >= 3, "{:?}", scene.running.asked());
}

#[tokio::test]
async fn a_blob_is_put_to_no_other_host() {
    let registry = Registry::new("team/app").with_uploads_at("https://b.example/uploads/1");
    let scene = Scene::with_image(registry).await;
    let error = scene.attach("reads.json", &[]).await.unwrap_err();
    assert!(error.contains("redirects a write, which is not followed"), "{error}");
    assert_eq!(scene.writes(), [""; 0]);
}

#[tokio::test]
async fn an_image_that_is_not_for_the_architecture_gets_no_profile() {
    let scene = Scene::with_image(Registry::new("team/app")).await;
    let error = scene.attach("reads.json", &["--architecture", "arm64"]).await.unwrap_err();
    assert!(error.contains("no manifest for linux/arm64"), "{error}");
    assert_eq!(scene.writes(), [""; 0]);
    scene.attach("reads.json", &["--architecture", "amd64"]).await.unwrap();
}

#[tokio::test]
async fn as_many_profiles_can_be_attached_as_are_looked_at() {
    let scene = Scene::with_image(Registry::new("team/app").with_referrers()).await;
    for number in 0..16 {
        let name = if number % 2 == 0 { "reads.json" } else { "writes.json" };
        let created = format!("2026-01-{:02}T00:00:00Z", number + 1);
        scene.attach(name, &["--created", &created]).await.unwrap();
    }
    let writes = scene.writes();
    assert_eq!(writes.len(), 16);
    let error = scene.attach("reads.json", &[]).await.unwrap_err();
    assert!(error.contains("16 artifacts") && error.contains("delete some"), "{error}");
    // The last one counts on.
    assert!(scene.contents().await.contains("\"write\""));
    scene.attach("writes.json", &[]).await.unwrap();
    assert_eq!(scene.writes(), writes);
}

#[tokio::test]
async fn a_profile_that_nobody_would_use_is_not_attached() {
    let scene = Scene::with_image(Registry::new("team/app")).await;
    for (name, text) in [
        ("asks.json", r#"{"defaultAction":"SCMP_ACT_TRACE"}"#),
        ("none.json", "{}"),
        ("two.yaml", "apiVersion: v1\nkind: ConfigMap\n"),
    ] {
        std::fs::write(scene.folder.path().join(name), text).unwrap();
        let error = scene.attach(name, &[]).await.unwrap_err();
        assert!(error.contains(name), "{error}");
    }
    assert_eq!(scene.writes(), [""; 0]);
}

#[test]
fn the_time_of_an_artifact_is_given_or_that_of_the_build_or_of_now() {
    let now: Timestamp = "2026-06-01T01:02:03.4Z".parse().unwrap();
    let of = |given, epoch| times(given, epoch, now).map_err(|error| error.to_string());
    let time = |text| Created::parse(text).unwrap();
    let present = time("2026-06-01T01:02:03.4Z");
    assert_eq!(of(None, None), Ok(Times { given: None, now: present.clone() }));
    assert_eq!(of(None, Some("")), Ok(Times { given: None, now: present }));
    let given = |given, epoch| of(given, epoch).map(|it| it.given);
    assert_eq!(given(None, Some("86400")), Ok(Some(time("1970-01-02T00:00:00Z"))));
    let both = given(Some("2026-01-31T12:00:00Z"), Some("86400"));
    assert_eq!(both, Ok(Some(time("2026-01-31T12:00:00Z"))));
    assert!(given(Some("2026-01-31"), None).unwrap_err().contains("expected a time in UTC"));
    assert!(given(None, Some("soon")).unwrap_err().starts_with("SOURCE_DATE_EPOCH"));
}
