//! What somebody else changes meanwhile stays.

use serde_json::json;

use super::console::{NOBODY, is_as_before, learn};
use super::server::{Meddled, Server};

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_changed_stays_and_the_error_says_so() {
    for meddled in [Meddled::Template, Meddled::Profile] {
        let (result, _, server) = learn(|server| server.meddled = meddled, &["--yes"], NOBODY).await;
        let error = result.unwrap_err();
        assert_eq!(error.reason(), "Changed", "{meddled:?}: {error}");
        assert_eq!(server.changes, ["create web-learning", "rollout"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_does_to_the_profiles_meanwhile_is_not_overwritten() {
    let somebodys = |server: &mut Server| {
        let theirs = json!({ "metadata": { "name": "web", "generation": 1 }, "spec": { "contents": {} } });
        server.profiles.insert("web".to_owned(), theirs);
    };
    let (result, script, server) =
        learn(|server| server.later = Some((300, somebodys)), &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "ProfileChanged");
    assert!(is_as_before(&server) && server.profiles.len() == 1, "{:?}", server.changes);
    assert_eq!(server.profiles["web"]["spec"], json!({ "contents": {} }));
    assert!(script.profile.contains("names: [mmap, openat, read]"), "{}", script.said);
    // The present profile, from which the result follows.
    let under_base = |server: &mut Server| {
        let rules = json!([{ "names": ["read", "openat", "mmap", "write"], "action": "SCMP_ACT_ALLOW" }]);
        let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules });
        let base =
            json!({ "metadata": { "name": "base", "generation": 1 }, "spec": { "contents": contents } });
        server.profiles.insert("base".to_owned(), base);
        let path = json!({ "type": "Localhost", "localhostProfile": "profiles/base.json" });
        server.workload["spec"]["template"]["spec"]["securityContext"]["seccompProfile"] = path;
        server.before = server.workload["spec"].clone();
    };
    let narrower = |server: &mut Server| {
        server.profiles.get_mut("base").unwrap()["metadata"]["generation"] = json!(2);
    };
    let set = |server: &mut Server| {
        under_base(server);
        server.later = Some((300, narrower));
    };
    let (result, _, server) = learn(set, &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "ProfileChanged");
    assert!(is_as_before(&server) && server.profiles.len() == 1, "{:?}", server.changes);
    let (result, _, server) = learn(under_base, &["--yes"], NOBODY).await;
    assert!(result.unwrap() && server.file() == "profiles/web.json");
}
