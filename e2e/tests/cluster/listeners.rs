//! Profiles that name a listener: who answers for a container, what is seen where nobody does, and that there are none
//! where the chart admits none.

use std::fs::{self, File};
use std::process::Child;

use cluster::{NAMESPACE, Node};
use e2e::seccomp_agent;
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::workspace::repository;

use super::documented::Reader;
use super::pages::Page;
use super::removal::Reinstall;
use super::support::{
    Applied, LIMIT, Pod, Session, alone, bytes_of, complain, harmless, object, pod_under, said, say, text,
    until,
};

/// In a directory that each node of the local cluster has for itself. It is volatile there, as `/run` is on a machine.
pub(crate) const SOCKET: &str = "/run/containerd/seccomp-agent.sock";
/// What the agent answers to every call: ENOMEDIUM, which mkdir(2) never gives.
const ERRNO: &str = "123";
const ANSWERED: &str = "No medium found";
const UNANSWERED: &str = "Function not implemented";
/// What runc says where nobody listens.
const NOBODY: &str = "failed to connect with seccomp agent specified in the seccomp profile";
const REASON: &str = "ListenersDisabled";

/// A profile whose listener is asked about new directories.
pub(crate) fn contents(socket: &str) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": socket,
        "listenerMetadata": "team-a",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
    })
}

/// A seccomp agent on a node, until this is dropped: then it is killed, and its socket stays.
struct Agent {
    child: Child,
    directory: TempDir,
}

impl Agent {
    fn on(node: &Node) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = seccomp_agent::build(directory.path()).unwrap_or_else(|error| panic!("{error}"));
        let mut command = node.command(&[program.to_str().unwrap(), SOCKET, ERRNO]).unwrap();
        let printed = File::create(directory.path().join("printed")).unwrap();
        let agent = Agent { child: command.stdout(printed).spawn().unwrap(), directory };
        until("the seccomp agent listening", LIMIT, || node.run(&["test", "-S", SOCKET]).ok());
        agent
    }

    /// What runtimes have told it.
    fn told(&self) -> Vec<Value> {
        let printed = fs::read_to_string(self.directory.path().join("printed")).unwrap();
        printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        complain(self.child.kill());
        complain(self.child.wait().map(drop));
    }
}

/// The chart with or without listeners, rolled out.
fn install(cluster: &Session, listeners: bool) {
    let chart = repository().join("charts").join(NAMESPACE);
    let value = format!("--set=listeners.enabled={listeners}");
    cluster.client().install_chart(&chart, &[&value]).unwrap_or_else(|error| panic!("{error}"));
    cluster.rolled_out();
}

fn dry_run(cluster: &Session, contents: &Value) -> Result<String, String> {
    let object = object("dry-run", contents).to_string();
    said(cluster.kubectl_input(["create", "--dry-run=server", "-f", "-"], &object))
}

/// A pod on this node that tries to make a directory again and again, and says what it is answered.
fn pod<'a>(cluster: &'a Session, node: &Node, name: &str) -> Pod<'a> {
    let mut pod = pod_under(name, "listening", "trap exit TERM; while sleep 0.2; do mkdir /tmp/new; done");
    pod["spec"]["nodeName"] = node.name().into();
    cluster.pod(&pod)
}

/// Waits until the pod's container has not started, and returns what is said of it.
fn failed(cluster: &Session, pod: &Pod<'_>) -> String {
    until(&format!("{} failing to start", pod.name), LIMIT, || {
        let pod = cluster.json(["get", "pod", &pod.name]);
        let status = &pod["status"]["containerStatuses"][0];
        let state = ["/state/waiting", "/state/terminated", "/lastState/terminated"];
        let found = state.iter().filter_map(|state| status.pointer(state));
        let mut said = found.filter_map(|state| {
            Some(format!("{}: {}", state["reason"].as_str()?, state["message"].as_str()?))
        });
        said.find(|said| said.contains("runc"))
    })
}

/// Waits until the last thing that the pod was answered is this.
fn answered(cluster: &Session, pod: &Pod<'_>, answer: &str) {
    until(&format!("{} being answered {answer:?}", pod.name), LIMIT, || {
        let logs = cluster.kubectl(["logs", "--tail=1", &pod.name]).ok()?;
        logs.contains(answer).then_some(())
    });
}

/// No node has a file, or each the right one.
fn on_every_disk(profile: &Applied<'_>, contents: Option<&Value>) {
    let wanted = contents.map(bytes_of);
    for (node, found) in profile.on_disks() {
        assert_eq!(text(&found), text(&wanted), "{} on {node}", profile.name);
    }
}

/// Waits until the nodes say that they make no file of it, and checks that the status shows it.
fn refused_by_agents(profile: &Applied<'_>) {
    let nodes = profile.on_disks().len();
    let view = profile.until("being refused by every agent", LIMIT, |view| {
        view.json()["status"]["nodes"]["failed"] == json!(nodes)
    });
    let status = &view.json()["status"];
    assert_eq!(status["state"], "Failed", "{status:#}");
    assert_eq!(view.condition("Ready").unwrap()["status"], "False", "{status:#}");
    for failure in status["failures"].as_array().unwrap() {
        assert_eq!(failure["reason"], REASON, "{status:#}");
        assert!(failure["message"].as_str().unwrap().contains(SOCKET), "{status:#}");
    }
}

#[test]
fn where_the_chart_admits_listeners_a_seccomp_agent_answers_for_containers() {
    let cluster = alone();
    let contents = contents(SOCKET);
    // By default it admits none. A policy that was put back a moment ago is not in force at once.
    until("a listener being refused", LIMIT, || dry_run(&cluster, &contents).is_err().then_some(()));
    let refusal = cluster.try_apply(&object("listening", &contents)).unwrap_err();
    assert!(refusal.contains("listeners.enabled"), "{refusal}");

    let _reinstall = Reinstall(&cluster);
    install(&cluster, true);
    until("a listener being admitted", LIMIT, || dry_run(&cluster, &contents).is_ok().then_some(()));
    let profile = cluster.profile("listening", &contents);
    profile.ready();
    let nodes = cluster.disks();
    let node = &nodes[0];

    let unheard = pod(&cluster, node, "nobody-listens");
    let seen = failed(&cluster, &unheard);
    say(&format!("where nobody listens, the container is shown as {seen}"));
    assert!(seen.contains(NOBODY) && seen.contains(SOCKET), "{seen}");
    drop(unheard);

    let agent = Agent::on(node);
    let asking = pod(&cluster, node, "asking");
    asking.running();
    answered(&cluster, &asking, ANSWERED);
    let told = agent.told();
    say(&format!("the agent was told {:#}", told[0]));
    assert_eq!((told.len(), &told[0]["metadata"]), (1, &json!("team-a")));
    assert_eq!(told[0]["fds"], json!(["seccompFd"]));
    assert_eq!(told[0]["state"]["annotations"]["io.kubernetes.cri.sandbox-name"], "asking");
    // What is started in the container later has the filter too, and a descriptor of its own.
    let exec = ["exec", "asking", "--", "mkdir", "/tmp/by-exec"];
    let answer = said(cluster.kubectl(exec)).unwrap_err();
    assert!(answer.contains(ANSWERED), "{answer}");
    assert_eq!(agent.told().len(), 2);

    drop(agent);
    answered(&cluster, &asking, UNANSWERED);
    let without = said(cluster.kubectl(["exec", "asking", "--", "true"])).unwrap_err();
    say(&format!("where nobody listens any more, exec says {without}"));
    assert!(without.contains(NOBODY), "{without}");
    drop(asking);

    turned_off(&cluster, &profile, &contents);
}

/// Files stay, and so do the objects: they can be edited elsewhere than in what they say, mended and deleted.
fn turned_off(cluster: &Session, profile: &Applied<'_>, contents: &Value) {
    install(cluster, false);
    until("a listener being refused", LIMIT, || dry_run(cluster, contents).is_err().then_some(()));
    // The bytes that lie there are the right ones, so the profile stays Ready; the agents say that they keep it no more.
    until("every agent saying that it keeps the file no more", LIMIT, || {
        let reports = cluster.json(["get", "nodeprofilestatuses"]);
        let of_it = |problem: &Value| problem["name"] == "listening" && problem["reason"] == REASON;
        let says = |report: &Value| {
            report["status"]["report"]["problems"].as_array().is_some_and(|all| all.iter().any(of_it))
        };
        reports["items"].as_array()?.iter().all(says).then_some(())
    });
    on_every_disk(profile, Some(contents));
    cluster.ok(["label", "seccompprofile", "listening", "team=a"]);
    Reader::of(cluster).follows(&mut Page::read("docs/how-to/seccomp-agent.md"), |_| true);
    let other = json!({ "spec": { "contents": { "listenerMetadata": "team-b" } } }).to_string();
    let patch = ["patch", "seccompprofile", "listening", "--type=merge", "--patch", &other];
    let refusal = said(cluster.kubectl(patch)).unwrap_err();
    assert!(refusal.contains("listeners.enabled"), "{refusal}");
    profile.update(&harmless(0));
    profile.ready();
}

#[test]
fn a_listener_that_no_policy_refused_comes_to_no_node() {
    let cluster = alone();
    let contents = contents(SOCKET);
    let _reinstall = Reinstall(&cluster);
    let binding = "validatingadmissionpolicybinding/seccomp-profile-listeners";
    cluster.ok(["delete", binding]);
    until("a listener being admitted", LIMIT, || dry_run(&cluster, &contents).is_ok().then_some(()));
    let profile = cluster.profile("slipped-in", &contents);
    refused_by_agents(&profile);
    on_every_disk(&profile, None);
    profile.begin_deletion();
    profile.gone(LIMIT);
}
