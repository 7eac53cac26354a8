//! Registries and tools of other projects: what `kubectl seccomp attach` gives to an image, `oras` finds, and the other
//! way round. The registries are distribution's, with TLS and a login or tokens, that of Debian, which is an older one of
//! the same, crane's as crane serves it, and the same with the API for referrers, TLS and a login; no other has that API.
//! oras asks no service for tokens that is on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

mod contents;
mod differences;
mod folder;
mod ours;
mod raw;
#[path = "../registry_process/mod.rs"]
mod registry_process;
mod server;
mod signing;
mod tokens;

use std::fs;

use profile::Profile;
use serde_json::Value;

use server::Server;

/// The type of the artifact.
const TYPE: &str = "application/vnd.cncf.seccomp-profile.config.v1+json";
const READS: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","exit_group"],"action":"SCMP_ACT_ALLOW"}]}"#;
const WRITES: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["write","exit_group"],"action":"SCMP_ACT_ALLOW"}]}"#;

/// The registries, each with an image.
fn servers() -> [Server; 4] {
    let servers = [Server::distribution(), Server::crane(), Server::of_debian(), Server::with_referrers()];
    servers.iter().for_each(Server::push_image);
    servers
}

/// The registries in the order of the tables, without an image.
fn servers_to_compare() -> [Server; 4] {
    [Server::of_debian(), Server::distribution(), Server::crane(), Server::with_referrers()]
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
        let found = server.discover();
        assert_eq!(found.iter().map(|it| &it["digest"]).collect::<Vec<_>>(), [artifact], "{found:?}");
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
        let found = server.discover();
        assert_eq!(found.len(), 2, "{found:?}");
    }
}

#[test]
#[ignore = "long: builds registries"]
fn where_there_is_the_api_for_referrers_no_tag_is_needed_to_find_a_profile() {
    let server = Server::with_referrers();
    server.push_image();
    let image = server.image();
    // The registry does not say that it has understood the subject, so that both write the tag, too.
    let without_the_tag = || {
        let tags = server.tags();
        let [tag] = &tags.iter().filter(|tag| *tag != "1").collect::<Vec<_>>()[..] else {
            panic!("{tags:?}")
        };
        server.delete_tag(tag);
        assert_eq!(server.tags(), ["1"]);
        server.seccomp(0, "inspect", &[&image, "--contents"])
    };
    server.file("seccomp.json", READS);
    server.oras(&["attach", "--artifact-type", TYPE, &image, "seccomp.json:application/json"]);
    assert!(without_the_tag().contains("\"read\""));
    let attached = server.seccomp(0, "attach", &[&image, &server.file("writes.json", WRITES)]);
    assert!(without_the_tag().contains("\"write\""));
    let found = server.discover();
    assert!(found.iter().any(|it| it["digest"] == artifact(&attached)), "{found:?}");
    // Nothing else refers to it, also as oras sees it.
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
#[ignore = "long: builds registries"]
fn a_copy_takes_the_profile_along_in_both_directions() {
    let ([one, other, of_debian, with_referrers], with_tokens) = (servers(), Server::with_tokens());
    with_tokens.push_image();
    // Docker's configuration of the folder has one login, so that one of both has none.
    for (from, to) in [
        (&one, &other),
        (&other, &one),
        (&with_tokens, &other),
        (&other, &with_tokens),
        (&other, &of_debian),
        (&with_referrers, &other),
        (&other, &with_referrers),
    ] {
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
fn tokens_are_asked_for_what_is_done_and_no_more() {
    let server = Server::with_tokens();
    server.push_image();
    let (image, before) = (server.image(), server.tokens_asked().len());
    let asked = |from: usize| server.tokens_asked()[from..].to_vec();
    server.seccomp(0, "inspect", &[&image]);
    assert_eq!(asked(before), ["200 repository:team/app:pull"], "one, for all questions about the image");
    let before = server.tokens_asked().len();
    server.seccomp(0, "attach", &[&image, &server.file("reads.json", READS)]);
    assert_eq!(asked(before), ["200 repository:team/app:pull", "200 repository:team/app:pull,push"]);
    let before = server.tokens_asked().len();
    server.file("config.json", r#"{"auths":{}}"#);
    let printed = server.seccomp(2, "inspect", &[&image]);
    assert!(printed.contains("does not accept the login"), "{printed}");
    assert_eq!(asked(before), ["401 repository:team/app:pull"]);
}

#[test]
#[ignore = "long: builds registries"]
fn without_the_login_nothing_is_attached() {
    for server in
        [Server::distribution(), Server::with_tokens(), Server::of_debian(), Server::with_referrers()]
    {
        nothing_is_attached_without_the_login(&server);
    }
}

fn nothing_is_attached_without_the_login(server: &Server) {
    server.push_image();
    let image = server.image();
    let file = server.file("reads.json", READS);
    server.log_out();
    let printed = server.seccomp(2, "attach", &[&image, &file]);
    assert!(printed.contains("does not accept the login") && printed.contains("docker login"), "{printed}");
    server.log_in();
    assert!(server.seccomp(0, "inspect", &[&image]).contains("carries no profile"));
}
