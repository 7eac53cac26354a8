//! `kubectl seccomp`, run by kubectl, for users with only the rights of the chart's roles.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;
use std::{fs, iter};

use e2e::view::disk;
use serde_json::{Value, json};
use xtask::build_program::build_plugin;
use xtask::workspace::repository;

use super::stopped::Stopped;
use super::support::{
    AppliedProfile, LIMIT, Session, allow_all, alone, expect_cleanup, object, print_line, shared, sleeper,
    until,
};

/// The directory with `kubectl-seccomp` in it.
pub(crate) static PLUGIN: LazyLock<PathBuf> =
    LazyLock::new(|| build_plugin(repository()).unwrap_or_else(|error| panic!("{error}")));

/// A user with a service account, bound to some ClusterRoles; both are removed when this is dropped.
pub(crate) struct Person<'a> {
    cluster: &'a Session,
    name: &'static str,
    home: tempfile::TempDir,
}

impl<'a> Person<'a> {
    pub(crate) fn with(cluster: &'a Session, name: &'static str, roles: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let person = Person { cluster, name, home };
        cluster.ok(["-n", "default", "create", "serviceaccount", name]);
        for role in roles {
            let (role, account) =
                (format!("--clusterrole={role}"), format!("--serviceaccount=default:{name}"));
            let binding = format!("{name}-{}", role.rsplit('=').next().unwrap());
            cluster.ok(["create", "clusterrolebinding", &binding, &role, &account]);
            cluster.ok(["label", "clusterrolebinding", &binding, &format!("plugin-test={name}")]);
        }
        let admin = cluster.json(["config", "view", "--raw", "--minify"]);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{ "name": "it", "cluster": {
                "server": admin["clusters"][0]["cluster"]["server"],
                "certificate-authority": cluster.directory().join("pki/ca.crt"),
            } }],
            "users": [{ "name": name, "user": { "token": cluster.ok(["-n", "default", "create", "token", name]).trim() } }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": name } }],
        });
        fs::write(person.kubeconfig(), config.to_string()).unwrap();
        if !roles.is_empty() {
            until("the API server knowing of the rights", LIMIT, || {
                may(cluster, &person, "list").then_some(())
            });
        }
        person
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("config")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cluster.client().programs().command("kubectl");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", PLUGIN.display())).env("KUBECONFIG", self.kubeconfig());
        command.arg("seccomp").args(arguments);
        command
    }

    /// What `kubectl seccomp` prints, with its exit code, which must be this one.
    #[track_caller]
    pub(crate) fn run_plugin(&self, code: i32, arguments: &[&str]) -> String {
        self.run_plugin_both(code, arguments).0
    }

    /// Standard output and standard error.
    #[track_caller]
    pub(crate) fn run_plugin_both(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        print_line(&format!("$ kubectl seccomp {}\n{stdout}{stderr}", arguments.join(" ")));
        // kubectl exits with the plugin's code.
        assert_eq!(status.code(), Some(code), "kubectl seccomp {arguments:?}:\n{stdout}{stderr}");
        (stdout, stderr)
    }
}

impl Drop for Person<'_> {
    fn drop(&mut self) {
        let label = format!("--selector=plugin-test={}", self.name);
        expect_cleanup(self.cluster.kubectl(["delete", "clusterrolebindings", &label]).map(drop));
        expect_cleanup(
            self.cluster.kubectl(["-n", "default", "delete", "serviceaccount", self.name]).map(drop),
        );
    }
}

/// The fields of the line that begins with the fields `begins`.
fn line(text: &str, begins: &[&str]) -> Vec<String> {
    let lines = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let mut found =
        lines.filter(|fields| begins.iter().zip(fields).all(|(a, b)| a == b) && fields.len() >= begins.len());
    found.next_back().unwrap_or_else(|| panic!("no line that begins with {begins:?}:\n{text}"))
}

/// A deployment without pods whose template names a profile; it is deleted when this is dropped.
struct Template<'a>(&'a Session, &'static str);

impl<'a> Template<'a> {
    fn naming(cluster: &'a Session, name: &'static str, profile: &str) -> Self {
        let pod = sleeper(name, profile)["spec"].take();
        let mut pod = pod;
        pod["restartPolicy"] = json!("Always");
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "namespace": "default" },
            "spec": {
                "replicas": 0,
                "selector": { "matchLabels": { "app": name } },
                "template": { "metadata": { "labels": { "app": name } }, "spec": pod },
            },
        });
        cluster.try_apply(&deployment).unwrap();
        Template(cluster, name)
    }
}

impl Drop for Template<'_> {
    fn drop(&mut self) {
        expect_cleanup(self.0.kubectl(["-n", "default", "delete", "deployment", self.1]).map(drop));
    }
}

#[test]
fn a_viewer_of_the_cluster_sees_a_files_conflict_its_node_and_its_end() {
    let cluster = shared();
    let viewer = Person::with(&cluster, "plugin-viewer", &["view"]);
    let node = &cluster.node_list()[0];
    let path = disk::path(node, "plugin-claimed");
    fs::write(&path, "somebody's").unwrap();
    let applied = cluster.profile("plugin-claimed", &allow_all(0));
    applied.until("failed on one node", LIMIT, |view| {
        view.count("failed") == Some(1) && view.count("ready") == Some(1)
    });

    let why = "NotOurs: a file that is not the agent's has this name; remove it or rename the profile";
    for text in [viewer.run_plugin(0, &["status"]), viewer.run_plugin(0, &["status", "plugin-claimed"])] {
        assert!(text.contains(why) && !text.contains('\x1b'), "{text}");
    }
    let page = viewer.run_plugin(0, &["status", "plugin-claimed"]);
    assert_eq!(line(&page, &["node-1"])[1], "Failed");
    assert_eq!(line(&page, &["node-2"]), ["node-2", "Ready"]);
    let nodes = viewer.run_plugin(0, &["nodes"]);
    assert!(nodes.contains("lacks plugin-claimed (NotOurs)"), "{nodes}");
    let verified = viewer.run_plugin(1, &["verify", "plugin-claimed"]);
    assert_eq!(line(&verified, &["plugin-claimed", "node-1"])[2], "OtherContents");
    assert!(
        verified
            .ends_with("Not verified: 1 profile on 2 nodes: 1 of 2 files as the spec says, 1 difference\n"),
        "{verified}"
    );
    let (_, late) = viewer.run_plugin_both(1, &["wait", "plugin-claimed", "--timeout=1s"]);
    assert!(late.contains(&format!("\n  node-1: Failed, {why}\n")), "{late}");

    fs::remove_file(&path).unwrap();
    assert_eq!(
        viewer.run_plugin(0, &["wait", "plugin-claimed", "--timeout=30s"]),
        "plugin-claimed is ready: 2 of 2 nodes hold it\n"
    );
    assert_eq!(
        viewer.run_plugin(0, &["verify", "plugin-claimed"]),
        "Verified: 1 profile on 2 nodes: 2 of 2 files as the spec says\n"
    );
    let shown: Value =
        serde_json::from_str(&viewer.run_plugin(0, &["status", "plugin-claimed", "-o", "json"])).unwrap();
    assert_eq!(shown["profiles"][0]["contentHash"], applied.view().content_hash());
    assert_eq!(shown["profiles"][0]["nodes"][0]["state"], "Ready");
}

#[test]
fn agents_that_are_down_are_shown_long_before_the_operator_reports_them() {
    let cluster = alone();
    let viewer = Person::with(&cluster, "plugin-watchman", &["view"]);
    let applied = cluster.profile("plugin-unwatched", &allow_all(0));
    applied.wait_ready();
    viewer.run_plugin(0, &["verify", "plugin-unwatched"]);

    let stopped = Stopped::agents(&cluster);
    let nodes = viewer.run_plugin(0, &["nodes"]);
    assert_eq!(nodes.matches("no pod of an agent is on it").count(), 2, "{nodes}");
    let verified = viewer.run_plugin(1, &["verify", "plugin-unwatched"]);
    assert_eq!(verified.matches("Unwatched").count(), 2, "{verified}");
    applied.update(&allow_all(1));
    applied.until("reconciled again", LIMIT, |view| !view.is_ready());
    let page = viewer.run_plugin(0, &["status", "plugin-unwatched"]);
    assert_eq!(line(&page, &["node-2"])[1], "Pending");
    assert!(page.contains("AgentNotReady: its file has other contents ("), "{page}");
    assert!(page.contains("); no pod of an agent is on it"), "{page}");

    stopped.start();
    viewer.run_plugin(0, &["wait", "plugin-unwatched", "--timeout=60s"]);
    viewer.run_plugin(0, &["verify", "plugin-unwatched"]);
}

#[test]
fn users_finds_pods_and_templates_and_names_what_it_may_not_list() {
    let cluster = shared();
    let profile = cluster.profile("plugin-used", &allow_all(0));
    profile.wait_ready();
    let pod = cluster.pod(&sleeper("plugin-user", "plugin-used"));
    pod.wait_running();
    let _right = Template::naming(&cluster, "plugin-right", "plugin-used");
    let _wrong = Template::naming(&cluster, "plugin-wrong", "plugin-usde");

    let viewer = Person::with(&cluster, "plugin-clerk", &["view"]);
    let users = viewer.run_plugin(0, &["users", "plugin-used"]);
    assert_eq!(line(&users, &["plugin-used", "default", "Pod", "plugin-user"])[4], "Running");
    line(&users, &["plugin-used", "default", "Deployment", "plugin-right"]);
    let missing = viewer.run_plugin(0, &["users", "plugin-usde"]);
    assert!(
        missing.contains("plugin-usde   default     Deployment   plugin-wrong   there is no such profile"),
        "{missing}"
    );
    let all = viewer.run_plugin(0, &["users", "--namespace=default"]);
    assert!(all.contains("plugin-used") && all.contains("plugin-usde"), "{all}");

    let narrow = Person::with(&cluster, "plugin-narrow", &["seccomp-profile-viewer"]);
    let (users, unread) = narrow.run_plugin_both(0, &["users", "plugin-used"]);
    assert_eq!(users, "No pod or workload that could be listed names plugin-used.\n");
    assert_eq!(unread.lines().filter(|line| line.starts_with("not checked: ")).count(), 8, "{unread}");
    assert_eq!(line(&narrow.run_plugin(0, &["status", "plugin-used"]), &["node-1"]), ["node-1", "Ready"]);
}

#[test]
fn without_rights_the_error_names_the_missing_role() {
    let cluster = shared();
    let nobody = Person::with(&cluster, "plugin-nobody", &[]);
    for arguments in [&["status"][..], &["nodes"], &["verify"], &["users"], &["wait"], &["status", "--watch"]]
    {
        let (_, error) = nobody.run_plugin_both(2, arguments);
        assert!(error.contains(r#"User "system:serviceaccount:default:plugin-nobody" cannot"#), "{error}");
        assert!(error.contains("--clusterrole=seccomp-profile-viewer"), "{error}");
    }
    let viewer = Person::with(&cluster, "plugin-seeker", &["view"]);
    let (_, error) = viewer.run_plugin_both(2, &["status", "plugin-absent"]);
    assert!(error.starts_with(r#"error: there is no SeccompProfile "plugin-absent""#), "{error}");
    let (_, error) = viewer.run_plugin_both(2, &["status", "--context=nowhere"]);
    assert!(error.contains("nowhere") && error.contains("--context"), "{error}");
}

/// Whether the user may use this verb on profiles.
fn may(cluster: &Session, person: &Person<'_>, verb: &str) -> bool {
    let who = format!("--as=system:serviceaccount:default:{}", person.name);
    cluster.kubectl(["auth", "can-i", verb, "seccompprofiles", &who]).is_ok_and(|said| said.trim() == "yes")
}

#[test]
fn editing_profiles_is_a_right_of_its_own() {
    let cluster = shared();
    let general = Person::with(&cluster, "plugin-general", &["edit"]);
    let editor = Person::with(&cluster, "plugin-editor", &["seccomp-profile-editor"]);
    assert!(
        may(&cluster, &general, "list")
            && !may(&cluster, &general, "create")
            && !may(&cluster, &general, "patch")
    );
    assert!(
        may(&cluster, &editor, "list") && may(&cluster, &editor, "create") && may(&cluster, &editor, "patch")
    );
    editor.run_plugin(0, &["nodes"]);
}

#[test]
fn diff_distinguishes_a_looser_filter_from_another_spelling() {
    let cluster = shared();
    let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": ["read", "write"], "action": "SCMP_ACT_ALLOW" }] });
    let _applied = cluster.profile("plugin-compared", &contents);
    let viewer = Person::with(&cluster, "plugin-critic", &["view"]);
    let file = |contents: &Value| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(contents.to_string().as_bytes()).unwrap();
        file
    };
    let diff = |code: i32, contents: &Value| {
        let file = file(contents);
        viewer.run_plugin(code, &["diff", "plugin-compared", "-f", file.path().to_str().unwrap()])
    };
    assert_eq!(diff(0, &object("plugin-compared", &contents)), "");
    let spelt = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [{ "names": ["write", "read"], "action": "SCMP_ACT_ALLOW" }] });
    assert!(
        diff(0, &spelt)
            .ends_with("The same filter in other bytes: applying it rewrites the file on every node.\n")
    );
    let looser = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": ["read", "write", "bpf"], "action": "SCMP_ACT_ALLOW" }] });
    assert!(diff(1, &looser).contains("\n    - SCMP_ACT_ERRNO (errno 1) by default\n    + SCMP_ACT_ALLOW\n"));
    let repeated = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["read", "write"], "action": "SCMP_ACT_ALLOW" }, { "names": ["clone3"], "action": "SCMP_ACT_ERRNO" },
    ] });
    assert!(diff(1, &repeated).contains("\ndifferent:\n"));
    diff(2, &json!({ "defaultAction": "ALLOW" }));
}

/// A command with continuous output; it is killed when this is dropped.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, lines) = mpsc::channel();
        // The thread ends with the command.
        thread::spawn(move || printed.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line before the deadline; `None` at the end of the output.
    fn line(&self, what: &str, deadline: Instant) -> Option<String> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{what} was not shown within {LIMIT:?}"),
        }
    }

    fn until(&self, what: &str, is: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while let Some(line) = self.line(what, deadline) {
            if is(&line) {
                return;
            }
        }
        panic!("it ended, and {what} was not shown");
    }

    /// Waits for its end, and returns the last line and the exit status.
    fn end(&mut self) -> (Option<String>, ExitStatus) {
        let deadline = Instant::now() + LIMIT;
        let last = iter::from_fn(|| self.line("the end", deadline)).last();
        (last, until("its end", LIMIT, || self.child.try_wait().unwrap()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It has already ended if the test succeeded.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_shows_each_change_and_ends_with_the_profile() {
    let cluster = shared();
    let viewer = Person::with(&cluster, "plugin-guard", &["view"]);
    let applied: AppliedProfile<'_> = cluster.profile("plugin-watched", &allow_all(0));
    applied.wait_ready();
    let mut watch = Watch::start(&mut viewer.command(&["status", "plugin-watched", "--watch"]));
    watch.until("the present state", |line| line.starts_with("State:     Ready"));
    applied.update(&json!({ "defaultAction": "SCMP_ACT_LOG" }));
    let hash = applied.wait_ready().content_hash().to_owned();
    watch.until("the new contents", |line| line.ends_with(&hash));
    drop(applied);
    let (last, status) = watch.end();
    assert_eq!(last.as_deref(), Some("plugin-watched is gone"));
    assert!(status.success());
}

#[test]
fn kubectl_completes_the_plugin_once_there_is_a_link_by_the_name_that_it_looks_for() {
    let cluster = shared();
    let directory = tempfile::tempdir().unwrap();
    for name in ["kubectl-seccomp", "kubectl_complete-seccomp"] {
        symlink(PLUGIN.join("kubectl-seccomp"), directory.path().join(name)).unwrap();
    }
    let mut kubectl = cluster.client().programs().command("kubectl");
    let completed =
        kubectl.args(["__complete", "seccomp", "v"]).env("PATH", directory.path()).output().unwrap();
    let lines = String::from_utf8(completed.stdout).unwrap();
    assert_eq!(lines, "verify\tCompare every node's report with the contents in the spec\n:4\n");
}
