//! The observer on a real cluster. The nodes of the local cluster have network namespaces of their own, to which the kernel
//! sends no audit records, and the observer says so. What it would report is tested with a second process in its pod: of the
//! same image, user, file capability, token and mounts, and in the machine's first network namespace.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cluster::{NAMESPACE, Node};
use e2e::kernel_records;
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::workspace::repository;

use super::plugin::Person;
use super::removal::Reinstall;
use super::stolen_token::pid_of;
use super::support::{LIMIT, Session, alone, expect_cleanup, print_line, until};

/// How soon a refused call must be shown: the observer writes at most every 30 s.
const SHOWN: Duration = Duration::from_secs(35);
/// The observer's user, in the chart and the image.
const USER: &str = "65530";
/// The namespaces, and how long a process of the pods there stays after its call, as the probe takes it: for a quarter of a
/// second, and for 5 ms.
const SPACES: [(&str, &str); 2] = [("observed-1", "2"), ("observed-2", "8")];
/// How many pods each namespace has.
const PODS: usize = 10;
/// How often each pod makes each call.
const TIMES: i64 = 5;
/// The calls, with their numbers in hexadecimal. Neither runc nor the probe makes them under the filter.
const CALLS: [(&str, &str); 12] = [
    ("getpgrp", "6f"),
    ("sync", "a2"),
    ("getpriority", "8c"),
    ("mkdir", "53"),
    ("sethostname", "aa"),
    ("acct", "a3"),
    ("swapoff", "a8"),
    ("personality", "87"),
    ("getsid", "7c"),
    ("link", "56"),
    ("rename", "52"),
    ("truncate", "4c"),
];

/// The chart with an observer on one node; it is installed without when this is dropped.
pub(crate) struct Installed<'a> {
    cluster: &'a Session,
    pub(crate) node: Node,
    _again: Reinstall<'a>,
}

impl<'a> Installed<'a> {
    pub(crate) fn on_first_node(cluster: &'a Session) -> Self {
        let node = cluster.node_list().swap_remove(0);
        let selector = format!("--set=observer.nodeSelector.kubernetes\\.io/hostname={}", node.name());
        let installed = Installed { cluster, node, _again: Reinstall(cluster) };
        let chart = repository().join("charts").join(NAMESPACE);
        let values = ["--set=observer.enabled=true", &selector];
        cluster.client().install_chart(&chart, &values).unwrap_or_else(|error| panic!("{error}"));
        installed
    }

    /// The node's report, if there is one.
    fn report(&self) -> Option<Value> {
        let name = self.node.name();
        let shown = self.cluster.ok(["get", "seccompobservation", &name, "-o", "json", "--ignore-not-found"]);
        let object: Value = serde_json::from_str(&shown).ok()?;
        Some(object["status"]["report"].clone()).filter(|report| !report.is_null())
    }

    /// Waits until the observer says that it is in this state.
    pub(crate) fn wait_state(&self, state: &str) -> Value {
        until(&format!("the observer being {state}"), SHOWN, || {
            self.report().filter(|report| report["state"] == state)
        })
    }

    fn count(&self, field: &str) -> i64 {
        self.report().and_then(|report| report[field].as_i64()).unwrap_or_default()
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "seccompobservations", "--all", "--timeout=60s"];
        expect_cleanup(self.cluster.kubectl(delete).map(drop));
    }
}

/// Runs a program until its standard input ends, and kills it then. The kernel's own way (`setpriv --pdeathsig`) is without
/// effect here: it forgets that signal when the user changes, and when a program whose file has a capability begins.
const UNTIL_INPUT_ENDS: &str = r#""$@" </dev/null & read -r _; kill -KILL $! && { wait $!; } 2>/dev/null"#;

/// An observer in the machine's first network namespace. It ends when this is dropped, and with the process of this test,
/// also if that is killed.
pub(crate) struct InFirstNamespace(Child);

impl InFirstNamespace {
    pub(crate) fn beside_the_one_of(installed: &Installed<'_>) -> Self {
        let Installed { cluster, node, .. } = installed;
        let name = format!("--node-name={}", node.name());
        let admin = cluster.json(["config", "view", "--raw", "--minify"]);
        let server = admin["clusters"][0]["cluster"]["server"].as_str().unwrap();
        let (host, port) = server.strip_prefix("https://").unwrap().rsplit_once(':').unwrap();
        // In the container's mount namespace, so that the file's capability counts, and what it may read is the same. The
        // network namespace is that of this test, in which the cluster is started, too.
        let target = format!("--target={}", pid_of(cluster, &["/observer", &name]));
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_INPUT_ENDS, "sh", "/usr/bin/env", "-i"]);
        // What the kubelet gives a pod, but for the address: the service's is none in this namespace.
        command.arg(format!("KUBERNETES_SERVICE_HOST={host}")).arg(format!("KUBERNETES_SERVICE_PORT={port}"));
        command.args(["/usr/bin/nsenter", &target, "--mount", "--setuid", USER, "--setgid", USER]);
        // It says which calls are of unknown containers.
        command.args(["/observer", &name, "--listen=127.0.0.1:0", "--log-level=info,observer=debug"]);
        Self(command.stdin(Stdio::piped()).spawn().unwrap())
    }
}

impl InFirstNamespace {
    /// Whether it has its socket for the kernel's audit records, which has the process's number.
    fn receives(&self) -> bool {
        const NETLINK_AUDIT: &str = "9";
        let shell = self.0.id();
        let child = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap_or_default();
        let sockets = fs::read_to_string("/proc/net/netlink").unwrap();
        let mut sockets = sockets.lines().map(|line| line.split_whitespace().skip(1).take(2));
        !child.trim().is_empty() && sockets.any(|it| it.eq([NETLINK_AUDIT, child.trim()]))
    }
}

impl Drop for InFirstNamespace {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        expect_cleanup(self.0.wait().map(drop));
    }
}

/// The namespaces of the pods; they go with all that is in them when this is dropped.
struct Namespaces<'a>(&'a Session);

impl<'a> Namespaces<'a> {
    fn create(cluster: &'a Session) -> Self {
        let created = Self(cluster);
        for (space, _) in SPACES {
            cluster.ok(["create", "namespace", space]);
            // A pod cannot be created before its account.
            until("the namespace's account", LIMIT, || {
                cluster.kubectl(["-n", space, "get", "serviceaccount", "default"]).ok()
            });
        }
        created
    }
}

impl Drop for Namespaces<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", "--ignore-not-found", "--timeout=120s"];
        expect_cleanup(self.0.kubectl(delete.into_iter().chain(SPACES.map(|(space, _)| space))).map(drop));
    }
}

/// A file in the kubelet's directory that is not ours, removed when this is dropped.
struct Foreign(PathBuf);

impl Drop for Foreign {
    fn drop(&mut self) {
        expect_cleanup(fs::remove_file(&self.0));
    }
}

/// The program of the pods, in a directory that the nodes see.
fn probe() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes/probe.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-mno-red-zone"]);
    compiler.arg("-o").arg(directory.path().join("probe")).arg(source);
    assert!(compiler.status().unwrap().success(), "a C compiler is needed");
    directory
}

/// Refuses the calls. The kernel makes records of them only because of the report.
fn contents() -> Value {
    let names: Vec<_> = CALLS.iter().map(|(name, _)| *name).collect();
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ERRNO" }],
    })
}

/// In the directory of the probe: pods begin when it is there.
const BEGIN: &str = "begin";

/// A pod that makes the calls, each in a process of its own that stays for so long. It begins when the others have started,
/// too: twenty containers that start at once leave no processor to the observer.
fn pod((space, stay): (&str, &str), name: &str, path: &str, node: &Node, probe: &Path) -> Value {
    let calls = CALLS.map(|(_, number)| format!("{stay}:{number}:0:0:0:0:0:0")).join(" ");
    // The probe exits with 42, too.
    let script = format!(
        "until [ -e /probe/{BEGIN} ]; do sleep 1; done
         for i in $(seq {TIMES}); do /probe/probe {calls}; sleep 1; done; exit 42"
    );
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": space },
        "spec": {
            "restartPolicy": "Never", "nodeName": node.name(), "automountServiceAccountToken": false,
            "containers": [{
                "name": "probe", "image": "docker.io/library/busybox:latest", "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script],
                "volumeMounts": [{ "name": "probe", "mountPath": "/probe", "readOnly": true }],
                // runc then loads the filter last.
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "seccompProfile": { "type": "Localhost", "localhostProfile": path },
                },
            }],
            "volumes": [{ "name": "probe", "hostPath": { "path": probe, "type": "Directory" } }],
        },
    })
}

/// Creates the pods, lets them begin when all have started, and waits until all have ended.
fn run(cluster: &Session, pods: &[Value], probe: &Path) {
    let begin = probe.join(BEGIN);
    _ = fs::remove_file(&begin);
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": pods });
    cluster.try_apply(&list).unwrap_or_else(|error| panic!("{error}"));
    let states = || -> Vec<Value> {
        let all = SPACES.iter().map(|(space, _)| cluster.json(["-n", space, "get", "pods"]));
        let items = all.flat_map(|pods| pods["items"].as_array().unwrap().clone());
        items.map(|pod| pod["status"]["containerStatuses"][0]["state"].clone()).collect()
    };
    until("the pods having started", 3 * LIMIT, || {
        let started = states().into_iter().filter(|state| state["waiting"].is_null() && !state.is_null());
        (started.count() == pods.len()).then_some(())
    });
    fs::write(begin, "").unwrap();
    until("the pods having ended", 6 * LIMIT, || {
        let ended = states().into_iter().filter_map(|state| state["terminated"]["exitCode"].as_i64());
        let codes: Vec<_> = ended.collect();
        assert!(codes.iter().all(|code| *code == 42), "{codes:?}");
        (codes.len() == pods.len()).then_some(())
    });
}

/// What the plugin answers as JSON: thousands of lines, which are printed only if it fails.
fn asked(person: &Person<'_>, arguments: &[&str]) -> Value {
    let Output { status, stdout, stderr } = person.command(arguments).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "kubectl seccomp {arguments:?}: {status}\n{stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

/// How often each call of each pod is shown.
fn shown(view: &Value) -> BTreeMap<(String, String, String), i64> {
    let mut counts = BTreeMap::new();
    for denial in view["denials"].as_array().unwrap() {
        let text = |field: &str| denial[field].as_str().unwrap().to_owned();
        assert_eq!(
            (
                denial["profile"].as_str(),
                text("kind"),
                text("container"),
                text("action"),
                text("architecture")
            ),
            (
                Some("observed"),
                "Pod".to_owned(),
                "probe".to_owned(),
                "SCMP_ACT_ERRNO".to_owned(),
                "x86_64".to_owned()
            ),
            "{denial}"
        );
        let count = denial["count"].as_i64().unwrap();
        assert_eq!(counts.insert((text("namespace"), text("name"), text("call")), count), None, "{denial}");
    }
    counts
}

#[test]
fn the_refused_calls_of_twenty_pods_are_shown_with_pod_container_and_name_and_those_of_others_are_not_ours() {
    let cluster = alone();
    let installed = Installed::on_first_node(&cluster);
    // It has started, has the capability, and may write its report; only the network namespace is another.
    let blind = installed.wait_state("Blind");
    assert_eq!(blind["reason"], "OtherNetworkNamespace", "{blind}");
    let observer = InFirstNamespace::beside_the_one_of(&installed);
    installed.wait_state("Observing");

    let applied = cluster.existing("observed");
    let profile = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile", "metadata": { "name": "observed" },
        "spec": { "report": true, "contents": contents() },
    });
    cluster.try_apply(&profile).unwrap();
    applied.wait_ready();
    // The same filter in a file that is not ours.
    let ours = fs::read(applied.path(&installed.node)).unwrap();
    let foreign = Foreign(installed.node.seccomp_dir().join("foreign.json"));
    fs::write(&foreign.0, ours).unwrap();

    // The plugin is built before the time runs.
    let viewer = Person::with(&cluster, "denials-viewer", &["view"]);
    viewer.run_plugin(0, &["denials"]);
    let (namespaces, probe) = (Namespaces::create(&cluster), probe());
    let records = kernel_records::alone().unwrap();
    let (unknown, lost) = (installed.count("unknown"), installed.count("lost"));
    let (node, path) = (&installed.node, probe.path());
    let pods = SPACES.iter().flat_map(|space| (0..PODS).map(move |number| (*space, format!("web-{number}"))));
    let mut pods: Vec<_> =
        pods.map(|(space, name)| pod(space, &name, "profiles/observed.json", node, path)).collect();
    pods.push(pod(SPACES[0], "foreign", "foreign.json", node, path));
    run(&cluster, &pods, path);
    let ended = Instant::now();

    let of_each = i64::try_from(PODS * CALLS.len()).unwrap() * TIMES;
    let made = 2 * of_each;
    // What is shown last is what was asked for within the limit, however long the answer takes.
    let counts = until("the calls being shown, or the limit", 2 * SHOWN, || {
        let is_last = ended.elapsed() + Duration::from_secs(1) > SHOWN;
        let counts = shown(&asked(&viewer, &["denials", "seccompprofile/observed", "-o", "json"]));
        (is_last || counts.values().sum::<i64>() == made).then_some(counts)
    });
    let all: i64 = counts.values().sum();
    let (unknown, lost) = (installed.count("unknown") - unknown, installed.count("lost") - lost);
    let of_space = |wanted: &str| -> i64 {
        counts.iter().filter(|((space, ..), _)| space == wanted).map(|(_, count)| count).sum()
    };
    let [quarter, short] = SPACES.map(|(space, _)| of_space(space));
    print_line(&format!(
        "of {of_each} calls of processes that live for a quarter of a second {quarter} are shown, of {of_each} of processes \
         that live for 5 ms {short}, {:.1} s after the last pod's end; unknown {unknown}, lost {lost}",
        ended.elapsed().as_secs_f64()
    ));
    // None with a wrong name: every row is one of those expected, and none has too many.
    for ((space, pod, call), count) in &counts {
        let is_pod = pod.strip_prefix("web-").and_then(|number| number.parse::<usize>().ok());
        assert!(
            SPACES.iter().any(|(it, _)| it == space) && is_pod.is_some_and(|number| number < PODS),
            "{space}/{pod}"
        );
        assert!(
            CALLS.iter().any(|(name, _)| name == call) && *count <= TIMES,
            "{space}/{pod} {call} {count}"
        );
    }
    assert!(quarter * 100 >= of_each * 99 && short * 100 >= of_each * 99, "{counts:?}");
    assert!(all + unknown + lost >= made, "the rest is neither unknown nor lost");

    // The other pod's calls are in the observation, and are no denials of ours unless somebody asks for the pod.
    let report = installed.report().unwrap();
    let is_foreign = |container: &Value| container["pod"] == "foreign";
    assert!(report["containers"].as_array().unwrap().iter().any(is_foreign), "{report}");
    assert_eq!(shown(&asked(&viewer, &["denials", "-o", "json"])).len(), counts.len());

    // The operator publishes five Events a second.
    let events = until("an Event about each call of the last pod", 2 * SHOWN, || {
        let last = format!("web-{}", PODS - 1);
        let selector = format!("--field-selector=involvedObject.name={last},reason=SeccompRefused");
        let events = cluster.json(["-n", SPACES[0].0, "get", "events", &selector]);
        let events = events["items"].as_array().unwrap().clone();
        (events.len() == CALLS.len()).then_some(events)
    });
    assert!(events.iter().all(|event| event["involvedObject"]["fieldPath"] == "spec.containers{probe}"));
    let selector = "--field-selector=involvedObject.name=foreign,reason=SeccompRefused";
    let of_others = cluster.json(["-n", SPACES[0].0, "get", "events", selector]);
    assert_eq!(of_others["items"], json!([]));

    // One that is killed and started anew goes on from there, and knows how much it has missed.
    let lost = installed.count("lost");
    drop(observer);
    pods.push(pod(SPACES[0], "meanwhile", "profiles/observed.json", node, path));
    run(&cluster, &pods, path);
    let observer = InFirstNamespace::beside_the_one_of(&installed);
    until("the new observer receiving records", LIMIT, || observer.receives().then_some(()));
    pods.push(pod(SPACES[0], "later", "profiles/observed.json", node, path));
    run(&cluster, &pods, path);
    let of_one = i64::try_from(CALLS.len()).unwrap() * TIMES;
    let again = until("the calls of a later pod being shown", 2 * SHOWN, || {
        let counts = shown(&asked(&viewer, &["denials", "seccompprofile/observed", "-o", "json"]));
        let later: i64 =
            counts.iter().filter(|((_, pod, _), _)| pod == "later").map(|(_, count)| count).sum();
        (later * 100 >= of_one * 99).then_some(counts)
    });
    // A container that was named only now has more than before.
    for (key, count) in &counts {
        assert!(again.get(key).is_some_and(|now| now >= count), "{key:?}: {count} before, {again:?}");
    }
    assert!(again.keys().all(|(_, pod, _)| pod != "meanwhile"), "{again:?}");
    let missed = installed.count("lost") - lost;
    print_line(&format!("of {of_one} calls while there was no observer {missed} records are known as lost"));
    assert!(missed >= of_one, "{missed} of {of_one}");
    drop((namespaces, foreign, observer, records));
}
