//! What Kubernetes does to a pod while it is gated, which `docs/how-to/no-pod-before-its-profile.md` warns of: a change here
//! is a change of the page.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Patch, PatchParams, PostParams};

use super::*;
use crate::some_nodes::{apply_for, label};
use crate::support::{contents, send};

/// The template of a pod that waits for a profile which does not come.
fn template() -> Value {
    json!({ "metadata": { "labels": { "app": "web" } }, "spec": using("", "profiles/a.json")["spec"] })
}

/// Whether there is a pod of these controllers, and it is gated.
async fn has_gated_pod(environment: &Environment) -> bool {
    let all = pods(&environment.admin, SHOP).list(&kube::api::ListParams::default()).await.unwrap();
    all.items.into_iter().any(|pod| is_gated(&stored(pod)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_a_job_and_that_of_a_deployment_run_while_their_pods_wait() {
    let environment =
        environment_with(&["job-controller", "deployment-controller", "replicaset-controller"]).await;
    let jobs: Api<Job> = Api::namespaced(environment.admin.clone(), SHOP);
    let mut of_job = template();
    of_job["spec"]["restartPolicy"] = "Never".into();
    let job = json!({ "metadata": { "name": "job" }, "spec": { "template": of_job } });
    jobs.create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap();
    until("the gated pod of the Job", LIMIT, async || has_gated_pod(&environment).await.then_some(())).await;
    let deadline = Patch::Merge(json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    jobs.patch("job", &PatchParams::default(), &deadline).await.unwrap();
    let failed = until("the Job having failed", LIMIT, async || {
        let status = jobs.get("job").await.unwrap().status?;
        status.conditions?.into_iter().find(|condition| condition.type_ == "Failed")
    })
    .await;
    assert_eq!(failed.reason.as_deref(), Some("DeadlineExceeded"));
    until("its pod being gone", LIMIT, async || (!has_gated_pod(&environment).await).then_some(())).await;

    let deployments: Api<Deployment> = Api::namespaced(environment.admin.clone(), SHOP);
    let deployment = json!({
        "metadata": { "name": "web" },
        "spec": {
            "progressDeadlineSeconds": 2, "selector": { "matchLabels": { "app": "web" } }, "template": template(),
        },
    });
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment).unwrap()).await.unwrap();
    until("its gated pod", LIMIT, async || has_gated_pod(&environment).await.then_some(())).await;
    until("the Deployment not progressing", LIMIT, async || {
        let conditions = deployments.get("web").await.unwrap().status?.conditions?;
        let is_late = conditions.iter().any(|condition| {
            condition.type_ == "Progressing"
                && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
        });
        is_late.then_some(())
    })
    .await;
    assert!(has_gated_pod(&environment).await, "the Deployment keeps it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_protects_a_running_pod_does_not_keep_a_gated_one_from_being_evicted() {
    let environment = environment_with(&["disruption-controller"]).await;
    let admin = &environment.admin;
    let labelled = |mut pod: Value| {
        pod["metadata"]["labels"] = json!({ "app": "web" });
        pod
    };
    assert!(is_gated(&create(admin, SHOP, &labelled(using("gated", "profiles/a.json"))).await));
    let mut running = labelled(plain("running"));
    running["spec"]["nodeName"] = "n0".into();
    create(admin, SHOP, &running).await;
    let ready =
        json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    pods(admin, SHOP).patch_status("running", &PatchParams::default(), &Patch::Merge(&ready)).await.unwrap();
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(admin.clone(), SHOP);
    let budget = json!({
        "metadata": { "name": "web" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } },
    });
    budgets.create(&PostParams::default(), &serde_json::from_value(budget).unwrap()).await.unwrap();
    until("the budget counting the running pod", LIMIT, async || {
        let status = budgets.get("web").await.unwrap().status?;
        (status.current_healthy == 1 && status.disruptions_allowed == 0).then_some(())
    })
    .await;
    for (name, expected) in [("running", 429), ("gated", 201)] {
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
        let path = format!("/api/v1/namespaces/{SHOP}/pods/{name}/eviction");
        let (code, answer) = send(admin, "POST", &path, "application/json", &eviction).await;
        assert_eq!(code, expected, "{name}: {answer}");
    }
    assert!(pods(admin, SHOP).get_opt("gated").await.unwrap().is_none(), "at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_profile_selects_is_appended_to_every_term_of_a_pods_own_affinity() {
    let environment = environment().await;
    let _operator = start_operator(&environment);
    let mut agents = environment.agents(None).await;
    agents.join("n0").await.unwrap();
    label(&environment, "n0", "web").await;
    let disk = json!({ "key": "disk", "operator": "Exists" });
    let zone = json!({ "key": "zone", "operator": "In", "values": ["a", "b"] });
    let node = json!({ "key": "metadata.name", "operator": "In", "values": ["n0"] });
    let terms = json!([
        { "matchExpressions": [disk, zone] }, {}, { "matchFields": [node] },
        { "matchExpressions": [zone], "matchFields": [node] },
    ]);
    let mut pod = using("web", "profiles/some.json");
    pod["spec"]["affinity"] = json!({ "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
    } });
    assert!(is_gated(&create(&environment.admin, SHOP, &pod).await));
    let log = environment.server.audit();
    let _gate = start_gate(&environment, 0, false, &[]);
    apply_for(&environment, "some", "web").await;
    environment.apply("other", &contents(0)).await;
    let lifted = wait_lifted(&environment, "web", LIMIT).await;
    let path = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let pool = json!({ "key": "pool", "operator": "In", "values": ["web"] });
    let narrowed = json!([
        { "matchExpressions": [disk, zone, pool] }, {}, { "matchExpressions": [pool], "matchFields": [node] },
        { "matchExpressions": [zone, pool], "matchFields": [node] },
    ]);
    assert_eq!(lifted.pointer(path), Some(&narrowed));
    // The API server writes a line when it has answered, and the pod is without a gate a moment before.
    let codes = until("the patch in the audit log", LIMIT, async || {
        let patches = log.writes().unwrap().into_iter().filter(|request| request.resource() == "pods");
        Some(patches.map(|request| request.response_status.code).collect::<Vec<_>>())
            .filter(|codes| !codes.is_empty())
    })
    .await;
    assert_eq!(codes, [200], "one patch, which the API server accepts");
}
