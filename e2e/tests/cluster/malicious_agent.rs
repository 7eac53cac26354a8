//! A malicious agent: an attacker has the token of node-1's agent and has stopped the agent itself.

use std::time::{Duration, Instant};

use cluster::NAMESPACE;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use xtask::command::CommandError;

use super::audit::Log;
use super::stolen_token::{API_PATH, RawRequest, TokenHolder, pid_of, token_of_program};
use super::support::{LIMIT, Session, allow_all, alone, expect_cleanup, print_line};

/// How soon the operator reconciles a changed profile, whatever a node reports meanwhile.
const RECONCILE_LIMIT: Duration = Duration::from_secs(5);

/// Agents without a liveness probe, for which the kubelet would replace the one that is stopped after a minute. They have it
/// again when this is dropped.
struct Unprobed<'a> {
    cluster: &'a Session,
    probe: Value,
}

impl<'a> Unprobed<'a> {
    const AGENTS: &'static str = "daemonset/seccomp-profile-node-agent";

    fn agents(cluster: &'a Session) -> Self {
        let agents = cluster.json(["-n", NAMESPACE, "get", Self::AGENTS]);
        let probe = agents["spec"]["template"]["spec"]["containers"][0]["livenessProbe"].clone();
        assert!(probe.is_object(), "{agents}");
        let unprobed = Self { cluster, probe };
        unprobed.patch(&json!({ "op": "remove" })).unwrap_or_else(|error| panic!("{error}"));
        unprobed
    }

    /// Patches the probe, and waits until the agents are rolled out.
    fn patch(&self, operation: &Value) -> Result<(), CommandError> {
        let mut operation = operation.clone();
        operation["path"] = "/spec/template/spec/containers/0/livenessProbe".into();
        let patch = json!([operation]).to_string();
        let patched = ["-n", NAMESPACE, "patch", Self::AGENTS, "--type=json", "--patch", &patch];
        self.cluster.kubectl(patched)?;
        self.cluster.kubectl(["-n", NAMESPACE, "rollout", "status", "--timeout=120s", Self::AGENTS]).map(drop)
    }
}

impl Drop for Unprobed<'_> {
    fn drop(&mut self) {
        expect_cleanup(self.patch(&json!({ "op": "add", "value": self.probe })));
    }
}

/// A process that is stopped (SIGSTOP) until this is dropped.
struct Paused(Pid);

impl Paused {
    fn agent(cluster: &Session, node: &str) -> Self {
        let pid = pid_of(cluster, &["/node-agent", &format!("--node-name={node}")]);
        let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Paused(pid)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        expect_cleanup(kill_process(self.0, Signal::CONT));
    }
}

/// What the API server does with a forged report.
enum Outcome {
    Taken,
    Refused(&'static str),
}
use Outcome::{Refused, Taken};

fn report(fields: Value) -> Value {
    let mut report = json!({ "agentVersion": "0.1.0", "directory": "/d", "fileCount": 0, "files": {} });
    report.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    report
}

fn problem(name: &str, message: &str) -> Value {
    json!({ "name": name, "state": "Failed", "reason": "Lie", "message": message })
}

/// Forged reports; some contain `hash`, which is the right one of `witness`.
fn forged_reports(hash: &str) -> Vec<(&'static str, Value, Outcome)> {
    let names = |count: usize| -> Value {
        (0..count).map(|n| (format!("p{n}"), json!(hash))).collect::<serde_json::Map<_, _>>().into()
    };
    let files = |files: Value| report(json!({ "files": files }));
    let problems = |problems: Vec<Value>| report(json!({ "problems": problems }));
    vec![
        ("a text", json!("all is well"), Refused("must be of type object")),
        ("a list", json!([report(json!({}))]), Refused("must be of type object")),
        ("a number", json!(7), Refused("must be of type object")),
        ("an empty object", json!({}), Refused("Required value")),
        ("files as a list", files(json!(["witness"])), Refused("must be of type object")),
        ("a hash that is a number", files(json!({ "witness": 7 })), Refused("must be of type string")),
        ("a hash that is null", files(json!({ "witness": null })), Taken),
        ("a hash that is too long", files(json!({ "witness": "0".repeat(33) })), Refused("32")),
        ("10,001 files", files(names(10_001)), Refused("at most 10000")),
        ("101 problems", problems(vec![problem("witness", "m"); 101]), Refused("at most 100")),
        (
            "a state that is not a word",
            report(
                json!({ "problems": [{ "name": "witness", "state": "all fine", "reason": "", "message": "" }] }),
            ),
            Refused("should match"),
        ),
        (
            "a state that no release has",
            report(
                json!({ "problems": [{ "name": "witness", "state": "Fine", "reason": "", "message": "" }] }),
            ),
            Taken,
        ),
        (
            "a problem without a name",
            report(json!({ "problems": [{ "state": "Failed", "reason": "", "message": "" }] })),
            Refused("Required value"),
        ),
        (
            "a message that is too long",
            problems(vec![problem("witness", &"m".repeat(1025))]),
            Refused("1024"),
        ),
        ("a count that is a text", report(json!({ "fileCount": "1" })), Refused("must be of type integer")),
        ("a version that is too long", report(json!({ "agentVersion": "v".repeat(65) })), Refused("64")),
        (
            "2 MB",
            files(
                (0..7000)
                    .map(|n| (format!("{n:0>253}"), json!(hash)))
                    .collect::<serde_json::Map<_, _>>()
                    .into(),
            ),
            Refused("too large"),
        ),
        ("null", Value::Null, Taken),
        ("no files", report(json!({})), Taken),
        ("a count below nothing", report(json!({ "fileCount": -1 })), Taken),
        ("a count beyond all sense", report(json!({ "fileCount": i32::MAX })), Taken),
        ("a wrong hash", files(json!({ "witness": "0".repeat(32) })), Taken),
        ("a hash that is none", files(json!({ "witness": "not a hash" })), Taken),
        ("an empty hash", files(json!({ "witness": "" })), Taken),
        ("the right hash in capitals", files(json!({ "witness": hash.to_uppercase() })), Taken),
        ("the right hash cut short", files(json!({ "witness": &hash[..31] })), Taken),
        ("10,000 files that there are not", files(names(10_000)), Taken),
        (
            "names that no profile has",
            files(json!({ "../../etc/passwd": hash, "": hash, "A B\n\u{0}": hash, "é": hash })),
            Taken,
        ),
        ("a name of 100,000 characters", files(json!({ "n".repeat(100_000): hash })), Taken),
        ("a field that there is not", report(json!({ "nodes": ["node-2"], "ready": "2/2" })), Taken),
        (
            "a hundred problems with one name",
            problems((0..100).map(|n| problem("witness", &n.to_string())).collect()),
            Taken,
        ),
        (
            "problems of profiles that there are not",
            problems((0..100).map(|n| problem(&format!("p{n}"), "m")).collect()),
            Taken,
        ),
        (
            "problems with names that no profile has",
            problems(vec![problem("../etc", "m"), problem("", "m")]),
            Taken,
        ),
        (
            "a message in control characters",
            problems(vec![problem("witness", "\u{1b}[2J\n\r\u{0}\u{202e}")]),
            Taken,
        ),
        (
            "a message as long as may be, four bytes a letter",
            problems(vec![problem("witness", &"🦀".repeat(1024))]),
            Taken,
        ),
        (
            "files and problems that contradict each other",
            report(
                json!({ "files": { "witness": hash }, "problems": [problem("witness", "m")], "fileCount": 9 }),
            ),
            Taken,
        ),
    ]
}

/// The name, the uid and the restarts of every operator.
fn operators(cluster: &Session) -> Vec<String> {
    let selector = "--selector=app.kubernetes.io/component=operator";
    let pods = cluster.json(["-n", "seccomp-profile", "get", "pods", selector]);
    let pods = pods["items"].as_array().unwrap().iter();
    let line = |pod: &Value| {
        format!("{} {}", pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
    };
    pods.map(line).collect()
}

/// The most writes of the operator during the test, in which reports change the counts of two profiles more than two
/// hundred times, beside those of counts.
const MAX_WRITES: usize = 80;
/// How many profiles the test has.
const PROFILES: u64 = 2;
/// How often the counts of a profile are written at most.
const COUNTS_EVERY: Duration = Duration::from_secs(5);

#[test]
fn a_malicious_agent_affects_the_counts_of_its_own_node_only() {
    let cluster = alone();
    let _unprobed = Unprobed::agents(&cluster);
    let witness = cluster.profile("witness", &allow_all(0));
    let moving = cluster.profile("moving", &allow_all(1));
    let hash = witness.wait_ready().content_hash().trim_start_matches("sha256:")[..32].to_owned();
    moving.wait_ready();
    let operators_before = operators(&cluster);
    let other_before = cluster.json(["get", "nodeprofilestatus", "node-2"])["status"]["conditions"].take();
    let holder =
        TokenHolder::new(&cluster, &token_of_program(&cluster, &["/node-agent", "--node-name=node-1"]));
    let (log, begun) = (Log::from_now(&cluster), Instant::now());

    let paused = Paused::agent(&cluster, "node-1");
    let write = |report: &Value| {
        // The whole status, because a merge patch would keep earlier fields.
        let patch = json!([{ "op": "add", "path": "/status/report", "value": report }]);
        holder.send(RawRequest {
            method: "PATCH",
            content_type: "application/json-patch+json",
            body: patch.to_string().into(),
            ..RawRequest::get(&format!("{API_PATH}/nodeprofilestatuses/node-1/status"))
        })
    };
    let mut slowest = Duration::ZERO;
    let forged_reports = forged_reports(&hash);
    for (number, (what, forged, fate)) in forged_reports.iter().enumerate() {
        let answer = write(forged);
        match fate {
            Taken => assert_eq!(answer.code, 200, "{what}: {answer}"),
            Refused(says) => {
                assert!(
                    answer.code >= 400 && answer.message.contains(says),
                    "{what}: {answer}\nshould say {says}"
                );
                continue;
            }
        }
        let start = Instant::now();
        moving.update(&allow_all(100 + number));
        let reconciled =
            moving.until(&format!("being reconciled in spite of {what}"), RECONCILE_LIMIT, |view| {
                let status = &view.json()["status"];
                status["observedGeneration"] == view.json()["metadata"]["generation"]
                    && view.canonical().is_ok_and(|bytes| status["contentHash"] == bytes.hash().to_string())
            });
        slowest = slowest.max(start.elapsed());
        for view in [reconciled, witness.view()] {
            let failures = view.json()["status"]["failures"].as_array().cloned().unwrap_or_default();
            assert!(failures.iter().all(|failure| failure["node"] == "node-1"), "{what}: {failures:?}");
            assert_eq!(view.count("desired"), Some(2), "{what}");
        }
        let still_held = witness.view().count("ready").unwrap();
        assert!(still_held >= 1, "{what}: node-2 holds it all the same");
    }

    // A forged report that the operator cannot recognise.
    let answer = write(&report(json!({ "problems": [problem("witness", "\u{1b}[2J all nodes are lost")] })));
    assert_eq!(answer.code, 200, "{answer}");
    let failed = witness.until("being failed on node-1 alone", LIMIT, |view| {
        (view.count("failed"), view.count("ready")) == (Some(1), Some(1))
    });
    assert_eq!(failed.json()["status"]["failures"].as_array().unwrap().len(), 1);
    moving.until("being held by node-2 alone", LIMIT, |view| view.count("ready") == Some(1));

    // Two reports in turn, as fast as possible.
    let (has, has_not) = (report(json!({ "files": { "witness": hash } })), report(json!({})));
    for turn in 0..200 {
        let answer = write(if turn % 2 == 0 { &has } else { &has_not });
        assert_eq!(answer.code, 200, "{answer}");
    }
    let start = Instant::now();
    moving.update(&allow_all(99));
    moving.until("being reconciled after a node changed its report 200 times", RECONCILE_LIMIT, |view| {
        view.json()["status"]["observedGeneration"] == view.json()["metadata"]["generation"]
    });
    slowest = slowest.max(start.elapsed());
    assert_eq!(operators(&cluster), operators_before, "the same operators, none started again");
    let other = cluster.json(["get", "nodeprofilestatus", "node-2"])["status"]["conditions"].take();
    assert_eq!(other, other_before, "node-2 is what it was");

    drop(paused);
    witness.wait_ready();
    moving.wait_ready();
    let writes = log.writes().into_iter().filter(|write| write.account == "seccomp-profile-operator").count();
    let of_counts = PROFILES * (begun.elapsed().as_secs() / COUNTS_EVERY.as_secs());
    let most = MAX_WRITES + usize::try_from(of_counts).unwrap();
    assert!(writes <= most, "{writes} writes by the operator, and {most} at most");
    print_line(&format!(
        "{} forged reports and 200 changes of a report: a profile reconciled within {:.2} s throughout, {writes} writes by the operator",
        forged_reports.len(),
        slowest.as_secs_f64()
    ));
}
