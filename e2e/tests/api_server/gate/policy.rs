//! Which pods the API server gates, by the chart's policy.

use api::names::SCHEDULING_GATE;
use cluster::NAMESPACE;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::super::support::{Environment, LIMIT, until};
use super::*;

const OTHERS: &str = "example.org/other";

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_names_a_profile_anywhere_is_gated_however_it_is_created() {
    let environment = environment().await;
    let admin = &environment.admin;
    let container =
        |path: &str| json!({ "name": "main", "image": "none", "securityContext": localhost(path) });
    let with = |field: &str, value: Value| {
        let mut pod = plain("tried");
        pod["spec"][field] = value;
        pod
    };
    let sidecar = json!({
        "name": "side", "image": "none", "restartPolicy": "Always", "securityContext": localhost("profiles/a.json"),
    });
    let init = json!([{ "name": "init", "image": "none", "securityContext": localhost("profiles/a.json") }]);
    let tied = json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] }]);
    let mut of_daemon_set = using("tried", "profiles/a.json");
    of_daemon_set["spec"]["affinity"] = json!({ "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": tied },
    } });
    for (what, pod) in [
        ("the pod", using("tried", "profiles/a.json")),
        (
            "a container",
            with("containers", json!([{ "name": "first", "image": "none" }, container("profiles/a.json")])),
        ),
        ("an init container", with("initContainers", init)),
        ("a sidecar", with("initContainers", json!([sidecar]))),
        ("a pod of a DaemonSet", of_daemon_set),
        ("a path that the runtime shortens", using("tried", ".//profiles/.//a.json")),
        ("a name that no profile can have", using("tried", "profiles/A_b.json")),
    ] {
        let created = dry_run(admin, SHOP, &pod).await;
        assert_eq!(gates(&created), [SCHEDULING_GATE], "{what}");
    }
    let mut generated = using("", "profiles/a.json");
    generated["metadata"] = json!({ "generateName": "generated-" });
    assert!(is_gated(&create(admin, SHOP, &generated).await));
    let apply = PatchParams::apply("test").force();
    let applied = using("applied", "profiles/a.json");
    for _ in 0..2 {
        let answer = pods(admin, SHOP).patch("applied", &apply, &Patch::Apply(&applied)).await.unwrap();
        assert_eq!(gates(&stored(answer)), [SCHEDULING_GATE]);
    }
    for (sent, kept) in [
        (vec![OTHERS], vec![OTHERS, SCHEDULING_GATE]),
        (vec![SCHEDULING_GATE, OTHERS], vec![SCHEDULING_GATE, OTHERS]),
    ] {
        let mut pod = using("tried", "profiles/a.json");
        pod["spec"]["schedulingGates"] = sent.iter().map(|gate| json!({ "name": gate })).collect();
        assert_eq!(gates(&dry_run(admin, SHOP, &pod).await), kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_pod_is_gated_or_refused() {
    let environment = environment().await;
    let admin = &environment.admin;
    let mut runtime_default = plain("tried");
    runtime_default["spec"]["securityContext"] = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    let mut bound = using("tried", "profiles/a.json");
    bound["spec"]["nodeName"] = "n1".into();
    let mut mirror = bound.clone();
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "hash" });
    for (what, pod) in [
        ("no profile", plain("tried")),
        ("the runtime's default", runtime_default),
        // The API server refuses a gate on it.
        ("a pod that is bound to a node", bound),
        ("a mirror pod", mirror),
        ("another directory", using("tried", "others/a.json")),
        ("a directory below", using("tried", "profiles/below/a.json")),
        ("a longer name", using("tried", "my-profiles/a.json")),
        ("another kind of file", using("tried", "profiles/a.txt")),
    ] {
        let created = dry_run(admin, SHOP, &pod).await;
        assert_eq!(gates(&created), [""; 0], "{what}");
    }
    create_namespace(admin, "without", None).await;
    create_namespace(admin, "false", Some("false")).await;
    for namespace in ["without", "false"] {
        let created = dry_run(admin, namespace, &using("tried", "profiles/a.json")).await;
        assert_eq!(gates(&created), [""; 0], "{namespace}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_never_gates_a_pod() {
    let environment = environment().await;
    let admin = &environment.admin;
    create_namespace(admin, "later", None).await;
    create(admin, "later", &using("web", "profiles/a.json")).await;
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let label = json!({ "metadata": { "labels": { "seccomp.imjasonh.dev/gate": "true" } } });
    namespaces.patch("later", &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    until("the label in force", LIMIT, async || {
        is_gated(&dry_run(admin, "later", &using("tried", "profiles/a.json")).await).then_some(())
    })
    .await;
    let change = json!({ "metadata": { "labels": { "changed": "yes" } } });
    let changed =
        pods(admin, "later").patch("web", &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
    assert_eq!(gates(&stored(changed)), [""; 0]);
}

/// A policy of somebody else that puts a profile on each pod of a namespace. The API server evaluates policies in a random
/// order, which is drawn anew when one of them changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_gated_for_a_profile_that_another_policy_adds_in_whatever_order_they_run() {
    let environment = environment().await;
    let admin = &environment.admin;
    let client = environment.server.command_line().unwrap();
    let binding = |number: usize| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
            "metadata": { "name": "default-profile", "annotations": { "number": number.to_string() } },
            "spec": { "policyName": "default-profile" },
        })
    };
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": { "name": "default-profile" },
        "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": { "resourceRules": [
                { "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] },
            ] },
            "mutations": [{ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression":
                "Object{spec: Object.spec{securityContext: Object.spec.securityContext{seccompProfile: \
                 Object.spec.securityContext.seccompProfile{type: 'Localhost', localhostProfile: 'profiles/a.json'}}}}",
            } }],
        },
    });
    client.kubectl_input(["apply", "-f", "-"], &policy.to_string()).unwrap();
    for number in 0..20 {
        client.kubectl_input(["apply", "-f", "-"], &binding(number).to_string()).unwrap();
        let created = until("the default in force", LIMIT, async || {
            let created = dry_run(admin, SHOP, &plain("tried")).await;
            (created["spec"]["securityContext"]["seccompProfile"]["type"] == "Localhost").then_some(created)
        })
        .await;
        assert_eq!(gates(&created), [SCHEDULING_GATE], "draw {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_gates_account_no_pod_is_gated_because_nobody_would_lift_the_gate() {
    let environment = environment().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(environment.admin.clone(), NAMESPACE);
    accounts.delete(&format!("{NAMESPACE}-gate"), &DeleteParams::default()).await.unwrap();
    until("the policy having no effect", LIMIT, async || {
        let created = dry_run(&environment.admin, SHOP, &using("tried", "profiles/a.json")).await;
        (!is_gated(&created)).then_some(())
    })
    .await;
}

/// Why the gate's program uses a JSON patch: nobody owns what admission has added.
#[tokio::test(flavor = "multi_thread")]
async fn server_side_apply_does_not_lift_a_gate_that_a_policy_has_added() {
    let environment: Environment = environment().await;
    create(&environment.admin, SHOP, &using("web", "profiles/a.json")).await;
    let mut without = using("web", "profiles/a.json");
    without["spec"]["schedulingGates"] = json!([]);
    let apply = PatchParams::apply("test").force();
    let answer = pods(&environment.admin, SHOP).patch("web", &apply, &Patch::Apply(&without)).await.unwrap();
    assert_eq!(gates(&stored(answer)), [SCHEDULING_GATE]);
}
