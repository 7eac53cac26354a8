//! A program of the release that is away for a while.

use cluster::NAMESPACE;

use super::support::{LIMIT, Session, expect_cleanup, output, until};

/// A Deployment of the release that has been scaled to none; when this is dropped it has its pods again.
pub(crate) struct Down<'a> {
    cluster: &'a Session,
    name: &'a str,
    replicas: String,
}

impl<'a> Down<'a> {
    /// Scales it to none, and waits until no pod of it is left.
    pub(crate) fn new(cluster: &'a Session, name: &'a str) -> Self {
        let deployment = cluster.json(["-n", NAMESPACE, "get", "deployment", name]);
        let replicas = deployment["spec"]["replicas"].to_string();
        let labels = deployment["spec"]["selector"]["matchLabels"].as_object().unwrap();
        let selector: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
        let down = Self { cluster, name, replicas };
        down.scale("0").unwrap_or_else(|error| panic!("{error}"));
        let selector = selector.join(",");
        cluster.ok(["-n", NAMESPACE, "wait", "--for=delete", "pods", "-l", &selector, "--timeout=60s"]);
        down
    }

    fn scale(&self, replicas: &str) -> Result<(), String> {
        let replicas = format!("--replicas={replicas}");
        let scaled = self.cluster.kubectl(["-n", NAMESPACE, "scale", "deployment", self.name, &replicas]);
        output(scaled.map(|_| String::new())).map(drop)
    }

    /// Gives it its pods again, and waits until the first one is ready.
    pub(crate) fn end(self) {
        self.scale(&self.replicas).unwrap_or_else(|error| panic!("{error}"));
        until("a pod that is ready", LIMIT, || {
            let deployment = self.cluster.json(["-n", NAMESPACE, "get", "deployment", self.name]);
            deployment["status"]["readyReplicas"].as_u64().filter(|ready| *ready > 0)
        });
    }
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        expect_cleanup(self.scale(&self.replicas));
    }
}
