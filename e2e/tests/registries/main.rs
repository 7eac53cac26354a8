//! Registries and tools of other projects: what `kubectl seccomp attach` gives to an image, `oras` finds, and the other
//! way round. The registries are distribution's, with TLS and a login, and crane's. Neither has the API for referrers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

mod server;
mod signing;

use std::fs;

use profile::Profile;
use serde_json::Value;

use server::Server;

/// The type of the artifact.
const TYPE: &str = "application/vnd.cncf.seccomp-profile.config.v1+json";
const READS: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","exit_group"],"action":"SCMP_ACT_ALLOW"}]}"#;
const WRITES: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["write","exit_group"],"action":"SCMP_ACT_ALLOW"}]}"#;

/// The registries, each with an image.
fn servers() -> [Server; 2] {
    let servers = [Server::distribution(), Server::crane()];
    servers.iter().for_each(Server::push_image);
    servers
}

/// The digest of the artifact that `attach` names.
fn artifact(printed: &str) -> &str {
    let line = printed.lines().find(|line| line.starts_with("linux/amd64")).unwrap();
    line.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap()
}

#[test]
#[ignore = "long: builds registries"]
fn oras_finds_and_pulls_what_is_attached() {
    for server in servers() {
        let image = server.image();
        let printed = server.seccomp(0, "attach", &[&image, &server.file("reads.json", READS)]);
        let artifact = artifact(&printed);
        let found = server.oras(&["discover", &image, "--artifact-type", TYPE, "--format", "json"]);
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found["referrers"][0]["digest"], artifact, "{found}");
        let folder = server.path("pulled");
        server.oras(&["pull", &format!("{}@{artifact}", server.repository()), "--output", &folder]);
        let pulled = fs::read(format!("{folder}/seccomp.json")).unwrap();
        let profile: Value = serde_json::from_str(READS).unwrap();
        assert_eq!(pulled, Profile::from_value(&profile).unwrap().canonical().bytes());
        assert!(server.seccomp(0, "inspect", &[&image, "--contents"]).contains("\"read\""));
        let again = server.seccomp(0, "attach", &[&image, &server.file("reads.json", READS)]);
        assert!(again.contains("was there") && again.contains(artifact), "{again}");
    }
}

#[test]
#[ignore = "long: builds registries"]
fn what_oras_attaches_counts_until_a_later_profile_is_attached() {
    for server in servers() {
        let image = server.image();
        server.file("seccomp.json", READS);
        server.oras(&["attach", "--artifact-type", TYPE, &image, "seccomp.json:application/json"]);
        assert!(server.seccomp(0, "inspect", &[&image, "--contents"]).contains("\"read\""));
        server.seccomp(0, "attach", &[&image, &server.file("writes.json", WRITES)]);
        assert!(server.seccomp(0, "inspect", &[&image, "--contents"]).contains("\"write\""));
        let found = server.oras(&["discover", &image, "--artifact-type", TYPE, "--format", "json"]);
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found["referrers"].as_array().unwrap().len(), 2, "{found}");
    }
}

#[test]
#[ignore = "long: builds registries"]
fn a_copy_takes_the_profile_along_in_both_directions() {
    let [one, other] = servers();
    for (from, to) in [(&one, &other), (&other, &one)] {
        let profile = from.file("reads.json", READS);
        let attached = from.seccomp(0, "attach", &[&from.image(), &profile]);
        let copy = format!("{}:copy", to.repository());
        let printed = from.seccomp_between(to, &["copy", &from.image(), &copy]);
        assert!(printed.contains(&format!("profile {}", artifact(&attached))), "{printed}");
        assert!(to.seccomp(0, "inspect", &[&copy, "--contents"]).contains("\"read\""));
        let digests = [(from, from.image()), (to, copy)].map(|(server, image)| server.digest(&image));
        assert_eq!(digests[0], digests[1]);
    }
}

#[test]
#[ignore = "long: builds registries"]
fn without_the_login_nothing_is_attached() {
    let server = Server::distribution();
    server.push_image();
    let image = server.image();
    let file = server.file("reads.json", READS);
    server.log_out();
    let printed = server.seccomp(2, "attach", &[&image, &file]);
    assert!(printed.contains("does not accept the login") && printed.contains("docker login"), "{printed}");
    server.log_in();
    assert!(server.seccomp(0, "inspect", &[&image]).contains("carries no profile"));
}
