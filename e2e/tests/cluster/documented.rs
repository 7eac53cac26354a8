//! Runs every command in the documentation and compares its output with the page. With `UPDATE_DOCS=1` the pages are
//! updated to the output.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use cluster::NAMESPACE;
use e2e::rights::table;
use e2e::view::disk;
use xtask::workspace::repository;

use super::disks;
use super::image_registry::ImageRegistry;
use super::pages::{Block, How, Page, update};
use super::plugin::PLUGIN;
use super::removal::Reinstall;
use super::stolen_token::pid_of;
use super::support::{LIMIT, Session, allow_all, alone, print_line, sleeper, until};

/// The longest time from an empty cluster to a profile that is proved to be in force.
const FIVE_MINUTES: Duration = Duration::from_mins(5);

/// The registry on pages.
const REGISTRY: &str = "registry.example";

/// Runs the pages' commands as a reader with a checkout and the administrator's kubeconfig would.
pub(crate) struct Reader<'a> {
    cluster: &'a Session,
    directory: tempfile::TempDir,
    /// Placeholders on the page, with the names to use instead.
    names: Vec<(&'static str, String)>,
    /// The registry that the page calls [`REGISTRY`].
    registry: Option<&'a ImageRegistry<'a>>,
}

/// A command that was run, its output, and how long it took.
struct CommandRun {
    script: String,
    printed: String,
    took: Duration,
}

impl<'a> Reader<'a> {
    pub(crate) fn of(cluster: &'a Session) -> Self {
        // The Node of an earlier test is deleted before its report is.
        until("a report for each node", LIMIT, || {
            let reports = cluster.json(["get", "nodeprofilestatuses"]);
            (reports["items"].as_array()?.len() == cluster.node_list().len()).then_some(())
        });
        let directory = tempfile::tempdir().unwrap();
        for folder in ["charts", "pods", "profiles"] {
            symlink(repository().join(folder), directory.path().join(folder)).unwrap();
        }
        Self { cluster, directory, names: vec![], registry: None }
    }

    pub(crate) fn substitute(mut self, word: &'static str, name: &str) -> Self {
        self.names.push((word, name.to_owned()));
        self
    }

    /// Has the page's registry be this one, and `docker` build and push.
    fn with_registry(mut self, registry: &'a ImageRegistry<'a>) -> Self {
        self.registry = Some(registry);
        self.substitute(REGISTRY, registry.host())
    }

    /// Copies a file into the reader's checkout.
    pub(crate) fn provide_file(&self, name: &str, file: &Path) {
        fs::copy(file, self.directory.path().join(name)).unwrap();
    }

    /// Runs the blocks of a page that `wanted` selects, in order, and compares their output with the page.
    pub(crate) fn check_page(&self, page: &mut Page, wanted: impl Fn(&Block) -> bool) {
        self.run_blocks(page, wanted);
    }

    fn run_blocks(&self, page: &mut Page, wanted: impl Fn(&Block) -> bool) -> Vec<CommandRun> {
        let (mut told, mut shown) = (Vec::new(), Vec::new());
        for block in page.blocks().into_iter().filter(wanted) {
            let How::ExitsWith(code) = block.how else { continue };
            let start = Instant::now();
            let printed = self.run_script(&block.script, code, &page.path);
            told.push(CommandRun { script: block.script, printed: printed.clone(), took: start.elapsed() });
            shown.extend(block.printed.map(|at| (at, printed)));
        }
        assert!(!told.is_empty(), "{}: no commands", page.path);
        page.holds(shown);
        told
    }

    /// Runs a script, which must end with this code, and returns its standard output and error together.
    fn run_script(&self, script: &str, code: i32, page: &str) -> String {
        let script =
            self.names.iter().fold(script.to_owned(), |script, (word, name)| script.replace(word, name));
        let client = self.cluster.client();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("timeout");
        shell.args(["240", "bash", "-euo", "pipefail", "-c", &format!("exec 2>&1\n{script}")]);
        shell.current_dir(self.directory.path()).env("KUBECONFIG", client.kubeconfig());
        let mut path = format!("{}:{}:{path}", client.programs().directory().display(), PLUGIN.display());
        if let Some(registry) = self.registry {
            path = format!("{}:{path}", registry.docker().display());
            shell.env("SSL_CERT_FILE", registry.authority());
        }
        shell.env("PATH", path).env("REGISTRY", "registry.local");
        let Output { status, stdout, .. } = shell.output().unwrap();
        let mut printed = String::from_utf8(stdout).unwrap();
        if let Some(registry) = self.registry {
            printed = printed.replace(registry.host(), REGISTRY);
        }
        print_line(&format!("{page}$ {script}{printed}"));
        assert_eq!(status.code(), Some(code), "{page}: {script}{printed}");
        printed
    }
}

impl Drop for Reader<'_> {
    /// Removes what a failed page left, because it would disturb the next page.
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.cluster.kubectl(["delete", "deployments,pods", "--all", "--now", "--timeout=60s"]);
            let _ = self.cluster.kubectl(["delete", "seccompprofiles", "--all", "--timeout=60s"]);
        }
    }
}

/// What remains of a release and its profiles, except files on nodes.
fn left(cluster: &Session) -> String {
    let crds = cluster.ok(["get", "crds", "-o", "name"]);
    let kinds = "all,serviceaccounts,roles,rolebindings,leases,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingadmissionpolicies,mutatingadmissionpolicybindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,secrets";
    let ours =
        cluster.ok(["get", kinds, "-A", "--selector=app.kubernetes.io/name=seccomp-profile", "-o", "name"]);
    let crds: Vec<_> = crds.lines().filter(|name| name.contains("seccomp.imjasonh.dev")).collect();
    crds.join(" ") + ours.trim()
}

#[test]
fn everything_is_removed_as_documented_and_five_minutes_later_a_profile_is_in_force_again() {
    let cluster = alone();
    let _reinstall = Reinstall(&cluster);
    let swept = cluster.profile("swept", &allow_all(0));
    swept.wait_ready();
    let files: Vec<_> = cluster.node_list().iter().map(|node| swept.path(node)).collect();
    let reader = Reader::of(&cluster);
    reader.check_page(&mut Page::read("docs/removal.md"), |block| block.script.contains("delete crd"));
    assert!(files.iter().all(|file| !file.exists()), "{files:?}");
    until("nothing being left", LIMIT, || left(&cluster).is_empty().then_some(()));

    let start = Instant::now();
    let told = reader.run_blocks(&mut Page::read("docs/tutorial/getting-started.md"), |_| true);
    let took = start.elapsed();
    print_line(&format!(
        "from nothing to a profile in force, and cleared up, in {:.1} s",
        took.as_secs_f64()
    ));
    assert!(took < FIVE_MINUTES, "{took:?}");
    if update() {
        let mut text = format!("{:.0} s in all.\n", took.as_secs_f64());
        for CommandRun { script, printed, took } in told {
            let typed = script.trim_end().replace('\n', "\n> ");
            let _ = write!(text, "\n{:.1} s:\n\n```console\n$ {typed}\n{printed}```\n", took.as_secs_f64());
        }
        let path = repository().join("docs/transcripts/five-minutes.md");
        let page = fs::read_to_string(&path).unwrap();
        fs::write(path, table::replace_marked(&page, "the run", &text).unwrap()).unwrap();
    }
}

#[test]
fn a_first_profile_is_written_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/first-profile.md"), |_| true);
}

#[test]
fn a_profile_in_a_file_is_checked_and_corrected_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/is-my-profile-right.md"), |_| true);
}

#[test]
fn profiles_are_compared_and_combined_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/compare-and-combine.md"), |_| true);
}

#[test]
fn a_profile_and_a_log_are_simulated_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/would-it-run.md"), |_| true);
}

#[test]
fn profiles_of_other_tools_are_converted_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/convert.md"), |_| true);
}

#[test]
fn a_profile_is_derived_from_a_program_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/derive.md"), |_| true);
}

#[test]
fn an_image_is_built_and_runs_under_its_profile_as_documented() {
    let cluster = alone();
    let _reinstall = Reinstall(&cluster);
    let registry = ImageRegistry::start(&cluster);
    let chart = repository().join("charts").join(NAMESPACE);
    cluster.client().install_chart(&chart, &registry.values().each_ref().map(String::as_str)).unwrap();
    let reader = Reader::of(&cluster).with_registry(&registry);
    reader.check_page(&mut Page::read("docs/tutorial/from-a-dockerfile.md"), |_| true);
}

#[test]
fn what_a_profile_does_is_explained_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/what-does-this-profile-do.md"), |_| true);
}

#[test]
fn a_mitigation_is_rolled_out_and_proved_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/cve-mitigation.md"), |_| true);
}

#[test]
fn pods_wait_for_their_profiles_as_documented() {
    let cluster = alone();
    let _reinstall = Reinstall(&cluster);
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/no-pod-before-its-profile.md"), |_| true);
}

#[test]
fn a_profile_is_on_the_nodes_that_it_selects_as_documented() {
    let cluster = alone();
    let _reinstall = Reinstall(&cluster);
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/profiles-for-some-nodes.md"), |_| true);
}

#[test]
fn a_namespace_gets_a_default_profile_as_documented() {
    let cluster = alone();
    let _reinstall = Reinstall(&cluster);
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/default-for-a-namespace.md"), |_| true);
}

#[test]
fn an_applied_profile_is_warned_about_as_documented() {
    let cluster = alone();
    let _reinstall = Reinstall(&cluster);
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/warnings.md"), |_| true);
}

#[test]
fn pods_in_a_sandbox_are_found_as_documented() {
    let cluster = alone();
    let _reinstall = Reinstall(&cluster);
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/sandboxed-pods.md"), |_| true);
}

#[test]
fn containers_under_an_old_filter_are_replaced_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/replace-old-containers.md"), |_| true);
}

#[test]
fn the_status_is_read_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/how-to/read-the-status.md"), |_| true);
}

#[test]
fn pods_that_still_name_the_peers_files_are_looked_for_as_documented() {
    let cluster = alone();
    let page = "docs/how-to/migrate-from-security-profiles-operator.md";
    Reader::of(&cluster).check_page(&mut Page::read(page), |_| true);
}

#[test]
fn a_privileged_pod_has_no_filter_as_documented() {
    let cluster = alone();
    Reader::of(&cluster).check_page(&mut Page::read("docs/explanation/limits.md"), |_| true);
}

#[test]
fn the_readmes_profiles_and_pods_are_applied_as_documented() {
    let cluster = alone();
    let reader = Reader::of(&cluster);
    reader.check_page(&mut Page::read("README.md"), |_| true);
    let clear = "kubectl delete --filename pods/ --now && kubectl delete --filename profiles/\n";
    reader.run_script(clear, 0, "README.md");
}

#[test]
fn the_logs_are_read_as_documented() {
    let cluster = alone();
    // The log of a new agent begins with this profile.
    let node = cluster.node_list().remove(0);
    disks::replace_agent(&cluster, &node);
    let _audit = cluster.profile("audit", &cluster.file("profiles/audit.yaml")["spec"]["contents"]);
    let pod = disks::agent(&cluster, &node)["metadata"]["name"].as_str().unwrap().to_owned();
    until("the log telling of the file", LIMIT, || {
        cluster.ok(["-n", NAMESPACE, "logs", &pod]).contains("\"file written\"").then_some(())
    });
    let reader = Reader::of(&cluster).substitute("POD", &pod);
    reader.check_page(&mut Page::read("docs/reference/logs.md"), |_| true);
}

/// A node with two taints and a pod with two scheduling gates, on which commands fail that count on one.
struct Marked<'a> {
    cluster: &'a Session,
    node: String,
}

impl<'a> Marked<'a> {
    const TAINTS: [&'static str; 2] = ["example.org/first", "example.org/second"];

    fn new(cluster: &'a Session, node: &str) -> Self {
        let marked = Self { cluster, node: node.to_owned() };
        // With an effect that keeps no pod away.
        let taints = Self::TAINTS.map(|key| format!("{key}=:PreferNoSchedule"));
        cluster.ok(["taint", "node", node, &taints[0], &taints[1], "--overwrite"]);
        let gates = Self::TAINTS.map(|name| serde_json::json!({ "name": name }));
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "twice-gated" },
            "spec": { "schedulingGates": gates, "containers": [{ "name": "main", "image": "none" }] },
        });
        cluster
            .kubectl_input(["create", "-f", "-"], &pod.to_string())
            .unwrap_or_else(|error| panic!("{error}"));
        marked
    }
}

impl Drop for Marked<'_> {
    fn drop(&mut self) {
        let [first, second] = Self::TAINTS.map(|key| format!("{key}-"));
        let _ = self.cluster.kubectl(["taint", "node", &self.node, &first, &second]);
        let _ = self.cluster.kubectl(["delete", "pod", "twice-gated", "--now"]);
    }
}

#[test]
fn every_runbooks_commands_print_what_the_page_shows() {
    let cluster = alone();
    let node = cluster.node_list().remove(0);
    let profile = cluster.profile("looked-at", &allow_all(0));
    profile.wait_ready();
    let user = cluster.pod(&sleeper("looker", "looked-at"));
    user.wait_running();
    // So that there is a previous container, and a repaired file.
    let agent = |cluster: &Session| disks::agent(cluster, &node);
    let restarts = |cluster: &Session| {
        agent(cluster)["status"]["containerStatuses"][0]["restartCount"].as_i64().filter(|count| *count > 0)
    };
    if restarts(&cluster).is_none() {
        // As the kernel does when memory is short. The kubelet restarts it.
        let pid = pid_of(&cluster, &["/node-agent", &format!("--node-name={}", node.name())]).to_string();
        xtask::command::output(Command::new("kill").args(["-KILL", &pid])).unwrap();
        until("the agent's next container", 2 * LIMIT, || restarts(&cluster));
        cluster.wait_rolled_out();
    }
    fs::write(disk::path(&node, "looked-at"), "{}").unwrap();
    let pod = agent(&cluster)["metadata"]["name"].as_str().unwrap().to_owned();
    until("the log saying what was mended", LIMIT, || {
        cluster.ok(["-n", NAMESPACE, "logs", &pod]).contains("\"file repaired\"").then_some(())
    });
    let _marked = Marked::new(&cluster, &node.name());
    let reader = Reader::of(&cluster).substitute("PROFILE", "looked-at");
    let reader = reader.substitute("NODE", &node.name()).substitute("POD", &pod);
    let mut pages = fs::read_dir(repository().join("docs/runbooks")).unwrap();
    let mut number = 0;
    while let Some(Ok(page)) = pages.next() {
        let mut page = Page::read(&format!("docs/runbooks/{}", page.file_name().display()));
        if page.blocks().is_empty() {
            continue;
        }
        reader.check_page(&mut page, |_| true);
        number += 1;
    }
    assert_eq!(number, 12);
}
