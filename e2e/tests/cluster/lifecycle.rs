//! The chart comes and goes.

use e2e::build_images::repository;
use e2e::cluster::NAMESPACE;
use serde_json::{Value, json};

use super::support::{LIMIT, Session, alone, bytes_of, complain, harmless, said, shared, text, until};

/// The chart on the cluster again, when this is dropped.
struct Reinstall<'a>(&'a Session);

impl Drop for Reinstall<'_> {
    fn drop(&mut self) {
        let chart = repository().join("charts").join(NAMESPACE);
        complain(self.0.client().install_chart(&chart, &[]).map(drop));
    }
}

#[test]
fn uninstalling_the_chart_keeps_definitions_profiles_and_files_and_installing_it_goes_on() {
    let cluster = alone();
    let profile = cluster.profile("survivor", &harmless(0));
    profile.ready();
    {
        let _reinstall = Reinstall(&cluster);
        cluster.helm(["uninstall", NAMESPACE, "--namespace", NAMESPACE, "--wait"]).unwrap();
        until("nothing of the chart being left in its namespace", LIMIT, || {
            let kinds = "pods,serviceaccounts,deployments,daemonsets,resourcequotas";
            let left = cluster.ok(["-n", NAMESPACE, "get", kinds, "-o", "name"]);
            (left.trim() == "serviceaccount/default").then_some(())
        });
        let crds = cluster.ok(["get", "crds", "-o", "name"]);
        for kind in ["seccompprofiles", "nodeprofilestatuses"] {
            assert!(crds.contains(&format!("{kind}.seccomp.imjasonh.dev")), "{crds}");
        }
        assert_eq!(profile.view().text("/metadata/name"), "survivor");
        for (node, found) in profile.on_disks() {
            assert_eq!(text(&found), text(&Some(bytes_of(&harmless(0)))), "{node}");
        }
    }
    cluster.rolled_out();
    profile.update(&harmless(1));
    profile.ready();
}

/// A namespace that enforces Pod Security, until this is dropped.
struct Enforcing<'a> {
    session: &'a Session,
    name: &'static str,
}

impl<'a> Enforcing<'a> {
    fn new(session: &'a Session, name: &'static str, level: &str) -> Self {
        let labels = json!({ "pod-security.kubernetes.io/enforce": level });
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels },
        });
        session.try_apply(&namespace).unwrap();
        Enforcing { session, name }
    }

    /// Whether the pods of a workload of ours would be admitted.
    fn admits(&self, workload: &str) -> Result<String, String> {
        let workload = self.session.json(["-n", NAMESPACE, "get", workload]);
        let mut pod = workload["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"] = json!({ "name": "tried", "namespace": self.name });
        // Neither exists in this namespace, and neither is what Pod Security looks at.
        let spec = pod["spec"].as_object_mut().unwrap();
        spec.insert("serviceAccountName".to_owned(), "default".into());
        spec.insert("serviceAccount".to_owned(), Value::Null);
        spec.insert("priorityClassName".to_owned(), Value::Null);
        let create = ["create", "--dry-run=server", "-f", "-"];
        said(self.session.kubectl_input(create, &pod.to_string()))
    }
}

impl Drop for Enforcing<'_> {
    fn drop(&mut self) {
        complain(self.session.kubectl(["delete", "namespace", self.name, "--wait=false"]).map(drop));
    }
}

#[test]
fn the_operators_pod_meets_the_restricted_pod_security_standard_and_the_agents_needs_a_privileged_namespace()
{
    let cluster = shared();
    let restricted = Enforcing::new(&cluster, "enforces-restricted", "restricted");
    restricted.admits("deployment/seccomp-profile-operator").unwrap_or_else(|error| panic!("{error}"));
    let refused = restricted.admits("daemonset/seccomp-profile-node-agent").unwrap_err();
    assert!(refused.contains("hostPath") && refused.contains("runAsUser=0"), "{refused}");
    let privileged = Enforcing::new(&cluster, "enforces-privileged", "privileged");
    privileged.admits("daemonset/seccomp-profile-node-agent").unwrap_or_else(|error| panic!("{error}"));
}
