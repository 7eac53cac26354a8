//! The chart's requirements for its namespace.

use cluster::NAMESPACE;
use serde_json::{Value, json};

use super::support::{LIMIT, Session, expect_cleanup, output, shared, until};

/// A namespace that enforces Pod Security; it is deleted when this is dropped.
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
        let enforcing = Enforcing { session, name };
        until("the account of the namespace's pods", LIMIT, || {
            session.kubectl(["-n", name, "get", "serviceaccount", "default"]).ok()
        });
        enforcing
    }

    /// Whether the pods of one of our workloads would be admitted.
    fn admits(&self, workload: &str) -> Result<String, String> {
        let workload = self.session.json(["-n", NAMESPACE, "get", workload]);
        let mut pod = workload["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"] = json!({ "name": "tried", "namespace": self.name });
        // Neither exists in this namespace, and Pod Security checks neither.
        let spec = pod["spec"].as_object_mut().unwrap();
        spec.insert("serviceAccountName".to_owned(), "default".into());
        spec.insert("serviceAccount".to_owned(), Value::Null);
        spec.insert("priorityClassName".to_owned(), Value::Null);
        let create = ["create", "--dry-run=server", "-f", "-"];
        output(self.session.kubectl_input(create, &pod.to_string()))
    }
}

impl Drop for Enforcing<'_> {
    fn drop(&mut self) {
        expect_cleanup(self.session.kubectl(["delete", "namespace", self.name, "--wait=false"]).map(drop));
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
