//! A namespace's default profile: which pods get it from the chart's policy, on a real API server.

use api::names::{DEFAULT_PROFILE, GATED_NAMESPACE, SCHEDULING_GATE};
use bench::api_server::Options;
use cluster::NAMESPACE;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::pods::{create, create_namespace, dry_run, gates, localhost, object, plain, pods, stored, using};
use super::support::{Environment, LIMIT, until};

/// The namespace with a default, and the path that its pods get.
const SHOP: &str = "shop";
const PATH: &str = "profiles/base.json";

/// An API server with the chart's policy and these values, and the namespace [`SHOP`].
async fn environment(values: &[&str]) -> Environment {
    let values = values.iter().flat_map(|value| ["--set", value]).map(String::from);
    let values = ["--set", "namespaceDefault.enabled=true"].map(String::from).into_iter().chain(values);
    let environment = Environment::with(Options { values: values.collect(), ..Options::default() }).await;
    create_namespace(&environment.admin, SHOP, &annotated("base")).await;
    // The policy takes effect a moment after it was created.
    until_given(&environment.admin, SHOP, PATH).await;
    environment
}

fn annotated(name: &str) -> Value {
    json!({ "annotations": { DEFAULT_PROFILE: name } })
}

/// The file that a pod names for all its containers; what it says instead, where it names none.
fn of_pod(pod: &Value) -> String {
    named(&pod["spec"]["securityContext"])
}

fn named(context: &Value) -> String {
    let profile = &context["seccompProfile"];
    profile["localhostProfile"].as_str().or(profile["type"].as_str()).unwrap_or("none").to_owned()
}

/// Waits until pods of the namespace get this. The API server learns of a changed Namespace by a watch.
async fn until_given(admin: &Client, namespace: &str, path: &str) {
    until(&format!("{path} for pods of {namespace}"), LIMIT, async || {
        (of_pod(&dry_run(admin, namespace, &plain("tried")).await) == path).then_some(())
    })
    .await;
}

/// Changes the annotations of a namespace.
async fn annotate(admin: &Client, namespace: &str, annotations: &Value) -> Result<(), kube::Error> {
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let change = json!({ "metadata": { "annotations": annotations } });
    namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(&change)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_a_profile_gets_the_default_of_its_namespace_however_it_is_created() {
    let environment = environment(&[]).await;
    let admin = &environment.admin;
    let mut generated = plain("");
    generated["metadata"] = json!({ "generateName": "generated-" });
    assert_eq!(of_pod(&create(admin, SHOP, &generated).await), PATH);
    let apply = PatchParams::apply("test").force();
    for _ in 0..2 {
        let patch = Patch::Apply(plain("applied"));
        let answer = pods(admin, SHOP).patch("applied", &apply, &patch).await.unwrap();
        assert_eq!(of_pod(&stored(answer)), PATH);
    }
    // Whatever else the security context holds stays.
    let mut with_user = plain("tried");
    with_user["spec"]["securityContext"] =
        json!({ "runAsUser": 7, "sysctls": [{ "name": "a", "value": "b" }] });
    let mut expected = with_user["spec"]["securityContext"].clone();
    expected["seccompProfile"] = localhost(PATH)["seccompProfile"].clone();
    assert_eq!(dry_run(admin, SHOP, &with_user).await["spec"]["securityContext"], expected);
    // A privileged pod, of which the runtime ignores the profile.
    let mut privileged = plain("tried");
    privileged["spec"]["containers"][0]["securityContext"] = json!({ "privileged": true });
    assert_eq!(of_pod(&dry_run(admin, SHOP, &privileged).await), PATH);

    // The first request after a namespace was created.
    create_namespace(admin, "new", &annotated("base")).await;
    assert_eq!(of_pod(&dry_run(admin, "new", &plain("tried")).await), PATH);
    annotate(admin, "new", &json!({ DEFAULT_PROFILE: "a.b-c" })).await.unwrap();
    until_given(admin, "new", "profiles/a.b-c.json").await;
    annotate(admin, "new", &json!({ DEFAULT_PROFILE: null })).await.unwrap();
    until_given(admin, "new", "none").await;
    create_namespace(admin, "without", &json!({})).await;
    assert_eq!(of_pod(&dry_run(admin, "without", &plain("tried")).await), "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_or_a_container_sets_itself_stays() {
    let environment = environment(&[]).await;
    let admin = &environment.admin;
    assert_eq!(
        of_pod(&dry_run(admin, SHOP, &using("tried", "profiles/own.json")).await),
        "profiles/own.json"
    );
    for kind in ["RuntimeDefault", "Unconfined"] {
        let mut pod = plain("tried");
        pod["spec"]["securityContext"] = json!({ "seccompProfile": { "type": kind } });
        assert_eq!(of_pod(&dry_run(admin, SHOP, &pod).await), kind);
    }
    let container =
        |name: &str, context: Value| json!({ "name": name, "image": "none", "securityContext": context });
    let mut pod = plain("tried");
    pod["spec"]["containers"] = json!([
        container("own", localhost("profiles/own.json")),
        container("none", json!({})),
        container("unconfined", json!({ "seccompProfile": { "type": "Unconfined" } })),
    ]);
    pod["spec"]["initContainers"] = json!([container("init", localhost("profiles/init.json"))]);
    let created = dry_run(admin, SHOP, &pod).await;
    assert_eq!(of_pod(&created), PATH);
    let of = |list: &str| -> Vec<String> {
        let containers = created["spec"][list].as_array().unwrap();
        containers.iter().map(|container| named(&container["securityContext"])).collect()
    };
    assert_eq!(of("containers"), ["profiles/own.json", "none", "Unconfined"]);
    assert_eq!(of("initContainers"), ["profiles/init.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_for_windows_and_mirror_pods_are_created_as_ever() {
    let environment = environment(&[]).await;
    let admin = &environment.admin;
    // The API server refuses a profile in it (422).
    let mut windows = plain("tried");
    windows["spec"]["os"] = json!({ "name": "windows" });
    assert_eq!(of_pod(&dry_run(admin, SHOP, &windows).await), "none");
    let mut selecting = plain("tried");
    selecting["spec"]["nodeSelector"] = json!({ "kubernetes.io/os": "windows" });
    assert_eq!(of_pod(&dry_run(admin, SHOP, &selecting).await), "none");
    let mut linux = plain("tried");
    linux["spec"]["os"] = json!({ "name": "linux" });
    assert_eq!(of_pod(&dry_run(admin, SHOP, &linux).await), PATH);
    let mut mirror = plain("tried");
    mirror["spec"]["nodeName"] = "n1".into();
    assert_eq!(of_pod(&dry_run(admin, SHOP, &mirror).await), PATH, "a pod that is bound to a node");
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "hash" });
    assert_eq!(of_pod(&dry_run(admin, SHOP, &mirror).await), "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_that_is_no_name_is_refused_and_where_it_is_already_there_it_stops_no_pod() {
    let environment = environment(&[]).await;
    let admin = &environment.admin;
    let bad = ["../x", "base.json/", "Base", "", "a..b", "-a", "a\n", "a'b", &"a".repeat(241)];
    // This policy, too, takes effect a moment after it was created.
    until("the policy of annotations", LIMIT, async || {
        annotate(admin, "default", &json!({ DEFAULT_PROFILE: "../x" })).await.err()
    })
    .await;
    for name in bad {
        let refused = annotate(admin, SHOP, &json!({ DEFAULT_PROFILE: name })).await.unwrap_err().to_string();
        assert!(refused.contains("must be the name of a SeccompProfile"), "{name:?}: {refused}");
    }
    for name in ["a", "a.b-c.d1", &"a".repeat(240)] {
        annotate(admin, SHOP, &json!({ DEFAULT_PROFILE: name })).await.unwrap();
        until_given(admin, SHOP, &format!("profiles/{name}.json")).await;
    }
    // As an annotation that is older than the policy.
    let client = environment.server.command_line().unwrap();
    let binding = format!("{NAMESPACE}-namespaces");
    let saved = client.kubectl(["get", "validatingadmissionpolicybinding", &binding, "-o", "json"]).unwrap();
    client.kubectl(["delete", "validatingadmissionpolicybinding", &binding]).unwrap();
    for name in bad {
        until("the annotation", LIMIT, async || {
            annotate(admin, SHOP, &json!({ DEFAULT_PROFILE: name })).await.ok()
        })
        .await;
        until_given(admin, SHOP, "none").await;
    }
    let mut restored: Value = serde_json::from_str(&saved).unwrap();
    restored["metadata"] = json!({ "name": binding });
    client.kubectl_input(["create", "-f", "-"], &restored.to_string()).unwrap();
    until("the policy in force again", LIMIT, async || {
        // An annotation that is already there is not refused.
        annotate(admin, "default", &json!({ DEFAULT_PROFILE: null })).await.unwrap();
        annotate(admin, "default", &json!({ DEFAULT_PROFILE: "../x" })).await.is_err().then_some(())
    })
    .await;
    annotate(admin, SHOP, &json!({ "another": "change" })).await.unwrap();
    annotate(admin, SHOP, &json!({ DEFAULT_PROFILE: null })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_exist_are_not_changed_and_their_updates_go_on_working() {
    let environment = environment(&[]).await;
    let admin = &environment.admin;
    create_namespace(admin, "later", &json!({})).await;
    create(admin, "later", &plain("web")).await;
    annotate(admin, "later", &json!({ DEFAULT_PROFILE: "base" })).await.unwrap();
    until_given(admin, "later", PATH).await;
    let change =
        json!({ "metadata": { "labels": { "changed": "yes" }, "finalizers": ["example.org/mine"] } });
    let patch = PatchParams::default();
    let changed = pods(admin, "later").patch("web", &patch, &Patch::Merge(&change)).await.unwrap();
    assert_eq!(of_pod(&stored(changed)), "none");
    let end = json!({ "metadata": { "finalizers": null } });
    pods(admin, "later").patch("web", &patch, &Patch::Merge(&end)).await.unwrap();
    pods(admin, "later").delete("web", &DeleteParams::default()).await.unwrap();
}

/// Adds a debug container, as `kubectl debug` does.
async fn debug(admin: &Client, namespace: &str, pod: &str, name: &str, context: Value) -> Value {
    let added = json!({ "spec": { "ephemeralContainers": [
        { "name": name, "image": "none", "securityContext": context },
    ] } });
    let patch = Patch::Strategic(&added);
    let pods = pods(admin, namespace);
    stored(pods.patch_subresource("ephemeralcontainers", pod, &PatchParams::default(), &patch).await.unwrap())
}

fn debuggers(pod: &Value) -> Vec<(String, String)> {
    let containers = pod["spec"]["ephemeralContainers"].as_array().unwrap().iter();
    let shown = |it: &Value| (it["name"].as_str().unwrap().to_owned(), named(&it["securityContext"]));
    containers.map(shown).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debug_container_gets_the_default_where_its_pod_was_created_without_one() {
    let environment = environment(&[]).await;
    let admin = &environment.admin;
    create(admin, SHOP, &plain("with")).await;
    let with = debug(admin, SHOP, "with", "a", json!({})).await;
    assert_eq!(debuggers(&with), [("a".to_owned(), "none".to_owned())], "the pod's applies to it");

    create_namespace(admin, "later", &json!({})).await;
    create(admin, "later", &plain("web")).await;
    debug(admin, "later", "web", "before", json!({})).await;
    annotate(admin, "later", &json!({ DEFAULT_PROFILE: "base" })).await.unwrap();
    until_given(admin, "later", PATH).await;
    debug(admin, "later", "web", "a", json!({ "runAsUser": 7 })).await;
    debug(admin, "later", "web", "own", localhost("profiles/own.json")).await;
    debug(admin, "later", "web", "privileged", json!({ "privileged": true })).await;
    let last = debug(admin, "later", "web", "b", json!({})).await;
    let expected =
        [("before", "none"), ("a", PATH), ("own", "profiles/own.json"), ("privileged", "none"), ("b", PATH)]
            .map(|(name, profile)| (name.to_owned(), profile.to_owned()));
    let mut found = debuggers(&last);
    found.sort();
    let mut sorted = expected.to_vec();
    sorted.sort();
    assert_eq!(found, sorted);
    assert_eq!(of_pod(&last), "none");
    let a =
        last["spec"]["ephemeralContainers"].as_array().unwrap().iter().find(|it| it["name"] == "a").unwrap();
    assert_eq!(a["securityContext"]["runAsUser"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_default_a_pod_meets_the_restricted_pod_security_standard_and_nothing_looser_does() {
    let environment = environment(&[]).await;
    let admin = &environment.admin;
    let mut metadata = annotated("base");
    metadata["labels"] = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    create_namespace(admin, "strict", &metadata).await;
    let mut pod = plain("tried");
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] },
    });
    // Without the policy the API server refuses it.
    assert_eq!(of_pod(&dry_run(admin, "strict", &pod).await), PATH);
    pod["spec"]["containers"][0]["securityContext"]["seccompProfile"] = json!({ "type": "Unconfined" });
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let refused = pods(admin, "strict").create(&params, &object(&pod)).await.unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity") && refused.contains("seccompProfile"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_the_default_is_gated_where_its_namespace_has_the_label_in_whatever_order_policies_run() {
    let environment = environment(&["gate.enabled=true"]).await;
    let admin = &environment.admin;
    let mut metadata = annotated("base");
    metadata["labels"] = json!({ GATED_NAMESPACE: "true" });
    create_namespace(admin, "gated", &metadata).await;
    create_namespace(admin, "label", &json!({ "labels": { GATED_NAMESPACE: "true" } })).await;
    let client = environment.server.command_line().unwrap();
    // The order is drawn anew when a policy or a binding changes.
    let binding = format!("{NAMESPACE}-pods");
    for number in 0..10 {
        let touch = format!("number={number}");
        client
            .kubectl(["annotate", "--overwrite", "mutatingadmissionpolicybinding", &binding, &touch])
            .unwrap();
        let pod = dry_run(admin, "gated", &plain("tried")).await;
        assert_eq!((of_pod(&pod).as_str(), gates(&pod)), (PATH, vec![SCHEDULING_GATE]), "{number}");
    }
    let pod = dry_run(admin, SHOP, &plain("tried")).await;
    assert_eq!((of_pod(&pod).as_str(), gates(&pod)), (PATH, vec![]), "no label");
    let pod = dry_run(admin, "label", &plain("tried")).await;
    assert_eq!((of_pod(&pod).as_str(), gates(&pod)), ("none", vec![]), "no annotation");
    let pod = dry_run(admin, "label", &using("tried", "profiles/own.json")).await;
    assert_eq!(gates(&pod), [SCHEDULING_GATE], "a profile of its own");
    // A gate would be refused there, and a debug container changes nothing but itself.
    let mut bound = plain("tried");
    bound["spec"]["nodeName"] = "n1".into();
    let pod = dry_run(admin, "gated", &bound).await;
    assert_eq!((of_pod(&pod).as_str(), gates(&pod)), (PATH, vec![]));
    create(admin, "label", &plain("web")).await;
    annotate(admin, "label", &json!({ DEFAULT_PROFILE: "base" })).await.unwrap();
    until_given(admin, "label", PATH).await;
    let pod = debug(admin, "label", "web", "a", json!({})).await;
    assert_eq!((debuggers(&pod)[0].1.as_str(), gates(&pod)), (PATH, vec![]));
}

/// Nobody would bring the files of the profiles to new nodes.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_operators_account_pods_are_created_as_ever() {
    let environment = environment(&[]).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(environment.admin.clone(), NAMESPACE);
    accounts.delete(&format!("{NAMESPACE}-operator"), &DeleteParams::default()).await.unwrap();
    until("the policy having no effect", LIMIT, async || {
        (of_pod(&dry_run(&environment.admin, SHOP, &plain("tried")).await) == "none").then_some(())
    })
    .await;
}
