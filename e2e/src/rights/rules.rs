//! What roles grant to an account.

use serde_json::Value;

use super::request::Request;

/// One rule of a role that is bound to the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What may be done.
    pub verbs: Vec<String>,
    /// The API groups.
    pub groups: Vec<String>,
    /// The kinds, and parts of kinds.
    pub resources: Vec<String>,
    /// The only objects, where there are any.
    pub names: Vec<String>,
    /// The only namespace, where there is one.
    pub namespace: Option<String>,
}

/// All rights of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights(pub Vec<Rule>);

/// What every account of a cluster may do, by the roles of Kubernetes itself (`system:basic-user` and
/// `system:cluster-trust-bundle-discovery`): ask who it is and what it may, and read public certificates. A test on
/// the cluster holds it to an account without any role.
pub fn of_everybody() -> Rights {
    let rule = |verbs: &[&str], group: &str, resources: &[&str]| Rule {
        verbs: owned(verbs),
        groups: owned(&[group]),
        resources: owned(resources),
        names: Vec::new(),
        namespace: None,
    };
    Rights(vec![
        rule(&["create"], "authentication.k8s.io", &["selfsubjectreviews"]),
        rule(&["create"], "authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        rule(&["get", "list", "watch"], "certificates.k8s.io", &["clustertrustbundles"]),
    ])
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Rights {
    /// What the roles and bindings among `objects` grant to the service account.
    pub fn of(namespace: &str, account: &str, objects: &[Value]) -> Self {
        let mut rules = Vec::new();
        for binding in objects {
            let place = match binding["kind"].as_str() {
                Some("ClusterRoleBinding") => None,
                Some("RoleBinding") => binding["metadata"]["namespace"].as_str(),
                _ => continue,
            };
            let is_account = |subject: &Value| {
                subject["kind"] == "ServiceAccount"
                    && subject["name"] == account
                    && subject["namespace"] == namespace
            };
            if !binding["subjects"].as_array().into_iter().flatten().any(is_account) {
                continue;
            }
            let role = &binding["roleRef"];
            let is_role = |object: &&Value| {
                object["kind"] == role["kind"]
                    && object["metadata"]["name"] == role["name"]
                    && (object["kind"] == "ClusterRole" || object["metadata"]["namespace"].as_str() == place)
            };
            let granted =
                objects.iter().filter(is_role).filter_map(|role| role["rules"].as_array()).flatten();
            rules.extend(granted.map(|rule| Rule {
                verbs: words(rule, "verbs"),
                groups: words(rule, "apiGroups"),
                resources: words(rule, "resources"),
                names: words(rule, "resourceNames"),
                namespace: place.map(str::to_owned),
            }));
        }
        Rights(rules)
    }

    /// Whether a role allows the request.
    pub fn allow(&self, request: &Request) -> bool {
        let resource = request.resource();
        self.0.iter().any(|rule| {
            has(&rule.verbs, request.verb.in_roles())
                && has(&rule.groups, request.kind.group)
                && has(&rule.resources, &resource)
                // A rule with names does not match the requested name.
                && rule.names.is_empty()
                && (rule.namespace.is_none() || rule.namespace.as_deref() == request.namespace)
        })
    }
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|held| held == word || held == "*")
}

fn words(rule: &Value, field: &str) -> Vec<String> {
    rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::request;
    use super::*;
    use serde_json::json;

    fn objects() -> Vec<Value> {
        let role = |kind: &str, rule: Value| json!({ "kind": kind, "metadata": { "name": "r", "namespace": "default" }, "rules": [rule] });
        let binding = |kind: &str, role: &str, account: &str| {
            json!({
                "kind": kind, "metadata": { "namespace": "default" }, "roleRef": { "kind": role, "name": "r" },
                "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": "ours" }],
            })
        };
        vec![
            role(
                "ClusterRole",
                json!({ "apiGroups": [""], "resources": ["nodes", "pods/exec"], "verbs": ["get"] }),
            ),
            role(
                "Role",
                json!({ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"] }),
            ),
            binding("ClusterRoleBinding", "ClusterRole", "a"),
            binding("RoleBinding", "Role", "a"),
            binding("RoleBinding", "Role", "b"),
        ]
    }

    fn allowed(account: &str) -> Vec<String> {
        let rights = Rights::of("ours", account, &objects());
        let allowed = request::all().filter(|request| rights.allow(request));
        allowed.map(|request| format!("{} {}", request.method(), request.path())).collect()
    }

    #[test]
    fn a_role_grants_its_rules_where_it_is_bound_and_nothing_else() {
        let lease = "POST /apis/coordination.k8s.io/v1/namespaces/default/leases?dryRun=All";
        assert_eq!(allowed("b"), [lease]);
        assert_eq!(
            allowed("a"),
            [
                "GET /api/v1/nodes/of-somebody",
                "GET /api/v1/namespaces/default/pods/of-somebody/exec",
                "GET /api/v1/namespaces/kube-system/pods/of-somebody/exec",
                "GET /api/v1/namespaces/seccomp-profile/pods/of-somebody/exec",
                lease,
            ]
        );
        assert_eq!(allowed("c"), [""; 0]);
    }
}
