//! Two releases beside each other, as during every upgrade: programs of the release before this one with those of the
//! work tree. Each older program has the workload of its own chart; everything else, definitions, rights and policies
//! among them, is the newer chart's, because Helm changes that first.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cluster::NAMESPACE;
use xtask::build_images::VERSION;
use xtask::command;
use xtask::previous_release::PreviousRelease;
use xtask::workspace::repository;

use super::plugin::PLUGIN;
use super::removal::Reinstall;
use super::support::{
    LIMIT, Session, allow_all, alone, bytes_of, expect_cleanup, print_line, sleeper, until,
};

/// How long a rollout of pods may take.
const ROLLOUT: Duration = Duration::from_secs(90);

/// One of our two workloads.
#[derive(Clone, Copy)]
struct Workload {
    kind: &'static str,
    component: &'static str,
    template: &'static str,
}

const OPERATOR: Workload =
    Workload { kind: "deployment", component: "operator", template: "templates/operator/deployment.yaml" };
const AGENT: Workload =
    Workload { kind: "daemonset", component: "node-agent", template: "templates/agent/daemonset.yaml" };

impl Workload {
    fn name(self) -> String {
        format!("{NAMESPACE}-{}", self.component)
    }

    /// Waits until its pods, all of them, run the image of this tag.
    fn wait_runs(self, cluster: &Session, tag: &str) {
        let named = format!("{}/{}", self.kind, self.name());
        cluster.ok(["-n", NAMESPACE, "rollout", "status", "--timeout=90s", &named]);
        let selector = format!("--selector=app.kubernetes.io/component={}", self.component);
        let wanted = format!("registry.local/seccomp-profile/{}:{tag}", self.component);
        until(&format!("every pod running {wanted}"), ROLLOUT, || {
            let pods = cluster.json(["-n", NAMESPACE, "get", "pods", &selector]);
            let pods = pods["items"].as_array()?;
            let image = |pod: &serde_json::Value| pod["spec"]["containers"][0]["image"] == wanted.as_str();
            (!pods.is_empty() && pods.iter().all(image)).then_some(())
        });
    }
}

/// A workload of the previous release in the place of the newer one, which is restored when this is dropped.
struct PreviousWorkload<'a>(&'a Session, Workload);

impl<'a> PreviousWorkload<'a> {
    fn install(cluster: &'a Session, workload: Workload, previous: &PreviousRelease) -> Self {
        let chart = previous.chart().display().to_string();
        let tags = tags(previous.commit());
        let template = ["template", NAMESPACE, &chart, "--namespace", NAMESPACE];
        let template = template.into_iter().chain(["--show-only", workload.template]);
        let rendered = cluster.helm(template.chain(tags.iter().map(String::as_str))).unwrap();
        let older = PreviousWorkload(cluster, workload);
        cluster.kubectl_input(["replace", "--filename=-"], &rendered).unwrap_or_else(|e| panic!("{e}"));
        workload.wait_runs(cluster, previous.commit());
        older
    }
}

impl Drop for PreviousWorkload<'_> {
    fn drop(&mut self) {
        // Helm creates missing objects, but refuses to update an object that another manager has changed.
        let PreviousWorkload(cluster, workload) = self;
        let named = format!("{}/{}", workload.kind, workload.name());
        expect_cleanup(cluster.kubectl(["-n", NAMESPACE, "delete", &named, "--timeout=60s"]).map(drop));
        let chart = repository().join("charts").join(NAMESPACE);
        expect_cleanup(cluster.client().install_chart(&chart, &["--take-ownership"]).map(drop));
    }
}

fn tags(tag: &str) -> [String; 2] {
    ["operator", "agent"].map(|program| format!("--set={program}.image.tag={tag}"))
}

/// Replaces the definitions by those of a chart, as Helm would.
fn apply_definitions(cluster: &Session, chart: &Path) {
    let chart = chart.display().to_string();
    let files = ["seccompprofiles", "nodeprofilestatuses"]
        .map(|kind| format!("--show-only=charts/crds/templates/{kind}.yaml"));
    let template = ["template", NAMESPACE, &chart].into_iter().chain(files.iter().map(String::as_str));
    let rendered = cluster.helm(template).unwrap();
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=helm", "--filename=-"];
    cluster.kubectl_input(apply, &rendered).unwrap_or_else(|error| panic!("{error}"));
}

/// What `kubectl seccomp` prints; it must succeed.
fn plugin(cluster: &Session, program: &Path, arguments: &[&str]) -> String {
    let mut plugin = Command::new(program);
    plugin.args(arguments).env("KUBECONFIG", cluster.client().kubeconfig());
    command::output(&mut plugin).unwrap_or_else(|error| panic!("{error}"))
}

/// What both releases promise: a profile becomes Ready, a change reaches every node, one in use is kept and deleted
/// with its pod, and both plugins see all of it.
fn check_everything(cluster: &Session, previous: &PreviousRelease, name: &str) {
    let plugins = [previous.plugin(), PLUGIN.join("kubectl-seccomp")];
    let profile = cluster.profile(name, &allow_all(1));
    profile.wait_ready();
    profile.update(&allow_all(2));
    for program in &plugins {
        let waited = plugin(cluster, program, &["wait", name, "--timeout=30s"]);
        assert!(waited.contains("is ready"), "{}: {waited}", program.display());
    }
    profile.wait_ready();
    for program in &plugins {
        // It exits with 0 because every node's report equals the specs.
        let verified = plugin(cluster, program, &["verify"]);
        assert!(verified.starts_with("Verified:"), "{}: {verified}", program.display());
        let status = plugin(cluster, program, &["status"]);
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(line.contains("Ready"), "{}: {status}", program.display());
        let nodes = plugin(cluster, program, &["nodes"]);
        assert!(nodes.contains("node-1"), "{}: {nodes}", program.display());
    }
    let user = cluster.pod(&sleeper(&format!("user-of-{name}"), name));
    user.wait_running();
    profile.begin_deletion();
    profile.wait_condition("Deleting", "InUse");
    user.remove();
    profile.wait_gone(LIMIT);
    until(&format!("{name} being off every disk"), LIMIT, || {
        profile.on_disks().iter().all(|(_, found)| found.is_none()).then_some(())
    });
}

#[test]
#[ignore = "long: builds the programs of the release before"]
fn programs_of_the_release_before_work_with_those_of_this_one_and_the_other_way_round() {
    let Some(previous) = PreviousRelease::build().unwrap_or_else(|error| panic!("{error}")) else {
        // A source archive has no history; a clone with too little of it can fetch more.
        assert!(
            !repository().join(".git").exists(),
            "the release before is not in the history: `git fetch --unshallow`"
        );
        print_line("there is no history, and so no release before; nothing is tried");
        return;
    };
    let cluster = alone();
    print_line(&format!("the release before is {}", previous.commit()));
    let images = tempfile::tempdir().unwrap();
    for archive in previous.images(images.path()).unwrap() {
        cluster.load_image(&archive).unwrap_or_else(|error| panic!("{error}"));
    }
    let kept = cluster.profile("kept", &allow_all(0));
    kept.wait_ready();
    let _reinstall = Reinstall(&cluster);

    for (workload, other) in [(AGENT, OPERATOR), (OPERATOR, AGENT)] {
        let older = PreviousWorkload::install(&cluster, workload, &previous);
        other.wait_runs(&cluster, VERSION);
        kept.wait_ready();
        check_everything(&cluster, &previous, &format!("with-an-older-{}", workload.component));
        drop(older);
    }

    // The newer programs with the older definitions, as when `crds.install=false` leaves them to the administrator.
    apply_definitions(&cluster, &previous.chart());
    kept.wait_ready();
    check_everything(&cluster, &previous, "on-older-definitions");
    apply_definitions(&cluster, &repository().join("charts").join(NAMESPACE));

    // The whole previous release with its own definitions, read by the newer plugin, and the upgrade from it.
    cluster.helm(["uninstall", NAMESPACE, "--namespace", NAMESPACE]).unwrap();
    let tags = tags(previous.commit());
    let values: Vec<_> = tags.iter().map(String::as_str).chain(["--take-ownership"]).collect();
    cluster.client().install_chart(&previous.chart(), &values).unwrap_or_else(|error| panic!("{error}"));
    OPERATOR.wait_runs(&cluster, previous.commit());
    AGENT.wait_runs(&cluster, previous.commit());
    kept.wait_ready();
    check_everything(&cluster, &previous, "of-the-older-alone");

    let chart = repository().join("charts").join(NAMESPACE);
    cluster.client().install_chart(&chart, &[]).unwrap_or_else(|error| panic!("{error}"));
    OPERATOR.wait_runs(&cluster, VERSION);
    AGENT.wait_runs(&cluster, VERSION);
    kept.wait_ready();
    check_everything(&cluster, &previous, "after-the-upgrade");
    assert!(kept.on_disks().iter().all(|(_, found)| *found == Some(bytes_of(&allow_all(0)))));
}
