//! Pods get what their images bring, from a registry in this process.

use std::net::Ipv4Addr;

use api::names::{FROM, IMAGE, INCLUDED_NAMESPACE, PLACE};
use bench::api_server::{Behaviour, Proxy};
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use registry::testing::{MANIFEST, RunningRegistry, TestRegistry};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;

use super::super::pods::create_namespace;
use super::super::support::print_line;
use super::*;

/// The namespace whose pods get what their images bring.
pub(super) const SHOP: &str = "shop";

/// The calls that the profiles of the images `many0` to `many19` permit.
const CALLS: [&str; 20] = [
    "accept4",
    "bind",
    "brk",
    "chdir",
    "chmod",
    "chown",
    "close",
    "connect",
    "dup",
    "epoll_wait",
    "fchdir",
    "fchmod",
    "flock",
    "fsync",
    "futex",
    "getcwd",
    "getegid",
    "getgid",
    "getpid",
    "getppid",
];

/// A profile that an image carries; the default of runtimes does not permit `bpf`.
pub(super) fn profile(call: &str) -> String {
    let rule = json!({ "names": ["exit_group", "bpf", call], "action": "SCMP_ACT_ALLOW" });
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] }).to_string()
}

/// A scene with a replica that looks at images in a registry, which asks for a login.
pub(super) struct Shop {
    pub(super) scene: Scene,
    pub(super) registry: RunningRegistry,
    /// What the replica was started with.
    arguments: Vec<String>,
    // Ends after the replica.
    _proxy: Option<Proxy>,
}

impl Shop {
    pub(super) async fn new(values: &[&str], more: &[&str]) -> Self {
        Self::with(values, more, |_| {}).await
    }

    /// One with further images.
    pub(super) async fn with(values: &[&str], more: &[&str], add: impl FnOnce(&mut TestRegistry)) -> Self {
        Self::made(None, None, values, more, add).await
    }

    /// One with the program as it is released.
    pub(super) async fn released(
        values: &[&str],
        more: &[&str],
        add: impl FnOnce(&mut TestRegistry),
    ) -> Self {
        let program = build_admission(true).unwrap_or_else(|error| panic!("{error}"));
        Self::made(Some(program), None, values, more, add).await
    }

    /// A scene with a replica that reaches the API server through a proxy that behaves so.
    pub(super) async fn behind(behaviour: Behaviour, values: &[&str], more: &[&str]) -> Self {
        Self::made(None, Some(behaviour), values, more, |_| {}).await
    }

    async fn made(
        program: Option<PathBuf>,
        behaviour: Option<Behaviour>,
        values: &[&str],
        more: &[&str],
        add: impl FnOnce(&mut TestRegistry),
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut images = TestRegistry::new("team/app").with_login("user", "pass");
        images.labelled("reads", "amd64", Some(&profile("read")));
        images.labelled("writes", "amd64", Some(&profile("write")));
        images.labelled("opens", "amd64", Some(&profile("openat")));
        for (number, call) in CALLS.iter().enumerate() {
            images.labelled(&format!("many{number}"), "amd64", Some(&profile(call)));
        }
        images.labelled("plain", "amd64", None);
        // One with an artifact, and an annotation, by which it is another manifest than the one before.
        let attached = images.image("amd64", None, r#""a":"attached""#);
        images.tag("attached", MANIFEST, attached.clone());
        images.manifest(MANIFEST, attached.clone());
        images.attach(&attached, &profile("lseek"));
        images.labelled("bad", "amd64", Some(r#"{"defaultAction":"SCMP_ACT_TRACE"}"#));
        add(&mut images);
        let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![identity.cert.der().clone()], key).unwrap();
        let registry = images.start_with_tls(config).await;

        // Longer than a loaded machine takes for the first of everything.
        let always = ["admission.images.enabled=true", "admission.images.timeoutSeconds=30"];
        let values = always.iter().chain(values).copied().collect::<Vec<_>>();
        let mut scene = Scene::new(&values).await;
        scene.program = program;
        let authorities = scene.environment.server.directory().join("registries.pem");
        std::fs::write(&authorities, identity.cert.pem()).unwrap();
        create_namespace(
            &scene.environment.admin,
            SHOP,
            &json!({ "labels": { INCLUDED_NAMESPACE: "true" } }),
        )
        .await;
        let host = format!("127.0.0.1:{}", registry.port());
        let configuration = json!({ "auths": { &host: { "username": "user", "password": "pass" } } });
        let secret = json!({
            "metadata": { "name": "login" }, "type": "kubernetes.io/dockerconfigjson",
            "data": { ".dockerconfigjson": ByteString(configuration.to_string().into_bytes()) },
        });
        let secrets: Api<Secret> = Api::namespaced(scene.environment.admin.clone(), SHOP);
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        let arguments = [
            format!("--images-configuration={NAMESPACE}-admission-images"),
            "--architecture=amd64".to_owned(),
            format!("--secrets-in={SHOP}"),
            format!("--inside={host}"),
            format!("--registry-authorities={}", authorities.display()),
        ];
        let has_time = more.iter().any(|argument| argument.starts_with("--images-time="));
        let time = (!has_time).then_some("--images-time=28s");
        let more = more.iter().chain(&time);
        let arguments: Vec<_> = arguments.into_iter().chain(more.map(|it| (*it).to_owned())).collect();
        let proxy = match behaviour {
            None => None,
            Some(behaviour) => {
                let proxy = Proxy::start(&scene.environment.server).await.unwrap();
                proxy.behave(behaviour);
                Some(proxy)
            }
        };
        let url = proxy.as_ref().map(|proxy| proxy.url().to_owned());
        scene.start_at(0, url, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let shop = Self { scene, registry, arguments, _proxy: proxy };
        shop.until_ready(1).await;
        shop
    }

    /// Starts another replica, of this number.
    pub(super) fn start(&mut self, number: usize) {
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        self.scene.start(number, &arguments);
    }

    /// Waits until so many replicas are ready.
    pub(super) async fn until_ready(&self, count: usize) {
        let what = format!("{count} replicas that are ready");
        until(&what, 4 * LIMIT, async || (self.scene.balancer.ready() == count).then_some(())).await;
    }

    pub(super) fn image(&self, tag: &str) -> String {
        format!("127.0.0.1:{}/team/app:{tag}", self.registry.port())
    }

    pub(super) fn container(&self, name: &str, tag: &str) -> Value {
        json!({ "name": name, "image": self.image(tag) })
    }

    /// A pod with these containers.
    pub(super) fn pod(name: &str, containers: Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": { "containers": containers, "imagePullSecrets": [{ "name": "login" }] },
        })
    }

    pub(super) async fn create_in(&self, namespace: &str, pod: &Value, query: &str) -> (Value, Vec<String>) {
        let path = format!("/api/v1/namespaces/{namespace}/pods{query}");
        let (code, warnings, pod) = self.scene.send("POST", &path, "application/json", pod).await;
        assert_eq!(code, 201, "{pod}");
        (pod, warnings)
    }

    pub(super) async fn create(&self, pod: &Value) -> (Value, Vec<String>) {
        self.create_in(SHOP, pod, "").await
    }

    /// The profiles of images.
    pub(super) async fn profiles(&self) -> Vec<Value> {
        let path =
            format!("/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles?labelSelector={FROM}%3Dimage");
        let (_, _, list) = self.scene.send("GET", &path, "application/json", &json!({})).await;
        list["items"].as_array().unwrap().clone()
    }
}

/// The profile that a container has: the path of its file, or the type.
pub(super) fn of(container: &Value) -> &str {
    let profile = &container["securityContext"]["seccompProfile"];
    profile["localhostProfile"].as_str().or(profile["type"].as_str()).unwrap_or("none")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_container_gets_the_digest_and_the_profile_of_its_own_image() {
    let shop = Shop::new(&["admission.images.secrets.everywhere=true"], &[]).await;
    let mut containers = vec![
        shop.container("reads", "reads"),
        shop.container("writes", "writes"),
        shop.container("plain", "plain"),
        shop.container("own", "reads"),
        shop.container("privileged", "reads"),
        shop.container("bad", "bad"),
    ];
    containers[3]["securityContext"] = json!({ "seccompProfile": { "type": "Unconfined" } });
    containers[4]["securityContext"] = json!({ "privileged": true });
    let mut pod = Shop::pod("web", json!(containers));
    pod["spec"]["initContainers"] = json!([shop.container("init", "reads")]);

    let (tried, _) = shop.create_in(SHOP, &pod, "?dryRun=All").await;
    assert_eq!(shop.profiles().await, Vec::<Value>::new(), "a dry run creates nothing");
    let (created, warnings) = shop.create(&pod).await;
    assert_eq!(tried["spec"], created["spec"]);
    let spec = &created["spec"];
    let (init, all) = (&spec["initContainers"][0], spec["containers"].as_array().unwrap());
    assert!(of(&all[0]).starts_with("profiles/sha256-"), "{spec}");
    assert_eq!(of(init), of(&all[0]));
    assert!(of(&all[1]).starts_with("profiles/sha256-") && of(&all[1]) != of(&all[0]), "{spec}");
    assert_eq!([2, 3, 4, 5].map(|at| of(&all[at])), ["none", "Unconfined", "none", "RuntimeDefault"]);
    let is_pinned = |at: usize| all[at]["image"].as_str().unwrap().contains("@sha256:");
    assert_eq!([0, 1, 2, 3, 4, 5].map(is_pinned), [true, true, true, false, false, true]);
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("container bad") && warning.contains("SCMP_ACT_TRACE"), "{warning}");

    // Two objects for three containers, each with the contents that its name states.
    let profiles = shop.profiles().await;
    assert_eq!(profiles.len(), 2);
    for object in &profiles {
        let contents = &object["spec"]["contents"];
        let hash = super::super::support::hash_of(contents);
        assert_eq!(object["metadata"]["name"], hash.replacen(':', "-", 1));
        let rules = contents["syscalls"].as_array().unwrap();
        let mut permitted = rules.iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
        let is_bpf = |rule: &Value| rule["names"].as_array().unwrap().contains(&json!("bpf"));
        assert!(!permitted.any(is_bpf), "never looser than the default: {contents}");
        let annotations = &object["metadata"]["annotations"];
        assert!(annotations[IMAGE].as_str().unwrap().contains("/team/app:"), "{annotations}");
        assert_eq!(annotations[PLACE], "PodmanLabel");
    }

    // An ephemeral container that is added later; the others stay as they are.
    let added = json!({ "spec": { "ephemeralContainers": [shop.container("debug", "opens")] } });
    let path = format!("/api/v1/namespaces/{SHOP}/pods/web/ephemeralcontainers");
    let (code, _, patched) =
        shop.scene.send("PATCH", &path, "application/strategic-merge-patch+json", &added).await;
    assert_eq!(code, 200, "{patched}");
    assert!(of(&patched["spec"]["ephemeralContainers"][0]).starts_with("profiles/sha256-"), "{patched}");
    assert_eq!(patched["spec"]["containers"], created["spec"]["containers"]);
    // Another update of the pod is not changed, which the API server would refuse.
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    let path = format!("/api/v1/namespaces/{SHOP}/pods/web");
    let (code, _, answer) = shop.scene.send("PATCH", &path, "application/merge-patch+json", &label).await;
    assert_eq!(code, 200, "{answer}");

    // A namespace that is not labelled.
    create_namespace(&shop.scene.environment.admin, "other", &json!({})).await;
    let (other, _) = shop.create_in("other", &pod, "").await;
    assert_eq!(of(&other["spec"]["containers"][0]), "none");
    assert_eq!(other["spec"]["containers"][0]["image"], shop.image("reads"));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_pods_that_are_created_at_once_cost_one_object_and_one_question_an_image() {
    let shop = Shop::new(&["admission.images.secrets.everywhere=true"], &[]).await;
    let tags: Vec<_> = (0..CALLS.len()).map(|number| format!("many{number}")).collect();
    let start = std::time::Instant::now();
    let pods = (0..500).map(|number| {
        let (shop, tags) = (&shop, &tags);
        async move {
            let containers = json!([shop.container("main", &tags[number % tags.len()])]);
            let (pod, _) = shop.create(&Shop::pod(&format!("p{number}"), containers)).await;
            of(&pod["spec"]["containers"][0]).to_owned()
        }
    });
    let given: Vec<_> = futures::stream::iter(pods).buffer_unordered(50).collect().await;
    let took = start.elapsed();
    print_line(&format!("500 pods of 20 images in {:.1} s", took.as_secs_f64()));
    assert!(given.iter().all(|path| path.starts_with("profiles/sha256-")), "{given:?}");
    assert_eq!(shop.profiles().await.len(), tags.len());
    for tag in tags {
        let path = format!("200 /v2/team/app/manifests/{tag}");
        let count = shop.registry.asked().iter().filter(|it| **it == path).count();
        // What a tag stands for is asked again after a minute.
        assert!(count >= 1 && count as u64 <= 1 + took.as_secs() / 60, "{path}: {count} times in {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_is_a_warning_and_the_pod_starts_as_it_is() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let host = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let inside = format!("--inside={host}");
    // Without the right to read Secrets, which its options do not ask for either.
    let shop = Shop::new(&[], &["--images-time=5s", &inside]).await;
    let image = format!("{host}/slow:1");
    let (pod, warnings) = shop
        .create_in(
            SHOP,
            &json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "slow" },
                "spec": { "containers": [{ "name": "main", "image": image }] },
            }),
            "",
        )
        .await;
    assert_eq!(
        (of(&pod["spec"]["containers"][0]), &pod["spec"]["containers"][0]["image"]),
        ("none", &json!(image))
    );
    assert!(warnings.iter().any(|it| it.contains("in time; it stays as it is")), "{warnings:?}");
    drop(listener);
    // A Secret that may not be read is a warning, too.
    let (pod, warnings) = shop.create(&Shop::pod("login", json!([shop.container("main", "reads")]))).await;
    assert_eq!(of(&pod["spec"]["containers"][0]), "none");
    assert!(warnings.iter().any(|it| it.contains("pull secret login cannot be read")), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_and_under_a_name_with_other_contents_containers_get_the_default() {
    let shop = Shop::new(&["admission.images.secrets.everywhere=true"], &["--most-profiles=1"]).await;
    let (first, _) = shop.create(&Shop::pod("first", json!([shop.container("main", "reads")]))).await;
    assert!(of(&first["spec"]["containers"][0]).starts_with("profiles/sha256-"));
    let (second, warnings) =
        shop.create(&Shop::pod("second", json!([shop.container("main", "writes")]))).await;
    assert_eq!(of(&second["spec"]["containers"][0]), "RuntimeDefault");
    assert!(warnings.iter().any(|it| it.contains("no more may be created")), "{warnings:?}");
    // Somebody who may write profiles changes the contents.
    let profile = shop.profiles().await.remove(0);
    let name = profile["metadata"]["name"].as_str().unwrap();
    let path = format!("/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/{name}");
    let change = json!([{ "op": "replace", "path": "/spec/contents", "value": sound(0) }]);
    let (code, _, answer) = shop.scene.send("PATCH", &path, "application/json-patch+json", &change).await;
    assert_eq!(code, 200, "{answer}");
    let mut number = 0;
    until("the default", LIMIT, async || {
        number += 1;
        let containers = json!([shop.container("main", "reads")]);
        let (pod, _) = shop.create_in(SHOP, &Shop::pod(&format!("p{number}"), containers), "").await;
        (of(&pod["spec"]["containers"][0]) == "RuntimeDefault").then_some(())
    })
    .await;
}
