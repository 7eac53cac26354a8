//! What a stolen admission webhook might try with its rights to write a Secret and its webhook configuration, and how it is
//! refused.

use serde_json::{Value, json};

use super::attempts::{Answer, Attempt};

/// The webhook configuration that the attempts are about.
const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/seccomp-profile-admission";
/// The Secrets of the release's namespace.
const SECRETS: &str = "/api/v1/namespaces/seccomp-profile/secrets";
/// The Secret of the certificate authorities.
const OWN: &str = "/api/v1/namespaces/seccomp-profile/secrets/seccomp-profile-admission-authorities";

fn patch(what: &'static str, operations: Value, words: &'static str) -> Attempt {
    Attempt {
        what,
        method: "PATCH",
        path: CONFIGURATION,
        content_type: "application/json-patch+json",
        body: operations,
        answer: Answer::Refused(422, words),
    }
}

fn request(
    what: &'static str,
    method: &'static str,
    path: &'static str,
    body: Value,
    answer: Answer,
) -> Attempt {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    Attempt { what, method, path, content_type, body, answer }
}

fn secret(name: &str, more: Value) -> Value {
    let mut secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "type": "Opaque" });
    if let (Value::Object(secret), Value::Object(more)) = (&mut secret, more) {
        secret.extend(more);
    }
    secret
}

/// With the token of the webhook. Its Secret exists.
pub fn attempts() -> Vec<Attempt> {
    let bundle = "the webhook writes certificate authorities into its configuration and nothing else";
    let other = "the webhook writes the Secret of its certificate authorities and no other";
    let holds = "the webhook's Secret holds certificate authorities and nothing else";
    let plain = "the webhook's Secret has no owner, no finalizer and no annotation";
    let own = "seccomp-profile-admission-authorities";
    let replace = |path: &str, value: Value| json!([{ "op": "replace", "path": path, "value": value }]);
    let add = |path: &str, value: Value| json!([{ "op": "add", "path": path, "value": value }]);
    let everything = json!([
        { "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"] },
    ]);
    let token = json!({
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "stolen", "annotations": { "kubernetes.io/service-account.name": "seccomp-profile-operator" },
        },
    });
    let with_owner = json!({ "metadata": {
        "name": own,
        "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "gone" }],
    } });
    let cannot = Answer::Refused(403, "cannot");
    let refused = |words| Answer::Refused(422, words);
    vec![
        patch(
            "every request of the cluster, Secrets included",
            replace("/webhooks/0/rules", everything),
            bundle,
        ),
        patch(
            "the requests sent to another address",
            replace("/webhooks/0/clientConfig", json!({ "url": "https://stolen.example.org" })),
            bundle,
        ),
        patch("requests held up for longer", replace("/webhooks/0/timeoutSeconds", json!(30)), bundle),
        patch("no condition", json!([{ "op": "remove", "path": "/webhooks/0/matchConditions" }]), bundle),
        patch("no webhook", replace("/webhooks", json!([])), bundle),
        patch("a label of the configuration", add("/metadata/labels/a", json!("b")), bundle),
        patch(
            "a finalizer of the configuration",
            add("/metadata/finalizers", json!(["example.org/a"])),
            bundle,
        ),
        request("the configuration deleted", "DELETE", CONFIGURATION, json!({}), cannot),
        request(
            "another configuration",
            "POST",
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
            json!({}),
            cannot,
        ),
        request("a token of the operator", "POST", SECRETS, secret("stolen", token), refused(other)),
        request("another Secret", "POST", SECRETS, secret("stolen", json!({})), refused(other)),
        request(
            "something else in its Secret",
            "PUT",
            OWN,
            secret(own, json!({ "stringData": { "stolen": "x" } })),
            refused(holds),
        ),
        request("an owner of its Secret", "PUT", OWN, secret(own, with_owner), refused(plain)),
        request("its Secret deleted", "DELETE", OWN, json!({}), cannot),
        request("a list of Secrets", "GET", SECRETS, json!({}), cannot),
        request(
            "a Secret of another namespace",
            "POST",
            "/api/v1/namespaces/default/secrets",
            secret(own, json!({})),
            cannot,
        ),
        request("a profile", "GET", "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles", json!({}), cannot),
    ]
}

/// The profiles.
const PROFILES: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles";
/// The configuration of the webhook about pods.
const PODS: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/seccomp-profile-admission-images";
/// The name of a profile of an image.
const STATED: &str = "sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A profile as the webhook creates it for an image, with other fields of its metadata or its spec.
pub fn profile_of_image(metadata: &Value, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile",
        "metadata": {
            "name": STATED, "labels": { "seccomp.imjasonh.dev/from": "image" },
            "annotations": { "seccomp.imjasonh.dev/image": "a", "seccomp.imjasonh.dev/place": "Referrer" },
        },
        "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
    });
    for (part, more) in [("metadata", metadata), ("spec", spec)] {
        if let (Value::Object(part), Value::Object(more)) = (&mut object[part], more.clone()) {
            part.extend(more);
        }
    }
    object
}

/// With the token of the webhook, where it may create profiles of images. None of its pull secrets is everywhere.
pub fn attempts_about_images() -> Vec<Attempt> {
    let bundle = "the webhook writes certificate authorities into its configuration and nothing else";
    let named = "the webhook creates profiles whose name states their contents";
    let labelled = "the webhook labels its profiles with";
    let plain = "the webhook's profiles have no owner, no finalizer of others";
    let contents = "the webhook's profiles have contents alone, without a listener";
    let cannot = Answer::Refused(403, "cannot");
    let refused = |words| Answer::Refused(422, words);
    let create = |what, metadata: Value, spec: Value, words| {
        request(what, "POST", PROFILES, profile_of_image(&metadata, &spec), refused(words))
    };
    let own = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/entrusted";
    let everything = json!([{
        "op": "replace", "path": "/webhooks/0/rules",
        "value": [{ "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"] }],
    }]);
    let everywhere = json!([{ "op": "remove", "path": "/webhooks/0/namespaceSelector" }]);
    let of_pods = |what, operations| Attempt { path: PODS, ..patch(what, operations, bundle) };
    vec![
        create("a profile of any name", json!({ "name": "audit" }), json!({}), named),
        create("a profile without the label", json!({ "labels": {} }), json!({}), labelled),
        create(
            "a profile with another label",
            json!({ "labels": { "seccomp.imjasonh.dev/from": "image", "a": "b" } }),
            json!({}),
            labelled,
        ),
        create(
            "a profile that nobody can delete",
            json!({ "finalizers": ["example.org/a"] }),
            json!({}),
            plain,
        ),
        create(
            "a profile that may be deleted in use",
            json!({ "annotations": { "seccomp.imjasonh.dev/delete-in-use": "true" } }),
            json!({}),
            plain,
        ),
        create(
            "a profile for some nodes",
            json!({}),
            json!({ "nodeSelector": { "matchLabels": { "a": "b" } } }),
            contents,
        ),
        request(
            "other contents of a profile",
            "PATCH",
            own,
            json!({ "spec": { "contents": { "defaultAction": "SCMP_ACT_ALLOW" } } }),
            cannot,
        ),
        request("a profile deleted", "DELETE", own, json!({}), cannot),
        request(
            "a profile called ready",
            "PATCH",
            "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/entrusted/status",
            json!({ "status": { "state": "Ready" } }),
            cannot,
        ),
        request(
            "a report of a node",
            "POST",
            "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses",
            json!({}),
            cannot,
        ),
        of_pods("every request of the cluster changed", everything),
        of_pods("the pods of every namespace changed", everywhere),
        request("a pod", "POST", "/api/v1/namespaces/default/pods", json!({}), cannot),
        request("a list of pods", "GET", "/api/v1/pods", json!({}), cannot),
        request(
            "a Secret of a namespace that is not named",
            "GET",
            "/api/v1/namespaces/default/secrets/any",
            json!({}),
            cannot,
        ),
    ]
}

/// With the token of the webhook, where it may tell runtimes to get profiles by what nodes declare.
pub fn attempts_about_runtimes() -> Vec<Attempt> {
    const TEMPLATES: &str = "/api/v1/namespaces/seccomp-profile/podtemplates";
    const NODE: &str = "/api/v1/nodes/node-1";
    let container = json!({ "name": "a", "image": "example.com/none" });
    let template = json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": { "name": "a" },
        "template": { "spec": { "containers": [container] } },
    });
    let stores = Answer::Refused(422, "the webhook asks about pod templates and stores none");
    let cannot = Answer::Refused(403, "cannot");
    let elsewhere = "/api/v1/namespaces/default/podtemplates?dryRun=All";
    let declares = json!({ "status": { "declaredFeatures": ["SecurityProfileOCI"] } });
    vec![
        request("a pod template that is stored", "POST", TEMPLATES, template.clone(), stores),
        request("a dry run of a pod template elsewhere", "POST", elsewhere, template, cannot),
        request("a list of pod templates", "GET", TEMPLATES, json!({}), cannot),
        request("a feature of a Node", "PATCH", "/api/v1/nodes/node-1/status", declares, cannot),
        request("a Node changed", "PATCH", NODE, json!({ "metadata": { "labels": { "a": "b" } } }), cannot),
        request("a Node deleted", "DELETE", NODE, json!({}), cannot),
    ]
}
