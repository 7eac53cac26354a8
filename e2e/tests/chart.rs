//! The Helm chart as it renders, without a cluster: what it must have in common with the programs, and what nobody
//! may change in passing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use api::Selection;
use cluster::NAMESPACE;
use daemon::metrics::Label;
use e2e::rendered::{self, RenderError};
use operator::denied_call::DenialReason;
use operator::gate::nodes::notice::{NOT_FOR_NODE, NodeNotice};
use operator::gate::pods::notice::{LEFT_OUT, NOT_LIFTED, WaitReason};
use operator::gate::sandboxes::notice::{IN_SANDBOX, UNKNOWN_RUNTIME};
use serde_json::{Value, json};
use xtask::chart::MUTATING_POLICY;
use xtask::workspace::repository;

/// The chart with its default values.
static RENDERED: LazyLock<Vec<Value>> = LazyLock::new(|| render(&[]).unwrap());

fn chart() -> PathBuf {
    repository().join("charts").join(NAMESPACE)
}

fn render(values: &[&str]) -> Result<Vec<Value>, RenderError> {
    rendered::objects(values)
}

fn of_kind(kind: &str) -> Vec<&'static Value> {
    rendered::of_kind(&RENDERED, kind)
}

fn only(kind: &str) -> &'static Value {
    rendered::only(&RENDERED, kind).unwrap_or_else(|| panic!("not one {kind}"))
}

fn operators_argument(name: &str) -> &'static str {
    let container = &only("Deployment")["spec"]["template"]["spec"]["containers"][0];
    let mut arguments =
        container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
    arguments.find_map(|argument| argument.strip_prefix(&format!("--{name}="))).unwrap()
}

#[test]
fn the_chart_holds_the_definitions_that_the_types_generate_byte_for_byte() {
    for (file, text) in api::crds::files().unwrap() {
        let held = fs::read_to_string(chart().join("charts/crds/templates").join(file)).unwrap();
        assert!(held == text, "{file} differs from the types of the crate api: run `make generate`");
    }
}

#[test]
fn the_definitions_and_nothing_else_stay_when_the_chart_is_uninstalled() {
    let kept = RENDERED
        .iter()
        .filter(|object| object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep")
        .map(|object| object["metadata"]["name"].as_str().unwrap());
    let mut kept: Vec<_> = kept.collect();
    kept.sort_unstable();
    assert_eq!(
        kept,
        [
            "nodeprofilestatuses.seccomp.imjasonh.dev",
            "seccompobservations.seccomp.imjasonh.dev",
            "seccompprofiles.seccomp.imjasonh.dev"
        ]
    );
}

#[test]
fn the_definitions_and_nothing_else_are_left_out_where_somebody_else_installs_them() {
    let without = render(&["--set", "crds.install=false"]).unwrap();
    let rest: Vec<_> =
        RENDERED.iter().filter(|object| object["kind"] != "CustomResourceDefinition").cloned().collect();
    assert_eq!(without, rest);
    assert_eq!(RENDERED.len() - rest.len(), 3);
}

#[test]
fn the_policy_lets_the_operator_change_the_finalizer_that_it_uses() {
    let policies = of_kind("ValidatingAdmissionPolicy");
    let policy = policies
        .iter()
        .find(|policy| policy["metadata"]["name"] == "seccomp-profile-operator-finalizer-only");
    let validations = policy.unwrap()["spec"]["validations"].to_string();
    assert_eq!(validations.matches(&format!("f != '{}'", api::names::FINALIZER)).count(), 2, "{validations}");
    assert_eq!(validations.matches("f != '").count(), 2, "{validations}");
}

/// What Helm creates after all else is deleted.
fn hooks(rendered: &[Value]) -> Vec<&Value> {
    let hook = |object: &&Value| !object["metadata"]["annotations"]["helm.sh/hook"].is_null();
    rendered.iter().filter(hook).collect()
}

#[test]
fn what_the_uninstallation_adds_comes_last_and_goes_with_it() {
    let hooks = hooks(&RENDERED);
    for hook in &hooks {
        let annotations = &hook["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/hook"], "post-delete");
        assert_eq!(annotations["helm.sh/hook-delete-policy"], "before-hook-creation,hook-succeeded");
        assert!(hook["metadata"]["name"].as_str().unwrap().starts_with("seccomp-profile-uninstall"));
    }
    let weight = |kind: &str| -> i32 {
        let hook = hooks.iter().find(|hook| hook["kind"] == kind).unwrap();
        hook["metadata"]["annotations"]["helm.sh/hook-weight"].as_str().unwrap().parse().unwrap()
    };
    // The rights that it needs are created before it runs.
    assert!(weight("ValidatingAdmissionPolicyBinding") < weight("ClusterRoleBinding"));
    assert!(weight("ClusterRoleBinding") < weight("Job") && weight("RoleBinding") < weight("Job"));
    assert_eq!(hooks.len(), 8);
    let without = render(&["--set", "uninstall.liftFinalizers=false"]).unwrap();
    assert_eq!(self::hooks(&without), Vec::<&Value>::new());
    assert_eq!(without.len(), RENDERED.len() - hooks.len());
}

#[test]
fn the_uninstallation_waits_for_the_pods_of_both_programs_and_for_none_else() {
    let pod = &only("Job")["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let mut arguments =
        container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
    let selector = arguments.find_map(|argument| argument.strip_prefix("--pods=")).unwrap();
    let (labels, component) = selector.split_once(",app.kubernetes.io/component in ").unwrap();
    assert_eq!(component, "(operator,node-agent,admission)");
    for kind in ["Deployment", "DaemonSet"] {
        let selected = &only(kind)["spec"]["selector"]["matchLabels"];
        assert_eq!(selected.as_object().unwrap().len(), 3);
        for label in labels.split(',') {
            let (key, value) = label.split_once('=').unwrap();
            assert_eq!(selected[key], value);
        }
        let own = selected["app.kubernetes.io/component"].as_str().unwrap();
        assert!(component.contains(own), "{own}");
    }
    assert_eq!(pod["metadata"]["labels"]["app.kubernetes.io/component"], "uninstall");
    // As variables, which an older image passes over, where it would refuse an argument that it does not know.
    for (name, kind) in [("DEPLOYMENT", "Deployment"), ("DAEMON_SET", "DaemonSet")] {
        let wanted = json!({ "name": name, "value": only(kind)["metadata"]["name"] });
        assert!(container["env"].as_array().unwrap().contains(&wanted), "{wanted}");
    }
    let lease = format!("--lease={}", operators_argument("lease"));
    assert!(container["args"].as_array().unwrap().contains(&json!(lease)), "{lease}");
}

#[test]
fn every_policy_is_bound_and_denies() {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    let policies: Vec<_> = of_kind("ValidatingAdmissionPolicy").into_iter().map(name).collect();
    let bindings = of_kind("ValidatingAdmissionPolicyBinding");
    let bound: Vec<_> =
        bindings.iter().map(|binding| binding["spec"]["policyName"].as_str().unwrap()).collect();
    assert_eq!(policies.len(), 6);
    assert_eq!(bound, policies);
    for binding in bindings {
        assert_eq!(binding["spec"], json!({ "policyName": name(binding), "validationActions": ["Deny"] }));
    }
    for policy in of_kind("ValidatingAdmissionPolicy") {
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    }
}

#[test]
fn where_the_api_server_can_it_adds_the_finalizer_that_the_operator_uses_while_the_operator_is_installed() {
    let rendered = render(&["--api-versions", MUTATING_POLICY]).unwrap();
    let policy = rendered::only(&rendered, "MutatingAdmissionPolicy").unwrap();
    let finalizer = format!("'{}'", api::names::FINALIZER);
    for expression in
        ["/spec/matchConditions/1/expression", "/spec/mutations/0/applyConfiguration/expression"]
    {
        assert_eq!(policy.pointer(expression).unwrap().as_str().unwrap().matches(&finalizer).count(), 1);
    }
    let binding = rendered::only(&rendered, "MutatingAdmissionPolicyBinding").unwrap();
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
    // It has an effect only as long as the operator's account exists.
    let account = &only("Deployment")["spec"]["template"]["spec"]["serviceAccountName"];
    let of_the_account = json!({
        "name": account, "namespace": NAMESPACE, "parameterNotFoundAction": "Allow",
    });
    assert_eq!(binding["spec"]["paramRef"], of_the_account);
    assert_eq!(rendered.len(), RENDERED.len() + 2);
}

#[test]
fn the_gate_is_off_by_default_and_its_policies_have_the_names_that_the_program_uses() {
    let named = |object: &&Value| object["metadata"]["name"].as_str().unwrap().contains("-gate");
    assert_eq!(RENDERED.iter().filter(named).count(), 0);
    let rendered = render(&["--set=gate.enabled=true", "--api-versions", MUTATING_POLICY]).unwrap();
    let of_the_gate: Vec<_> = rendered.iter().filter(named).collect();
    let policy = policy_on_pods(&rendered).unwrap();
    let gate = format!("'{}'", api::names::SCHEDULING_GATE);
    assert_eq!(policy["spec"]["mutations"].to_string().matches(&gate).count(), 1);
    let label = json!({ api::names::GATED_NAMESPACE: "true" });
    assert_eq!(policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"], label);
    let is_restriction = |object: &&&Value| {
        object["kind"] == "ValidatingAdmissionPolicy"
            && object["metadata"]["name"] == "seccomp-profile-gate-only"
    };
    let restricts = of_the_gate.iter().find(is_restriction).unwrap();
    assert!(restricts["spec"]["validations"].to_string().contains(&gate));
    let deployment = of_the_gate.iter().find(|object| object["kind"] == "Deployment").unwrap();
    fully_restricted(&deployment["spec"]["template"]["spec"]);
    one_port(&deployment["spec"]["template"]["spec"]);
    // It takes the gate off the pods that the policy has gated, by the same directory.
    let in_other_directory =
        render(&["--set=gate.enabled=true,directory=a.b/c", "--api-versions", MUTATING_POLICY]).unwrap();
    let text = serde_json::to_string(&in_other_directory).unwrap();
    assert!(text.contains("--directory=a.b/c") && text.contains(r"a\\.b/(\\.?/)*c/"), "{text}");
}

/// The texts in quotes behind `in` in the second validation of a policy about Events: the reasons of all that it leaves.
fn reasons_left(rendered: &[Value], policy: &str) -> BTreeSet<String> {
    let of_kind = rendered::of_kind(rendered, "ValidatingAdmissionPolicy");
    let policy = of_kind.into_iter().find(|object| object["metadata"]["name"] == policy).unwrap();
    let expression = policy["spec"]["validations"][1]["expression"].as_str().unwrap();
    let lists = expression.split(" in [").skip(1).map(|rest| rest.split_once(']').unwrap().0);
    lists.flat_map(|list| list.split(", ")).map(|reason| reason.trim_matches('\'').to_owned()).collect()
}

#[test]
fn the_policies_about_events_leave_the_reasons_that_the_programs_give() {
    let rendered = render(&["--set=gate.enabled=true,observer.enabled=true"]).unwrap();
    let of_pods = WaitReason::ALL.iter().map(|reason| reason.event()).chain([
        LEFT_OUT,
        NOT_LIFTED,
        NOT_FOR_NODE,
        IN_SANDBOX,
        UNKNOWN_RUNTIME,
    ]);
    let of_gate = of_pods.chain(NodeNotice::ALL.map(NodeNotice::reason)).map(str::to_owned);
    assert_eq!(reasons_left(&rendered, "seccomp-profile-gate-events-only"), of_gate.collect());
    let of_operator = DenialReason::ALL.map(|reason| reason.reason().to_owned());
    assert_eq!(reasons_left(&rendered, "seccomp-profile-operator-events-only"), of_operator.into());
}

/// The policy that changes new pods.
fn policy_on_pods(rendered: &[Value]) -> Option<&Value> {
    let policies = rendered::of_kind(rendered, "MutatingAdmissionPolicy");
    policies.into_iter().find(|policy| policy["metadata"]["name"] == "seccomp-profile-pods")
}

#[test]
fn the_default_of_a_namespace_is_off_by_default_and_by_the_annotation_that_the_docs_name() {
    assert_eq!(policy_on_pods(&render(&["--api-versions", MUTATING_POLICY]).unwrap()), None);
    let rendered =
        render(&["--set=namespaceDefault.enabled=true", "--api-versions", MUTATING_POLICY]).unwrap();
    let annotation = format!("'{}'", api::names::DEFAULT_PROFILE);
    let variables = &policy_on_pods(&rendered).unwrap()["spec"]["variables"];
    assert_eq!(variables.to_string().matches(&annotation).count(), 1);
    let page = repository().join("docs/how-to/default-for-a-namespace.md");
    assert!(fs::read_to_string(page).unwrap().contains(api::names::DEFAULT_PROFILE));
}

#[test]
fn the_operator_knows_agents_by_the_labels_of_the_daemon_set() {
    let spec = &only("DaemonSet")["spec"];
    let wanted: BTreeMap<&str, &str> = operators_argument("agent-label-selector")
        .split(',')
        .map(|label| label.split_once('=').unwrap())
        .collect();
    assert_eq!(json!(wanted), spec["selector"]["matchLabels"]);
    for (key, value) in wanted {
        assert_eq!(spec["template"]["metadata"]["labels"][key], value);
    }
}

/// The node selection that the chart gives to the agents and to the operator with these values; both must be the same.
fn selection(values: &[&str]) -> Selection {
    let rendered = render(values).unwrap();
    let object = |kind: &str| rendered.iter().find(|object| object["kind"] == kind).unwrap();
    let agents = &object("DaemonSet")["spec"]["template"]["spec"];
    let arguments = &object("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"];
    let argument = |name: &str| -> Value {
        let mut all = arguments.as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
        let text = all.find_map(|argument| argument.strip_prefix(name)).unwrap();
        serde_json::from_str(text).unwrap()
    };
    let (labels, affinity) = (argument("--node-selector="), argument("--node-affinity="));
    assert_eq!(labels, agents["nodeSelector"]);
    assert_eq!(
        affinity,
        agents["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    );
    Selection {
        labels: serde_json::from_value(labels).unwrap(),
        affinity: serde_json::from_value(affinity).unwrap(),
    }
}

/// Whether a Linux node with these labels is selected.
fn selects(selection: &Selection, labels: &[(&str, &str)]) -> bool {
    let os = ("kubernetes.io/os", "linux");
    let all = labels.iter().chain([&os]).map(|(key, value)| (key.to_string(), value.to_string()));
    selection.matches("node-1", &all.collect())
}

#[test]
fn the_operator_waits_for_the_nodes_that_the_daemon_set_runs_on() {
    let terms = r#"agent.nodeAffinity.nodeSelectorTerms=[{"matchExpressions":[{"key":"type","operator":"NotIn","values":["virtual"]}]}]"#;
    let selection = selection(&["--set-json", terms, "--set", "agent.nodeSelector.disk=fast"]);
    assert!(selects(&selection, &[("disk", "fast")]));
    assert!(!selects(&selection, &[]));
    assert!(!selects(&selection, &[("disk", "fast"), ("type", "virtual")]));
    // A list of one's own takes the place of the default.
    assert!(selects(&selection, &[("disk", "fast"), ("type", "virtual-kubelet")]));
}

#[test]
fn nobody_waits_for_fargate_or_a_virtual_node() {
    let selection = selection(&[]);
    for virtual_node in [
        ("eks.amazonaws.com/compute-type", "fargate"),
        ("type", "virtual-kubelet"),
        ("virtualization", "virtualnode2"),
        ("node.kubernetes.io/instance-type", "eklet"),
        ("node-role.kubernetes.io/virtual-node", ""),
        ("liqo.io/type", "virtual-node"),
    ] {
        assert!(!selects(&selection, &[virtual_node]), "{virtual_node:?}");
    }
    for machine in [
        ("eks.amazonaws.com/compute-type", "ec2"),
        ("eks.amazonaws.com/compute-type", "hybrid"),
        ("type", "vm"),
        ("node.kubernetes.io/instance-type", "m7g.large"),
        ("node-role.kubernetes.io/control-plane", ""),
    ] {
        assert!(selects(&selection, &[machine]), "{machine:?}");
    }
    assert!(selects(&selection, &[]));
}

#[test]
fn operators_stand_for_election_by_the_lease_that_they_have_a_right_to() {
    let roles = of_kind("Role");
    let rules = roles.iter().flat_map(|role| role["rules"].as_array().unwrap());
    let leases = rules.filter(|rule| rule["resources"] == json!(["leases"]));
    let named: Vec<_> = leases.filter_map(|rule| rule.get("resourceNames")).collect();
    let own = operators_argument("lease");
    // The second is the uninstallation's, to delete it, and those of the other programs, which may have been on.
    assert_eq!(named, [&json!([own]), &json!([own, "seccomp-profile-gate", "seccomp-profile-admission"])]);
}

#[test]
fn there_are_two_operators_rather_on_different_nodes_and_never_none() {
    let spec = &only("Deployment")["spec"];
    assert_eq!(spec["replicas"], 2);
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({ "maxSurge": 1, "maxUnavailable": 0 }));
    let apart = &spec["template"]["spec"]["affinity"]["podAntiAffinity"];
    let terms = apart["preferredDuringSchedulingIgnoredDuringExecution"].as_array().unwrap();
    let topologies: Vec<_> = terms.iter().map(|term| &term["podAffinityTerm"]["topologyKey"]).collect();
    assert_eq!(topologies, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    for term in terms {
        assert_eq!(term["podAffinityTerm"]["labelSelector"], spec["selector"]);
    }
    let budget = &only("PodDisruptionBudget")["spec"];
    assert_eq!((&budget["maxUnavailable"], &budget["selector"]), (&json!(1), &spec["selector"]));
}

#[test]
fn a_single_operator_may_be_drained() {
    let rendered = render(&["--set", "operator.replicas=1"]).unwrap();
    assert!(rendered.iter().all(|object| object["kind"] != "PodDisruptionBudget"));
    let deployment = rendered.iter().find(|object| object["kind"] == "Deployment").unwrap();
    assert_eq!(deployment["spec"]["template"]["spec"]["affinity"], Value::Null);
}

#[test]
fn the_rights_are_exactly_these() {
    let mut rights = BTreeMap::new();
    for kind in ["ClusterRole", "Role"] {
        for role in of_kind(kind) {
            let place =
                role["metadata"]["namespace"].as_str().map_or(String::new(), |place| format!(" in {place}"));
            let name = format!("{kind} {}{place}", role["metadata"]["name"].as_str().unwrap());
            let rules: Vec<_> = role["rules"].as_array().unwrap().iter().map(rule).collect();
            rights.insert(name, rules);
        }
    }
    let text: String =
        rights.iter().map(|(role, rules)| format!("{role}\n  {}\n", rules.join("\n  "))).collect();
    assert!(!text.contains('*'), "a wildcard:\n{text}");
    insta::assert_snapshot!(text);
}

/// A rule on a line: verbs, then resources with their group, then the objects if only some are meant.
fn rule(rule: &Value) -> String {
    let named = rule.get("resourceNames").is_some();
    assert_eq!(rule.as_object().unwrap().len(), if named { 4 } else { 3 }, "{rule}");
    let words = |field: &str| -> Vec<&str> {
        rule[field].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
    };
    let groups = words("apiGroups").join(",");
    let names = if named { format!(" named {}", words("resourceNames").join(",")) } else { String::new() };
    format!("{} {} ({groups:?}){names}", words("verbs").join(","), words("resources").join(","))
}

#[test]
fn the_pods_of_the_operator_and_the_uninstallation_are_fully_restricted() {
    for kind in ["Deployment", "Job"] {
        fully_restricted(&only(kind)["spec"]["template"]["spec"]);
    }
    one_port(&only("Deployment")["spec"]["template"]["spec"]);
}

fn fully_restricted(spec: &Value) {
    assert_eq!(
        spec["securityContext"],
        json!({
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        })
    );
    assert_eq!(
        spec["containers"][0]["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        })
    );
    assert_eq!(spec["volumes"], Value::Null);
    one_plain_container(spec);
}

#[test]
fn the_agents_pod_is_root_without_capabilities_and_sees_its_own_directory_only() {
    let spec = &only("DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(
        spec["securityContext"],
        json!({ "runAsUser": 0, "runAsGroup": 0, "seccompProfile": { "type": "RuntimeDefault" } })
    );
    assert_eq!(
        spec["containers"][0]["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        })
    );
    let directory = "/var/lib/kubelet/seccomp/profiles";
    assert_eq!(
        spec["volumes"],
        json!([{ "name": "profiles", "hostPath": { "path": directory, "type": "DirectoryOrCreate" } }])
    );
    assert_eq!(
        spec["containers"][0]["volumeMounts"],
        json!([{ "name": "profiles", "mountPath": directory }])
    );
    assert_eq!(spec["tolerations"], json!([{ "operator": "Exists" }]));
    assert_eq!(spec["priorityClassName"], "system-node-critical");
    one_plain_container(spec);
    one_port(spec);
}

fn one_plain_container(spec: &Value) {
    assert_eq!(spec["containers"].as_array().unwrap().len(), 1);
    for absent in ["initContainers", "hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
        assert_eq!(spec[absent], Value::Null, "{absent}");
    }
    assert!(spec["containers"][0]["resources"]["limits"]["memory"].is_string());
}

fn one_port(spec: &Value) {
    let ports: Vec<_> = spec["containers"][0]["ports"].as_array().unwrap().iter().collect();
    assert_eq!(ports, [&json!({ "name": "http", "containerPort": 8080, "protocol": "TCP" })]);
}

#[test]
fn every_template_has_a_suite_of_unit_tests() {
    let relative = |path: &Path| path.strip_prefix(chart()).unwrap().display().to_string();
    let suites: Vec<_> =
        files(&chart().join("tests")).iter().map(|p| fs::read_to_string(p).unwrap()).collect();
    let templates = ["templates", "charts/crds/templates"].map(|folder| files(&chart().join(folder)));
    for template in templates.iter().flatten() {
        let template = relative(template);
        let line = format!("templates: [{template}]");
        let tested = suites.iter().any(|suite| suite.lines().any(|found| found == line));
        assert!(tested || template.ends_with(".tpl"), "no suite in tests/ has the line `{line}`");
    }
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_schema_of_the_values_is_closed_everywhere() {
    let text = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut open = Vec::new();
    find_open("", &schema, &mut open);
    // Helm hands it to every chart with whatever the parent chart has.
    assert_eq!(open, ["/definitions/global"]);
}

fn find_open(path: &str, schema: &Value, open: &mut Vec<String>) {
    let more = &schema["additionalProperties"];
    let fields = schema["type"] == "object" || schema.get("properties").is_some_and(Value::is_object);
    if fields && (more.is_null() || *more == true) {
        open.push(path.to_owned());
    }
    match schema {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| find_open(&format!("{path}/{key}"), value, open));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| find_open(&format!("{path}/{at}"), value, open));
        }
        _ => {}
    }
}

#[test]
fn a_misspelt_or_senseless_value_is_refused_by_name() {
    for (value, named) in [
        ("agent.imagee.tag=1", "imagee"),
        ("log.level=loud", "level"),
        ("directory=/absolute", "directory"),
        ("directory=../up", "directory"),
        ("kubeletRoot=relative", "kubeletRoot"),
        ("agent.checkIntervalSeconds=0", "checkIntervalSeconds"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("operator.resources.limits.memory=much", "memory"),
        ("operator.replicas=0", "replicas"),
        // Every role of the chart would be aggregated, the editor's among them.
        (r"commonLabels.rbac\.authorization\.k8s\.io/aggregate-to-edit=yes", "aggregate-to-edit"),
        // Objects carry it with another value.
        (r"commonLabels.app\.kubernetes\.io/component=mine", "component"),
        ("operator.affinity.nodeAfinity.a=b", "nodeAfinity"),
        ("networkPolicy.apiServer.cidrs[0]=everywhere", "cidrs"),
        // Without keys nothing would have to be signed.
        (
            "admission.enabled=true,admission.images.enabled=true,admission.images.signatures.repositories={a.example}",
            "signatures.keys",
        ),
        // It names no registry, and the webhook would not start.
        ("admission.images.signatures.repositories={team/app}", "repositories"),
        ("admission.images.signatures.repositories={registry.example/app:1}", "repositories"),
    ] {
        let refusal = render(&["--set", value]).unwrap_err().to_string();
        assert!(refusal.contains(named), "{value}: {refusal}");
    }
}
