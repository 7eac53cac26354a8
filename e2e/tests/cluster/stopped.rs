//! Stops the agents or the operator by scaling their workloads.

use super::support::{LIMIT, Session, expect_cleanup, until};

const AGENTS: &str = "daemonset/seccomp-profile-node-agent";
const OPERATOR: &str = "deployment/seccomp-profile-operator";
pub(crate) const AGENT_PODS: &str = "--selector=app.kubernetes.io/component=node-agent";
pub(crate) const OPERATOR_PODS: &str = "--selector=app.kubernetes.io/component=operator";

/// A workload without pods, or with fewer; it is restored when this is dropped.
pub(crate) struct Stopped<'a> {
    session: &'a Session,
    workload: &'static str,
    start: String,
}

impl<'a> Stopped<'a> {
    /// Selects the agents' nodes by a label that no node has.
    pub(crate) fn agents(session: &'a Session) -> Self {
        let stopped = Self::select(session, "nowhere", "true");
        stopped.until_none(AGENT_PODS);
        stopped
    }

    /// Agents run on one node only. The other nodes are Ready, so the operator waits for them.
    pub(crate) fn agents_but_one(session: &'a Session, node: &str) -> Self {
        let stopped = Self::select(session, "kubernetes.io/hostname", node);
        until("no agent elsewhere", LIMIT, || {
            let all = ["-n", "seccomp-profile", "get", "pods", AGENT_PODS];
            let all = session.json(all);
            let pods = all["items"].as_array().unwrap();
            pods.iter().all(|pod| pod["spec"]["nodeName"] == node).then_some(())
        });
        session.wait_rolled_out();
        stopped
    }

    pub(crate) fn operator(session: &'a Session) -> Self {
        let (stop, start) = (r#"{"spec":{"replicas":0}}"#, r#"{"spec":{"replicas":2}}"#);
        let stopped = Self::stop(session, OPERATOR, stop, start.to_owned());
        stopped.until_none(OPERATOR_PODS);
        stopped
    }

    fn select(session: &'a Session, label: &str, value: &str) -> Self {
        let selector = |value: serde_json::Value| serde_json::json!({ "spec": { "template": { "spec": { "nodeSelector": { label: value } } } } });
        Self::stop(session, AGENTS, &selector(value.into()).to_string(), selector(().into()).to_string())
    }

    fn stop(session: &'a Session, workload: &'static str, stop: &str, start: String) -> Self {
        session.ok(["-n", "seccomp-profile", "patch", workload, "--patch", stop]);
        Stopped { session, workload, start }
    }

    fn until_none(&self, pods: &str) {
        until(&format!("no pod of {}", self.workload), LIMIT, || {
            let left = self.session.ok(["-n", "seccomp-profile", "get", "pods", pods, "-o", "name"]);
            left.is_empty().then_some(())
        });
    }

    pub(crate) fn start(self) {}
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let patch = ["-n", "seccomp-profile", "patch", self.workload, "--patch", &self.start];
        expect_cleanup(self.session.kubectl(patch).map(drop));
        let status = ["-n", "seccomp-profile", "rollout", "status", "--timeout=60s", self.workload];
        expect_cleanup(self.session.kubectl(status).map(drop));
    }
}
