//! Profiles that name a listener: an agent answers a container's calls, an error is reported if none listens, and no
//! node has such a file if the chart does not allow listeners.

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
    AppliedProfile, LIMIT, Pod, Session, allow_all, alone, bytes_of, expect_cleanup, object, output,
    pod_under, print_line, text, until,
};

/// In a directory that each node of the local cluster has separately, volatile like `/run` on a machine.
pub(crate) const SOCKET: &str = "/run/containerd/seccomp-agent.sock";
/// The agent's answer to every call: ENOMEDIUM, which mkdir(2) never returns.
const ERRNO: &str = "123";
const ANSWERED: &str = "No medium found";
const UNANSWERED: &str = "Function not implemented";
/// runc's message when no agent listens.
const NO_LISTENER_ERROR: &str = "failed to connect with seccomp agent specified in the seccomp profile";
const REASON: &str = "ListenersDisabled";

/// A profile whose listener gets the calls that create directories.
pub(crate) fn contents(socket: &str) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": socket,
        "listenerMetadata": "team-a",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
    })
}

/// A seccomp agent on a node. It is killed when this is dropped; its socket stays.
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

    /// The states that runtimes have sent to it.
    fn received(&self) -> Vec<Value> {
        let printed = fs::read_to_string(self.directory.path().join("printed")).unwrap();
        printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        expect_cleanup(self.child.kill());
        expect_cleanup(self.child.wait().map(drop));
    }
}

/// Installs the chart with or without listeners, and waits until it is rolled out.
fn install(cluster: &Session, listeners: bool) {
    let chart = repository().join("charts").join(NAMESPACE);
    let value = format!("--set=listeners.enabled={listeners}");
    cluster.client().install_chart(&chart, &[&value]).unwrap_or_else(|error| panic!("{error}"));
    cluster.wait_rolled_out();
}

fn dry_run(cluster: &Session, contents: &Value) -> Result<String, String> {
    let object = object("dry-run", contents).to_string();
    output(cluster.kubectl_input(["create", "--dry-run=server", "-f", "-"], &object))
}

/// A pod on this node that tries to create a directory again and again, and prints the result.
fn pod<'a>(cluster: &'a Session, node: &Node, name: &str) -> Pod<'a> {
    let mut pod = pod_under(name, "listening", "trap exit TERM; while sleep 0.2; do mkdir /tmp/new; done");
    pod["spec"]["nodeName"] = node.name().into();
    cluster.pod(&pod)
}

/// Waits until the start of the pod's container has failed, and returns the message.
fn wait_failed(cluster: &Session, pod: &Pod<'_>) -> String {
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

/// Waits until this is the pod's last result.
fn wait_answered(cluster: &Session, pod: &Pod<'_>, answer: &str) {
    until(&format!("{} being answered {answer:?}", pod.name), LIMIT, || {
        let logs = cluster.kubectl(["logs", "--tail=1", &pod.name]).ok()?;
        logs.contains(answer).then_some(())
    });
}

/// Checks that no node has a file, or each the right one.
fn on_every_disk(profile: &AppliedProfile<'_>, contents: Option<&Value>) {
    let wanted = contents.map(bytes_of);
    for (node, found) in profile.on_disks() {
        assert_eq!(text(&found), text(&wanted), "{} on {node}", profile.name);
    }
}

/// Waits until the nodes report that they refuse it, and checks that the status shows it.
fn wait_refused_by_agents(profile: &AppliedProfile<'_>) {
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
    // By default listeners are not allowed. A policy that has just been restored is not in force at once.
    until("a listener being refused", LIMIT, || dry_run(&cluster, &contents).is_err().then_some(()));
    let refusal = cluster.try_apply(&object("listening", &contents)).unwrap_err();
    assert!(refusal.contains("listeners.enabled"), "{refusal}");

    let _reinstall = Reinstall(&cluster);
    install(&cluster, true);
    until("a listener being admitted", LIMIT, || dry_run(&cluster, &contents).is_ok().then_some(()));
    let profile = cluster.profile("listening", &contents);
    profile.wait_ready();
    let nodes = cluster.node_list();
    let node = &nodes[0];

    let unheard = pod(&cluster, node, "nobody-listens");
    let seen = wait_failed(&cluster, &unheard);
    print_line(&format!("where nobody listens, the container is shown as {seen}"));
    assert!(seen.contains(NO_LISTENER_ERROR) && seen.contains(SOCKET), "{seen}");
    drop(unheard);

    let agent = Agent::on(node);
    let asking = pod(&cluster, node, "asking");
    asking.wait_running();
    wait_answered(&cluster, &asking, ANSWERED);
    let received = agent.received();
    print_line(&format!("the agent received {:#}", received[0]));
    assert_eq!((received.len(), &received[0]["metadata"]), (1, &json!("team-a")));
    assert_eq!(received[0]["fds"], json!(["seccompFd"]));
    assert_eq!(received[0]["state"]["annotations"]["io.kubernetes.cri.sandbox-name"], "asking");
    // A process that is started in the container later has the filter too, and its own descriptor.
    let exec = ["exec", "asking", "--", "mkdir", "/tmp/by-exec"];
    let answer = output(cluster.kubectl(exec)).unwrap_err();
    assert!(answer.contains(ANSWERED), "{answer}");
    assert_eq!(agent.received().len(), 2);

    drop(agent);
    wait_answered(&cluster, &asking, UNANSWERED);
    let without = output(cluster.kubectl(["exec", "asking", "--", "true"])).unwrap_err();
    print_line(&format!("without a listener, the error of exec is {without}"));
    assert!(without.contains(NO_LISTENER_ERROR), "{without}");
    drop(asking);

    check_turned_off(&cluster, &profile, &contents);
}

/// Files and objects stay; the objects' metadata can be edited, and they can be corrected and deleted.
fn check_turned_off(cluster: &Session, profile: &AppliedProfile<'_>, contents: &Value) {
    install(cluster, false);
    until("a listener being refused", LIMIT, || dry_run(cluster, contents).is_err().then_some(()));
    // The files have the right bytes, so the profile stays Ready; the agents report that they no longer maintain it.
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
    Reader::of(cluster).check_page(&mut Page::read("docs/how-to/seccomp-agent.md"), |_| true);
    let other = json!({ "spec": { "contents": { "listenerMetadata": "team-b" } } }).to_string();
    let patch = ["patch", "seccompprofile", "listening", "--type=merge", "--patch", &other];
    let refusal = output(cluster.kubectl(patch)).unwrap_err();
    assert!(refusal.contains("listeners.enabled"), "{refusal}");
    profile.update(&allow_all(0));
    profile.wait_ready();
}

#[test]
fn without_the_policy_too_no_node_gets_the_file_of_a_listener() {
    let cluster = alone();
    let contents = contents(SOCKET);
    let _reinstall = Reinstall(&cluster);
    let binding = "validatingadmissionpolicybinding/seccomp-profile-listeners";
    cluster.ok(["delete", binding]);
    until("a listener being admitted", LIMIT, || dry_run(&cluster, &contents).is_ok().then_some(()));
    let profile = cluster.profile("slipped-in", &contents);
    wait_refused_by_agents(&profile);
    on_every_disk(&profile, None);
    profile.begin_deletion();
    profile.wait_gone(LIMIT);
}
