//! Conversations of the watches with the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::NodeName;
use daemon::metrics::{Watch, Watches};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tower_test::mock::{Handle, Mock};

use crate::budget::Budget;
use crate::goal::{Goal, Listeners, Placement};
use crate::profiles::Profiles;
use crate::status_object::{ReportHash, StatusObject, StatusObjectState};
use crate::watches::{self, ClusterLoad};
use crate::worker::Command;

type Server = Handle<Request<Body>, Response<Body>>;

fn measured() -> Watch {
    Watches::new(&Registry::new()).unwrap().of(crate::metrics::Kind::Profile)
}

fn node() -> NodeName {
    "node-1".parse().unwrap()
}

fn profiles(
    service: Mock<Request<Body>, Response<Body>>,
    commands: mpsc::Sender<Command>,
) -> impl Future<Output = ()> {
    watches::profiles(
        Client::new(service, "default"),
        node(),
        Profiles::new(Listeners::Refused, Budget::default()),
        watch::Sender::new(None).subscribe(),
        commands,
        watch::Sender::default(),
        measured(),
    )
}

/// Answers the next request, as an API server that streams no lists; what was asked.
async fn answer(server: &mut Server, code: u16, body: &str) -> String {
    let next = async |server: &mut Server| {
        timeout(Duration::from_mins(10), server.next_request()).await.unwrap().unwrap()
    };
    let (mut request, mut reply) = next(server).await;
    while request.uri().query().is_some_and(|query| query.contains("sendInitialEvents=true")) {
        let refusal = r#"{"kind":"Status","code":422,"reason":"Invalid"}"#;
        let refusal = Response::builder().status(422).body(Body::from(refusal.as_bytes().to_vec()));
        reply.send_response(refusal.unwrap());
        (request, reply) = next(server).await;
    }
    let response = Response::builder().status(code).body(Body::from(body.as_bytes().to_vec()));
    reply.send_response(response.unwrap());
    request.uri().to_string()
}

fn list(items: &[Value], next: Option<&str>) -> String {
    json!({ "metadata": { "resourceVersion": "7", "continue": next }, "items": items }).to_string()
}

fn profile(name: &str) -> Value {
    json!({ "metadata": { "name": name, "uid": name }, "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } } })
}

/// A command without its time: the name, and its goal.
fn goal(command: Option<Command>) -> (String, Goal) {
    match command {
        Some(Command::Goal { name, goal, .. }) => (name.to_string(), goal),
        command => panic!("{command:?}"),
    }
}

/// The goal of a [`profile`].
fn file(name: &str) -> (String, Goal) {
    let bytes = br#"{"defaultAction":"SCMP_ACT_LOG"}"#;
    (name.to_owned(), Goal::file(bytes))
}

#[tokio::test(start_paused = true)]
async fn a_failed_list_is_an_error_and_never_an_empty_one() {
    let (service, mut server) = tower_test::mock::pair();
    let (commands, mut queue) = mpsc::channel(64);
    tokio::spawn(profiles(service, commands));
    let asked = answer(&mut server, 404, r#"{"kind":"Status","code":404,"reason":"NotFound"}"#).await;
    // Without a resource version a list is a consistent read.
    assert_eq!(asked, "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles?&limit=8");
    // The second page fails: the list begins again.
    answer(&mut server, 200, &list(&[profile("a")], Some("more"))).await;
    assert_eq!(goal(queue.recv().await), file("a"));
    let asked = answer(&mut server, 410, r#"{"kind":"Status","code":410,"reason":"Expired"}"#).await;
    assert!(asked.contains("continue=more"), "{asked}");
    answer(&mut server, 200, &list(&[profile("a"), profile("b")], None)).await;
    // What is known is not sent to the worker again.
    assert_eq!(goal(queue.recv().await), file("b"));
    assert!(matches!(queue.recv().await, Some(Command::ListComplete)));

    let event = |kind: &str, object: Value| json!({ "type": kind, "object": object }).to_string() + "\n";
    let mut known = profile("a");
    known["metadata"]["resourceVersion"] = "8".into();
    let mut recreated = profile("b");
    recreated["metadata"]["resourceVersion"] = "8".into();
    recreated["metadata"]["uid"] = "new".into();
    let broken = json!({ "metadata": { "name": "c", "uid": "c", "resourceVersion": "9" }, "spec": [] });
    let events = event("MODIFIED", known)
        + &event("MODIFIED", recreated.clone())
        + &event("ADDED", broken)
        + &event("DELETED", recreated);
    let asked = answer(&mut server, 200, &events).await;
    assert!(asked.contains("watch=true") && asked.contains("resourceVersion=7"), "{asked}");
    assert!(matches!(goal(queue.recv().await), (name, Goal::Rejected { .. }) if name == "c"));
    assert_eq!(goal(queue.recv().await), ("b".to_owned(), Goal::Removal));
}

#[tokio::test(start_paused = true)]
async fn once_there_is_room_again_a_refused_profile_is_listed_within_a_minute_or_so_and_taken() {
    let (service, mut server) = tower_test::mock::pair();
    let (commands, mut queue) = mpsc::channel(64);
    let client = Client::new(service, "default");
    let room_for_one = Budget::with_room(3000);
    tokio::spawn(watches::profiles(
        client,
        node(),
        Profiles::new(Listeners::Refused, room_for_one),
        watch::Sender::new(None).subscribe(),
        commands,
        watch::Sender::default(),
        measured(),
    ));
    let mut goal_of = async |name: &str| loop {
        if let Some(Command::Goal { name: changed, goal, .. }) = queue.recv().await
            && changed.as_str() == name
        {
            return goal;
        }
    };
    let both = list(&[profile("a"), profile("b")], None);
    answer(&mut server, 200, &both).await;
    assert!(matches!(goal_of("a").await, Goal::File { .. }));
    assert!(matches!(goal_of("b").await, Goal::OverBudget(_)));
    let mut gone = profile("a");
    gone["metadata"]["resourceVersion"] = "8".into();
    let asked =
        answer(&mut server, 200, &(json!({ "type": "DELETED", "object": gone }).to_string() + "\n")).await;
    assert!(asked.contains("watch=true"), "{asked}");
    let start = Instant::now();
    // The watch is taken up again as often as it ends; then comes the list.
    let mut asked = answer(&mut server, 200, "").await;
    while asked.contains("watch=true") {
        tokio::time::sleep(Duration::from_secs(1)).await;
        asked = answer(&mut server, 200, &list(&[profile("b")], None)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(71), "{:?}", start.elapsed());
    assert!(matches!(goal_of("b").await, Goal::File { .. }));
}

#[tokio::test(start_paused = true)]
async fn statuses_show_how_many_nodes_there_are_and_that_a_rollout_goes_on() {
    let (service, mut server) = tower_test::mock::pair();
    let (commands, mut queue) = mpsc::channel(64);
    tokio::spawn(async move { while queue.recv().await.is_some() {} });
    let load = watch::Sender::new(ClusterLoad::default());
    let mut seen = load.subscribe();
    let client = Client::new(service, "default");
    tokio::spawn(watches::profiles(
        client,
        node(),
        Profiles::new(Listeners::Refused, Budget::default()),
        watch::Sender::new(None).subscribe(),
        commands,
        load,
        measured(),
    ));
    let mut until = async |nodes, rollout_events| {
        let load = (nodes, rollout_events);
        let is_so = |seen: &ClusterLoad| (seen.nodes, seen.rollout_events) == load;
        let shown = timeout(Duration::from_mins(10), seen.wait_for(is_so)).await;
        let shown = *shown.unwrap_or_else(|_| panic!("never {load:?}")).unwrap();
        if rollout_events > 0 {
            assert_eq!(shown.profiles, 1);
        }
    };
    let with_status = |version: &str, nodes: Value| {
        let mut profile = profile("a");
        profile["metadata"]["resourceVersion"] = version.into();
        profile["status"] = json!({ "nodes": nodes });
        profile
    };

    answer(&mut server, 200, &list(&[profile("a")], None)).await;
    until(None, 0).await;
    let event = |object: Value| json!({ "type": "MODIFIED", "object": object }).to_string() + "\n";
    // Each has the same contents, and is a status alone, with or without a number that can be read.
    let events = [json!({ "desired": 7 }), json!({ "desired": "8" }), json!(null)];
    for (number, nodes) in events.into_iter().enumerate() {
        answer(&mut server, 200, &event(with_status(&format!("{}", 8 + number), nodes))).await;
        until(Some(7), number as u64 + 1).await;
    }
    answer(&mut server, 200, &event(with_status("11", json!({ "desired": 9 })))).await;
    until(Some(9), 4).await;
}

/// Asks for the profiles, and answers `times` times as `answers` says; how long each question let itself be waited for.
async fn pauses(times: usize, answers: impl AsyncFn(&mut Server)) -> Vec<Duration> {
    let (service, mut server) = tower_test::mock::pair();
    let (commands, mut queue) = mpsc::channel(64);
    tokio::spawn(profiles(service, commands));
    tokio::spawn(async move { while queue.recv().await.is_some() {} });
    let mut pauses = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        answers(&mut server).await;
        pauses.push(start.elapsed());
    }
    pauses
}

#[tokio::test(start_paused = true)]
async fn a_list_that_goes_on_failing_is_asked_for_ever_more_slowly() {
    let not_found = r#"{"kind":"Status","code":404,"reason":"NotFound"}"#;
    let pauses = pauses(7, async |server| drop(answer(server, 404, not_found).await)).await;
    assert!(pauses.iter().sum::<Duration>() > Duration::from_secs(30), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_end_never_comes_is_asked_for_ever_more_slowly() {
    let pauses = pauses(7, async |server| {
        answer(server, 200, &list(&[profile("a")], Some("more"))).await;
        answer(server, 500, r#"{"kind":"Status","code":500,"reason":"InternalError"}"#).await;
    });
    let pauses = pauses.await;
    assert!(pauses.iter().sum::<Duration>() > Duration::from_secs(30), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_old_for_every_watch_is_asked_for_ever_more_slowly() {
    let expired =
        json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "reason": "Expired" } });
    let pauses = pauses(7, async |server| {
        answer(server, 200, &list(&[profile("a")], None)).await;
        let asked = answer(server, 200, &format!("{expired}\n")).await;
        assert!(asked.contains("watch=true"), "{asked}");
    });
    let pauses = pauses.await;
    assert!(pauses.iter().sum::<Duration>() > Duration::from_secs(30), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_has_forgotten_while_it_was_away_is_asked_for_a_list_at_once() {
    let (service, mut server) = tower_test::mock::pair();
    let (commands, mut queue) = mpsc::channel(64);
    tokio::spawn(profiles(service, commands));
    tokio::spawn(async move { while queue.recv().await.is_some() {} });
    answer(&mut server, 200, &list(&[], None)).await;
    for _ in 0..10 {
        answer(&mut server, 503, r#"{"kind":"Status","code":503,"reason":"ServiceUnavailable"}"#).await;
    }
    let expired =
        json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "reason": "Expired" } });
    answer(&mut server, 200, &format!("{expired}\n")).await;
    let start = Instant::now();
    let asked = answer(&mut server, 200, &list(&[], None)).await;
    assert!(!asked.contains("watch=true"), "{asked}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn however_long_an_api_server_was_away_it_is_asked_again_within_20_s_of_its_return() {
    let no_answer = r#"{"kind":"Status","code":503,"reason":"ServiceUnavailable"}"#;
    let pauses = pauses(40, async |server| drop(answer(server, 503, no_answer).await)).await;
    let longest = pauses.iter().max().unwrap();
    assert!(*longest < Duration::from_millis(20_100), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_the_server_does_not_know_ends_in_a_new_list() {
    for code in [410, 504] {
        let (service, mut server) = tower_test::mock::pair();
        let (commands, mut queue) = mpsc::channel(64);
        tokio::spawn(profiles(service, commands));
        tokio::spawn(async move { while queue.recv().await.is_some() {} });
        answer(&mut server, 200, &list(&[], None)).await;
        let status = json!({ "kind": "Status", "code": code, "reason": "Expired" }).to_string();
        let asked = answer(&mut server, code, &status).await;
        assert!(asked.contains("watch=true"), "{asked}");
        let asked = answer(&mut server, 200, &list(&[], None)).await;
        assert!(!asked.contains("watch=true"), "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_the_status_objects_only_the_nodes_own_is_watched() {
    let (service, mut server) = tower_test::mock::pair();
    let (own, mut seen) = watch::channel(StatusObjectState::Unknown);
    let load = watch::Sender::new(ClusterLoad::default()).subscribe();
    let (word, mut heard) = watch::channel(None);
    tokio::spawn(watches::node_status(Client::new(service, "default"), node(), own, word, load, measured()));
    let asked = answer(&mut server, 200, &list(&[], None)).await;
    assert_eq!(
        asked,
        "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses?&fieldSelector=metadata.name%3Dnode-1&limit=8"
    );
    assert_eq!(
        *seen.wait_for(|own| *own != StatusObjectState::Unknown).await.unwrap(),
        StatusObjectState::Absent
    );
    let report = json!({ "files": {} });
    let object = json!({
        "metadata": { "name": "node-1", "uid": "1", "resourceVersion": "8" },
        "spec": { "excludedProfiles": { "a": "7c1e", "b": 7 } }, "status": { "report": report }
    });
    let events = json!({ "type": "ADDED", "object": object }).to_string() + "\n";
    let asked = answer(&mut server, 200, &events).await;
    assert!(asked.contains("fieldSelector=metadata.name%3Dnode-1"), "{asked}");
    let held = StatusObject { uid: "1".into(), version: Some(8), report: Some(ReportHash::of(&report)) };
    assert_eq!(
        *seen.wait_for(|own| *own != StatusObjectState::Absent).await.unwrap(),
        StatusObjectState::Watched(held)
    );
    let excluded = BTreeMap::from([("a".to_owned(), "7c1e".to_owned())]);
    assert_eq!(
        *heard.wait_for(|heard| heard.as_ref().is_some_and(|it| !it.is_empty())).await.unwrap(),
        Some(excluded)
    );
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_selects_nodes_waits_for_the_operators_word_and_not_for_ever() {
    let mut selecting = profile("a");
    selecting["spec"]["nodeSelector"] = json!({ "matchLabels": { "pool": "db" } });
    for says in [true, false] {
        let (service, mut server) = tower_test::mock::pair();
        let (commands, mut queue) = mpsc::channel(64);
        let word = watch::Sender::new(None);
        tokio::spawn(watches::profiles(
            Client::new(service, "default"),
            node(),
            Profiles::new(Listeners::Refused, Budget::default()),
            word.subscribe(),
            commands,
            watch::Sender::default(),
            measured(),
        ));
        let mut placement = async || loop {
            if let Command::Placement { name, placement, .. } = queue.recv().await.unwrap() {
                assert_eq!(name.as_str(), "a");
                return placement;
            }
        };
        answer(&mut server, 200, &list(&[selecting.clone()], None)).await;
        assert_eq!(placement().await, Placement::Unknown);
        let start = Instant::now();
        if says {
            word.send_replace(Some(BTreeMap::from([("a".to_owned(), "a".to_owned())])));
            assert_eq!(placement().await, Placement::Excluded);
            assert!(start.elapsed() < Duration::from_secs(1));
        } else {
            assert_eq!(placement().await, Placement::Here);
            assert_eq!(start.elapsed().as_secs(), 20);
        }
    }
}

#[test]
fn watches_of_nodes_that_started_together_do_not_end_together() {
    let lasts = |number| watches::config(&format!("node-{number}").parse().unwrap()).timeout.unwrap();
    let all: BTreeSet<_> = (0..1000).map(lasts).collect();
    assert!(all.len() == 60 && all.iter().all(|seconds| (180..240).contains(seconds)), "{all:?}");
}
