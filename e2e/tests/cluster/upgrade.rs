//! The chart is uninstalled, installed as it was before its last change, upgraded and rolled back, while pods run under
//! profiles.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::NAMESPACE;
use serde_json::Value;
use tempfile::TempDir;
use xtask::build_images::VERSION;
use xtask::command::{self, CommandError};
use xtask::workspace::repository;

use super::file_watch::FileWatch;
use super::removal::Reinstall;
use super::support::{
    AppliedProfile, LIMIT, Session, allow_all, alone, bytes_of, print_line, sleeper, until,
};

/// The parts of the chart that affect a cluster.
const RENDERED: [&str; 3] = ["templates", "charts", "values.yaml"];

/// The chart as it was before its last change. The images are the same, because only the chart is tested.
struct PreviousChart {
    _directory: TempDir,
    chart: PathBuf,
}

impl PreviousChart {
    /// From the newest commit whose chart differs from the one in the work tree. Where the history does not reach as
    /// far (a shallow clone, the chart's first commit, no repository), the chart itself: its pods are replaced all the
    /// same. An error of git fails the test, because the test would check less than its name promises.
    fn extract() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = Path::new("charts").join(NAMESPACE);
        let Some(commit) = newest_that_differs(&path) else {
            print_line("no earlier chart in the history; it is upgraded to itself");
            return PreviousChart { _directory: directory, chart: repository().join(path) };
        };
        print_line(&format!("the earlier chart is that of {commit}"));
        let archive = directory.path().join("chart.tar");
        let mut archiver = git(&["archive", "--format=tar", &commit]);
        git_output(archiver.arg("--output").arg(&archive).arg(&path));
        tar::Archive::new(File::open(&archive).unwrap()).unpack(directory.path()).unwrap();
        let chart = directory.path().join(path);
        PreviousChart { _directory: directory, chart }
    }
}

fn newest_that_differs(chart: &Path) -> Option<String> {
    if !repository().join(".git").exists() {
        return None;
    }
    let rendered = RENDERED.map(|part| chart.join(part));
    // The last commit of a shallow clone appears to have no parents.
    let touching = git_output(git(&["log", "--format=%P", "--"]).args(&rendered));
    let parents = touching.lines().filter_map(|parents| parents.split(' ').next());
    let mut commits = ["HEAD"].into_iter().chain(parents.filter(|parent| !parent.is_empty()));
    commits.find(|commit| has(commit, chart) && differs(commit, &rendered)).map(str::to_owned)
}

/// Whether that commit has the chart.
fn has(commit: &str, chart: &Path) -> bool {
    !git_output(git(&["ls-tree", "--name-only", commit, "--"]).arg(chart.join("Chart.yaml"))).is_empty()
}

fn differs(commit: &str, rendered: &[PathBuf]) -> bool {
    match command::output(git(&["diff", "--quiet", commit, "--"]).args(rendered)) {
        Ok(_) => false,
        Err(CommandError::Failed { status, .. }) if status.code() == Some(1) => true,
        Err(error) => panic!("{error}"),
    }
}

fn git_output(git: &mut Command) -> String {
    command::output(git).unwrap_or_else(|error| panic!("{error}"))
}

fn git(arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    // The tests run as root, and the work tree may belong to another user.
    git.args(["-c", "safe.directory=*", "-C"]).arg(repository()).args(arguments);
    git
}

/// Installs a chart, or upgrades to it, so that its pods differ from those of any other round.
fn install(cluster: &Session, chart: &Path, round: &str, more: &[&str]) {
    let mut values = Vec::new();
    for program in ["operator", "agent"] {
        values.push(format!("--set={program}.podAnnotations.round={round}"));
        values.push(format!("--set={program}.image.tag={VERSION}"));
    }
    let values: Vec<_> = values.iter().map(String::as_str).chain(more.iter().copied()).collect();
    cluster.client().install_chart(chart, &values).unwrap_or_else(|error| panic!("{error}"));
}

fn helm(cluster: &Session, arguments: &[&str]) {
    let arguments = ["--namespace", NAMESPACE].iter().chain(arguments);
    cluster.helm(arguments).unwrap_or_else(|error| panic!("{error}"));
}

/// Waits until the pods of both programs are those of a round, and no others.
fn wait_pods_of(cluster: &Session, round: &str) {
    until(&format!("every pod being of the round {round:?}"), LIMIT, || {
        let selector = "--selector=app.kubernetes.io/component in (operator,node-agent)";
        let pods = cluster.json(["-n", NAMESPACE, "get", "pods", selector]);
        let rounds =
            pods["items"].as_array().unwrap().iter().map(|pod| &pod["metadata"]["annotations"]["round"]);
        let rounds: Vec<&Value> = rounds.collect();
        // Two operators, and one agent per node.
        (rounds.len() == 2 + cluster.node_list().len() && rounds.iter().all(|found| **found == round))
            .then_some(())
    });
}

fn policies(cluster: &Session) -> usize {
    cluster.json(["-n", NAMESPACE, "get", "networkpolicies"])["items"].as_array().unwrap().len()
}

/// Checks that the profile's file exists for new pods, and that changes of another profile still arrive.
fn check_works(cluster: &Session, changing: &AppliedProfile<'_>, round: &str, number: usize) {
    cluster.pod(&sleeper(&format!("pod-of-{round}"), "in-use")).wait_running();
    changing.update(&allow_all(number));
    changing.wait_ready();
}

#[test]
fn no_file_in_use_is_touched_while_the_chart_is_reinstalled_upgraded_and_rolled_back() {
    let cluster = alone();
    let used = cluster.profile("in-use", &allow_all(0));
    let changing = cluster.profile("changing", &allow_all(1));
    used.wait_ready();
    let nodes = cluster.node_list();
    let users: Vec<_> = nodes
        .iter()
        .map(|node| {
            let mut pod = sleeper(&format!("user-on-{}", node.name()), "in-use");
            pod["spec"]["nodeName"] = node.name().into();
            cluster.pod(&pod)
        })
        .collect();
    users.iter().for_each(|pod| pod.wait_running());

    let watched = FileWatch::start(&nodes, &BTreeMap::from([("in-use".to_owned(), bytes_of(&allow_all(0)))]));
    {
        let _reinstall = Reinstall(&cluster);
        helm(&cluster, &["uninstall", NAMESPACE]);
        cluster.pod(&sleeper("pod-of-nobody", "in-use")).wait_running();

        // Whoever has applied rendered definitions, as another test may have, owns their fields until they are taken
        // over.
        install(&cluster, &PreviousChart::extract().chart, "earlier", &["--force-conflicts"]);
        wait_pods_of(&cluster, "earlier");
        check_works(&cluster, &changing, "earlier", 2);

        let chart = repository().join("charts").join(NAMESPACE);
        install(&cluster, &chart, "upgraded", &["--set=networkPolicy.enabled=true"]);
        wait_pods_of(&cluster, "upgraded");
        assert_eq!(policies(&cluster), 2);
        check_works(&cluster, &changing, "upgraded", 3);

        helm(&cluster, &["rollback", NAMESPACE, "1", "--wait", "--timeout", "2m"]);
        wait_pods_of(&cluster, "earlier");
        assert_eq!(policies(&cluster), 0);
        check_works(&cluster, &changing, "rolled-back", 4);
    }
    cluster.wait_rolled_out();
    used.wait_ready();
    let seen = watched.end();
    print_line(&format!("the files in use were read {} times", seen.reads));
    assert!(seen.reads > 1000, "{}", seen.reads);
    assert_eq!(seen.happened, Vec::<String>::new());
    for user in &users {
        let pod = cluster.json(["get", "pod", &user.name]);
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "{pod:#}");
        assert_eq!(pod["status"]["phase"], "Running", "{pod:#}");
    }
}
