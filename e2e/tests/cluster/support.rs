//! The cluster under test, and the profiles and pods that a test makes and removes.

use std::fmt::Display;
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use std::{fs, thread};

use cluster::wait::{self, WaitError};
use cluster::{Cluster, Layout, Node};
use e2e::view::{ProfileView, disk};
use profile::Profile;
use serde_json::{Value, json};
use xtask::command::CommandError;
use xtask::workspace::repository;

/// The names of the chart's definitions.
pub(crate) const DEFINITIONS: [&str; 3] = [
    "seccompprofiles.seccomp.imjasonh.dev",
    "nodeprofilestatuses.seccomp.imjasonh.dev",
    "seccompobservations.seccomp.imjasonh.dev",
];

/// The limit for what takes a second on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// How soon a file must be repaired.
pub(crate) const REPAIR_LIMIT: Duration = Duration::from_secs(8);

static LOCK: RwLock<()> = RwLock::new(());

/// The cluster, while a test has the lock.
pub(crate) struct Session {
    cluster: Cluster,
    start: Instant,
    _lock: Lock,
}

impl Drop for Session {
    fn drop(&mut self) {
        let seconds = self.start.elapsed().as_secs_f64();
        print_line(&format!("{}: {seconds:.1} s", thread::current().name().unwrap_or_default()));
    }
}

enum Lock {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// The cluster, shared with other tests.
pub(crate) fn shared() -> Session {
    let guard = LOCK.read().unwrap_or_else(PoisonError::into_inner);
    Session { cluster: attach(), start: Instant::now(), _lock: Lock::Shared { _guard: guard } }
}

/// The cluster, for one test alone.
pub(crate) fn alone() -> Session {
    let guard = LOCK.write().unwrap_or_else(PoisonError::into_inner);
    Session { cluster: attach(), start: Instant::now(), _lock: Lock::Alone { _guard: guard } }
}

fn attach() -> Cluster {
    Cluster::attach(&Layout::from_environment()).unwrap_or_else(|error| panic!("{error}"))
}

impl Deref for Session {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Session {
    /// Runs kubectl, which must succeed.
    pub(crate) fn ok<const N: usize>(&self, arguments: [&str; N]) -> String {
        self.kubectl(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What kubectl prints as JSON, for one object or a list.
    pub(crate) fn json<const N: usize>(&self, arguments: [&str; N]) -> Value {
        let printed = self.kubectl(["-o", "json"].iter().chain(&arguments)).unwrap_or_else(|e| panic!("{e}"));
        serde_json::from_str(&printed).unwrap()
    }

    /// Applies any object and returns kubectl's message if it is refused.
    pub(crate) fn try_apply(&self, object: &Value) -> Result<String, String> {
        output(self.kubectl_input(["apply", "-f", "-"], &object.to_string()))
    }

    /// Applies a profile, which is deleted when the result is dropped.
    pub(crate) fn profile(&self, name: &str, contents: &Value) -> AppliedProfile<'_> {
        let applied = self.existing(name);
        applied.update(contents);
        applied
    }

    /// An existing profile, which is deleted when the result is dropped.
    pub(crate) fn existing(&self, name: &str) -> AppliedProfile<'_> {
        AppliedProfile { session: self, name: name.to_owned() }
    }

    /// Creates a pod, which is deleted when the result is dropped.
    pub(crate) fn pod(&self, pod: &Value) -> Pod<'_> {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        self.kubectl_input(["create", "-f", "-"], &pod.to_string()).unwrap_or_else(|e| panic!("{e}"));
        Pod { session: self, name }
    }

    /// Waits for an Event of this reason about the object `name`, and returns its message.
    pub(crate) fn wait_event(&self, name: &str, reason: &str) -> String {
        let selector = format!("--field-selector=involvedObject.name={name},reason={reason}");
        until(&format!("an Event {reason} about {name}"), LIMIT, || {
            let events = self.json(["get", "events", "--all-namespaces", &selector]);
            Some(events["items"][0]["message"].as_str()?.to_owned())
        })
    }

    /// The nodes; panics if they cannot be read.
    pub(crate) fn node_list(&self) -> Vec<Node> {
        self.nodes().unwrap()
    }

    /// One of the project's YAML files as JSON.
    pub(crate) fn file(&self, path: &str) -> Value {
        let path = repository().join(path).display().to_string();
        self.json(["create", "--dry-run=client", "-f", &path])
    }

    /// Waits until the agents and the operator are rolled out.
    pub(crate) fn wait_rolled_out(&self) {
        for workload in ["deployment/seccomp-profile-operator", "daemonset/seccomp-profile-node-agent"] {
            self.ok(["-n", "seccomp-profile", "rollout", "status", "--timeout=60s", workload]);
        }
    }
}

/// What kubectl printed, or its standard error if it failed.
pub(crate) fn output(result: Result<String, CommandError>) -> Result<String, String> {
    result.map_err(|error| match error {
        CommandError::Failed { stderr, .. } => stderr,
        other => panic!("{other}"),
    })
}

/// A profile on the cluster, which is deleted when this is dropped.
pub(crate) struct AppliedProfile<'a> {
    session: &'a Session,
    pub(crate) name: String,
}

impl AppliedProfile<'_> {
    /// Applies it with these contents.
    pub(crate) fn update(&self, contents: &Value) {
        self.session.try_apply(&object(&self.name, contents)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The object as the API server returns it.
    pub(crate) fn view(&self) -> ProfileView {
        ProfileView::get(self.session.client(), &self.name).unwrap().unwrap()
    }

    /// Waits with `kubectl wait` until it is Ready, then checks every disk. Returns the object.
    pub(crate) fn wait_ready(&self) -> ProfileView {
        let named = format!("seccompprofile/{}", self.name);
        self.session.ok(["wait", "--for=condition=Ready", "--timeout=30s", &named]);
        let bytes = self.on_disks();
        let view = self.view();
        assert!(view.is_ready(), "{}", view.json());
        let wanted = view.canonical().unwrap();
        assert_eq!(view.content_hash(), wanted.hash().to_string());
        for (node, bytes) in bytes {
            assert_eq!(text(&bytes), text(&Some(wanted.bytes().to_vec())), "{} on {node}", self.name);
        }
        view
    }

    /// Deletes it without waiting.
    pub(crate) fn begin_deletion(&self) {
        self.session.ok(["delete", "seccompprofile", &self.name, "--wait=false"]);
    }

    /// Waits until the object is gone.
    pub(crate) fn wait_gone(&self, limit: Duration) {
        let (named, limit) =
            (format!("seccompprofile/{}", self.name), format!("--timeout={}s", limit.as_secs()));
        self.session.ok(["wait", "--for=delete", &limit, &named]);
    }

    /// Waits until these nodes have reported that they do not have its file.
    pub(crate) fn wait_confirmed<'n>(&self, nodes: impl IntoIterator<Item = &'n Node>) {
        for name in nodes.into_iter().map(Node::name) {
            until(&format!("{name} confirming that {} is removed", self.name), LIMIT, || {
                let report = self.session.json(["get", "nodeprofilestatus", &name]);
                let files = report["status"]["report"]["files"].as_object()?;
                (!files.contains_key(&self.name)).then_some(())
            });
        }
    }

    /// The contents of its file on each node.
    pub(crate) fn on_disks(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let disks = self.session.node_list();
        disks.iter().map(|node| (node.name(), disk::bytes(node, &self.name).unwrap())).collect()
    }

    /// Its file on a node.
    pub(crate) fn path(&self, node: &Node) -> PathBuf {
        disk::path(node, &self.name)
    }

    /// Waits until `holds` is true of the object.
    pub(crate) fn until(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&ProfileView) -> bool,
    ) -> ProfileView {
        let what = format!("{} {what}", self.name);
        until(&what, limit, || Some(self.view()).filter(&holds))
    }

    /// Waits until its condition `kind` has this reason, and returns the condition's message.
    pub(crate) fn wait_condition(&self, kind: &str, reason: &str) -> String {
        let is = |view: &ProfileView| view.condition(kind).is_some_and(|shown| shown["reason"] == reason);
        let view = self.until(&format!("being {kind} because {reason}"), LIMIT, is);
        view.condition(kind).unwrap()["message"].as_str().unwrap().to_owned()
    }
}

impl Drop for AppliedProfile<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "seccompprofile", &self.name, "--ignore-not-found", "--timeout=60s"];
        let removed = self.session.kubectl(delete).map(drop);
        expect_cleanup(removed);
    }
}

/// A pod on the cluster, which is deleted when this is dropped.
pub(crate) struct Pod<'a> {
    session: &'a Session,
    pub(crate) name: String,
}

impl Pod<'_> {
    /// Waits until its container runs.
    pub(crate) fn wait_running(&self) {
        let named = format!("pod/{}", self.name);
        self.session.ok(["wait", "--for=condition=Ready", "--timeout=60s", &named]);
    }

    /// Removes it, and returns when it is gone.
    pub(crate) fn remove(self) {}
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "pod", &self.name, "--ignore-not-found", "--timeout=60s"];
        let removed = self.session.kubectl(delete).map(drop);
        expect_cleanup(removed);
    }
}

/// Panics on an error, unless the thread is already panicking: a second panic would hide the first.
pub(crate) fn expect_cleanup<E: Display>(result: Result<(), E>) {
    match result {
        Err(error) if thread::panicking() => print_line(&format!("cannot clean up: {error}")),
        result => result.unwrap_or_else(|error| panic!("cannot clean up: {error}")),
    }
}

/// A profile as an object.
pub(crate) fn object(name: &str, contents: &Value) -> Value {
    json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1",
        "kind": "SeccompProfile",
        "metadata": { "name": name },
        "spec": { "contents": contents },
    })
}

/// Contents that allow every call, different for each number, and about which the operator has nothing to say.
pub(crate) fn allow_all(number: usize) -> Value {
    let when = json!([{ "index": 2, "value": number, "op": "SCMP_CMP_EQ" }]);
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": when }],
    })
}

/// The canonical bytes of `contents`.
pub(crate) fn bytes_of(contents: &Value) -> Vec<u8> {
    Profile::from_value(contents).unwrap().canonical().bytes().to_vec()
}

/// A pod that sleeps under a profile until it receives SIGTERM.
pub(crate) fn sleeper(name: &str, profile: &str) -> Value {
    pod_under(name, profile, "trap exit TERM; sleep infinity & wait")
}

/// A pod that runs a script under a profile, on any node.
pub(crate) fn pod_under(name: &str, profile: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": "main",
                "image": "docker.io/library/busybox:latest",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script],
                "securityContext": { "seccompProfile": {
                    "type": "Localhost", "localhostProfile": format!("profiles/{profile}.json"),
                } },
            }],
        },
    })
}

/// Polls until there is a value.
pub(crate) fn until<T>(what: &str, limit: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
    wait::until(what, limit, || Ok::<_, WaitError>(poll())).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until a node's file is a regular file with these bytes and the usual permissions and owner.
pub(crate) fn until_repaired(node: &Node, name: &str, bytes: &[u8]) -> Duration {
    until_restored(&disk::path(node, name), bytes)
}

/// Like [`until_repaired`], for a file anywhere.
pub(crate) fn until_restored(path: &Path, bytes: &[u8]) -> Duration {
    use std::os::unix::fs::MetadataExt;
    let start = Instant::now();
    until(&format!("{} as it was", path.display()), REPAIR_LIMIT, || {
        let found = fs::symlink_metadata(path).ok()?;
        let right = found.is_file() && found.mode() & 0o7777 == 0o644 && found.uid() == 0;
        (right && fs::read(path).ok()? == bytes).then_some(())
    });
    start.elapsed()
}

/// Bytes in a form that reads well in a failed assertion.
#[expect(clippy::ref_option, reason = "as the disks give it")]
pub(crate) fn text(bytes: &Option<Vec<u8>>) -> Option<String> {
    bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Prints a line even if the test passes.
pub(crate) fn print_line(text: &str) {
    // Not `eprintln!`, whose output the harness captures.
    let _ = writeln!(std::io::stderr(), "{text}");
}
