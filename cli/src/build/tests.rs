use clap::Parser;
use registry::testing::RunningRegistry;

use super::*;
use crate::derive::testing::registry_with_image;
use crate::inspect::inspect;
use crate::options::{Options, Task};

/// Somebody who answers, and what they see.
struct Person {
    answer: Option<bool>,
    seen: String,
    asked: Vec<String>,
}

impl Dialogue for Person {
    fn say(&mut self, text: &str) -> Result<(), CliError> {
        self.seen += text;
        Ok(())
    }

    fn ask(&mut self, question: &str) -> Result<bool, CliError> {
        self.asked.push(question.to_owned());
        self.answer.ok_or(CliError::NobodyToAsk)
    }
}

struct Scene {
    running: RunningRegistry,
}

impl Scene {
    async fn new() -> Self {
        Self { running: registry_with_image().start().await }
    }

    fn parse(&self, task: &str, words: &[&str]) -> Task {
        let host = format!("127.0.0.1:{}", self.running.port());
        let image = format!("{host}/team/app:1");
        let all = [&["kubectl-seccomp", task, &image, "--plain-http", &host], words].concat();
        Options::parse_from(all).task
    }

    async fn build(
        &self,
        answer: Option<bool>,
        words: &[&str],
    ) -> (Result<Built, CliError>, Person, Vec<String>) {
        let Task::Build(args) = self.parse("build", words) else { panic!("build") };
        let mut person = Person { answer, seen: String::new(), asked: Vec::new() };
        let mut kept = Vec::new();
        let mut keep = |evidence: &str| {
            kept.push(evidence.to_owned());
            Ok(())
        };
        let built = build(&args, Paint::Plain, &mut person, &mut |_| {}, &mut keep).await;
        let host = format!("127.0.0.1:{}", self.running.port());
        person.seen = person.seen.replace(&host, "registry.example");
        (built, person, kept)
    }

    async fn contents(&self) -> String {
        let Task::Inspect(args) = self.parse("inspect", &["--contents"]) else { panic!("inspect") };
        inspect(&args).await.unwrap().0.contents()
    }

    fn has_written(&self) -> bool {
        self.running.asked().iter().any(|it| it.starts_with("PUT ") || it.starts_with("POST "))
    }
}

#[tokio::test]
async fn on_yes_the_image_carries_the_derived_profile() {
    let scene = Scene::new().await;
    let (built, person, kept) =
        scene.build(Some(true), &["--runtime", "crun", "--evidence", "it.json"]).await;
    assert_eq!(built.unwrap(), Built { remarks: Vec::new(), success: true });
    assert!(person.asked[0].ends_with("/team/app:1 for linux/amd64?"), "{:?}", person.asked);
    assert!(kept.len() == 1 && kept[0].contains("\"because\": \"the image starts it\""), "{kept:?}");
    let upto = person.seen.find("registry.example/team/app:1@sha256:").expect("what was attached");
    insta::assert_snapshot!(&person.seen[..upto]);
    let contents = scene.contents().await;
    for call in ["close_range", "execve", "exit", "getpid", "getuid"] {
        assert!(contents.contains(&format!("\"{call}\"")), "{contents}");
    }
}

#[tokio::test]
async fn without_a_yes_nothing_is_attached() {
    let scene = Scene::new().await;
    let (built, ..) = scene.build(Some(false), &[]).await;
    assert!(matches!(built, Err(CliError::NotConfirmed)));
    let (built, ..) = scene.build(None, &[]).await;
    assert!(matches!(built, Err(CliError::NobodyToAsk)));
    let (built, person, _) = scene.build(None, &["--dry-run"]).await;
    assert!(built.unwrap().success && person.asked.is_empty());
    assert!(!scene.has_written());
    let (built, person, _) = scene.build(None, &["--yes"]).await;
    assert!(built.unwrap().success && person.asked.is_empty() && scene.has_written());
}

#[tokio::test]
async fn a_profile_with_which_no_container_starts_is_not_attached() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let overrides = folder.path().join("overrides.yaml");
    std::fs::write(&overrides, "deny:\n  - {names: [execve], reason: a container needs it}\n").unwrap();
    let (built, person, _) = scene.build(Some(true), &["--overrides", overrides.to_str().unwrap()]).await;
    assert!(!built.unwrap().success && !scene.has_written());
    assert!(
        person.seen.ends_with("the container runtimes make calls that it refuses: execve\n"),
        "{}",
        person.seen
    );
    assert!(
        person.seen.contains("deny[0]: execve: is refused, and the container runtime makes it"),
        "{}",
        person.seen
    );
}
