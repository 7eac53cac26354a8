//! Pods with images of a registry, through the whole path up to the patch.

use clap::Parser;
use link::changes::{Change, Origin};
use registry::Digest;
use registry::testing::{MANIFEST, RunningRegistry, TestRegistry};
use serde_json::json;

use super::nodes::FEATURE;
use super::*;
use crate::images::admit::{Forms, Images};
use crate::images::lookup::Lookup;
use crate::images::objects::Objects;
use crate::images::registries;
use crate::images::settings::ImageOptions;
use crate::metrics::Metrics;
use crate::review::Question;

/// The default of runtimes does not permit `bpf`.
const READS: &str =
    r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","bpf"],"action":"SCMP_ACT_ALLOW"}]}"#;
const WITH_FLAGS: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}"#;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    images: ImageOptions,
}

struct Scene {
    images: Images,
    registry: RunningRegistry,
    _artifacts: RunningRegistry,
    /// The artifact of the other registry.
    named: String,
    nodes: Arc<Nodes>,
    api_server: Arc<ApiServer>,
}

/// Adds an image with this tag and a profile that is attached to it.
fn attached(registry: &mut TestRegistry, tag: &str, annotations: &str, profile: &str) {
    let image = registry.image("amd64", None, annotations);
    registry.manifest(MANIFEST, image.clone());
    registry.tag(tag, MANIFEST, image.clone());
    registry.attach(&image, profile);
}

impl Scene {
    async fn new(more: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut registry = TestRegistry::new("team/app");
        registry.labelled("label", "amd64", Some(READS));
        registry.labelled("plain", "amd64", None);
        // Each with an annotation of its own, so that they are different manifests.
        attached(&mut registry, "attached", r#""a":"attached""#, READS);
        attached(&mut registry, "flags", r#""a":"flags""#, WITH_FLAGS);
        attached(&mut registry, "traces", r#""a":"traces""#, r#"{"defaultAction":"SCMP_ACT_TRACE"}"#);
        let mut artifacts = TestRegistry::new("team/profiles");
        let artifact = artifacts.attach("another image", READS);
        artifacts.give_tag(&artifact, "named");
        let artifacts = artifacts.start().await;
        // CRI-O's annotation, with a tag of another registry.
        let annotation =
            format!(r#""seccomp-profile.crio.io":"127.0.0.1:{}/team/profiles:named""#, artifacts.port());
        let names = registry.image("amd64", None, &annotation);
        registry.tag("names", MANIFEST, names.clone());
        registry.manifest(MANIFEST, names);
        let registry = registry.start().await;
        let named = format!("127.0.0.1:{}/team/profiles@{artifact}", artifacts.port());
        let hosts = [&registry, &artifacts].map(|it| format!("127.0.0.1:{}", it.port()));
        let may = hosts.iter().flat_map(|host| [format!("--plain-http={host}"), format!("--inside={host}")]);
        // So long that no answer is late, however busy the machine is.
        let fixed = ["--architecture=amd64", "--images-time=10m"].map(str::to_owned);
        let always: Vec<_> = may.chain(fixed).collect();
        let always = ["admission"].into_iter().chain(always.iter().map(String::as_str));
        let options = Arguments::parse_from(always.chain(more.iter().copied())).images;
        // Nothing is asked of it: a dry run creates no object, and these pods name no pull secret.
        let client =
            kube::Client::try_from(kube::Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap();
        let metrics = Metrics::new(&prometheus::Registry::new(), &[]).unwrap();
        let (nodes, api_server) = (Arc::<Nodes>::default(), Arc::<ApiServer>::default());
        let objects = Arc::new(Objects::new(client.clone(), 1));
        let lookup = Lookup::new(registries::client(&options).unwrap(), None).unwrap();
        let oci = Oci::new(options.mode, api_server.clone(), nodes.clone());
        let images = Images::new(options, "own".to_owned(), client, lookup, objects, oci, metrics);
        Self { images, registry, _artifacts: artifacts, named, nodes, api_server }
    }

    fn image(&self, tag: &str) -> String {
        format!("127.0.0.1:{}/team/app:{tag}", self.registry.port())
    }

    fn node(&self, name: &str, pool: &str, features: &[&str]) {
        self.nodes.take(Change::Apply(nodes::example(name, pool, &json!(features)), Origin::List));
    }

    /// The `seccompProfile` that each container of a pod with these tags gets.
    async fn given(&self, tags: &[&str], more: Value, forms: Forms) -> Vec<Value> {
        let containers: Vec<_> =
            tags.iter().map(|tag| json!({ "name": tag, "image": self.image(tag) })).collect();
        let mut spec = more;
        spec["containers"] = json!(containers);
        let namespace = Some("shop".to_owned());
        let question = Question { namespace, dry_run: true, spec: Some(spec.clone()), ..Question::default() };
        let verdict = self.images.verdict(&question, forms).await;
        assert_eq!(verdict.refusal, None);
        let mut pod = json!({ "spec": spec });
        let patch: json_patch::Patch = serde_json::from_value(json!(verdict.patch)).unwrap();
        json_patch::patch(&mut pod, &patch).unwrap();
        let containers = pod["spec"]["containers"].as_array().unwrap();
        containers.iter().map(|it| it["securityContext"]["seccompProfile"].clone()).collect()
    }

    /// Whether a pod with an artifact names it.
    async fn names_it(&self, more: Value, forms: Forms) -> bool {
        let [profile] = &self.given(&["attached"], more, forms).await[..] else { panic!("one container") };
        match profile["type"].as_str() {
            Some("OCI") => true,
            Some("Localhost") => false,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn artifacts_are_named_by_digest_with_the_base_and_other_profiles_stay_files() {
    let scene = Scene::new(&["--mode=oci", "--oci-base=base"]).await;
    scene.api_server.learn(true);
    let given = scene.given(&["attached", "label", "plain", "flags", "traces"], json!({}), Forms::All).await;
    let reference = given[0]["oci"]["ref"].as_str().unwrap();
    let expected = json!({
        "type": "OCI",
        "oci": {
            "ref": reference,
            "baseProfile": { "type": "Localhost", "localhostProfile": "profiles/base.json" },
        },
    });
    assert_eq!(given[0], expected);
    let [names] = &scene.given(&["names"], json!({}), Forms::All).await[..] else { panic!("one container") };
    assert_eq!(names["oci"]["ref"], scene.named, "the tag of an annotation may move");
    // It is the artifact that the webhook has read.
    let (repository, digest) = reference.split_once('@').unwrap();
    assert_eq!(repository, format!("127.0.0.1:{}/team/app", scene.registry.port()));
    assert!(digest.parse::<Digest>().is_ok());
    assert!(scene.registry.asked().contains(&format!("200 /v2/team/app/manifests/{digest}")));
    let types: Vec<_> = given.iter().map(|it| it["type"].as_str().unwrap_or("none")).collect();
    // What cannot be used is never left to the runtime, and flags never are.
    assert_eq!(types, ["OCI", "Localhost", "none", "Localhost", "RuntimeDefault"]);
}

#[tokio::test]
async fn by_default_and_where_the_api_server_or_pod_security_refuses_the_type_every_profile_is_a_file() {
    let default = Scene::new(&[]).await;
    default.api_server.learn(true);
    assert!(!default.names_it(json!({}), Forms::All).await);
    let scene = Scene::new(&["--mode=oci"]).await;
    assert!(!scene.names_it(json!({}), Forms::All).await, "before the API server has answered");
    scene.api_server.learn(true);
    assert!(scene.names_it(json!({}), Forms::All).await);
    assert!(!scene.names_it(json!({}), Forms::Files).await);
    scene.api_server.learn(false);
    assert!(!scene.names_it(json!({}), Forms::All).await);
}

#[tokio::test]
async fn auto_names_artifacts_where_every_node_that_the_pod_can_land_on_declares_the_feature() {
    let scene = Scene::new(&["--mode=auto"]).await;
    scene.api_server.learn(true);
    scene.node("a", "new", &[FEATURE]);
    assert!(!scene.names_it(json!({}), Forms::All).await, "before all nodes are known");
    scene.nodes.take(Change::Complete);
    assert!(scene.names_it(json!({}), Forms::All).await);
    scene.node("b", "old", &["GuaranteedQoSPodCPUResize"]);
    assert!(!scene.names_it(json!({}), Forms::All).await);
    assert!(scene.names_it(json!({ "nodeSelector": { "pool": "new" } }), Forms::All).await);
    assert!(!scene.names_it(json!({ "nodeSelector": { "pool": "old" } }), Forms::All).await);
    assert!(!scene.names_it(json!({ "nodeName": "b" }), Forms::All).await);
    // What would be compared with every node for long is a file.
    for (values, is_named) in [(900, true), (1_000, false)] {
        let expression = json!({ "key": "pool", "operator": "NotIn", "values": vec!["old"; values] });
        let required = json!({ "nodeSelectorTerms": [{ "matchExpressions": [expression] }] });
        let affinity =
            json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } });
        assert_eq!(scene.names_it(json!({ "affinity": affinity }), Forms::All).await, is_named, "{values}");
    }
    scene.api_server.learn(false);
    assert!(!scene.names_it(json!({ "nodeName": "a" }), Forms::All).await);
}

#[test]
fn the_runtime_gets_the_profile_only_where_that_is_asked_for_and_the_api_server_takes_it() {
    let chosen = |mode, is_taken, declared| is_chosen(mode, is_taken, || declared);
    for declared in [false, true] {
        assert!(!chosen(Mode::Localhost, true, declared));
        for mode in [Mode::Localhost, Mode::Oci, Mode::Auto] {
            assert!(!chosen(mode, false, declared), "{mode:?}");
        }
        assert!(chosen(Mode::Oci, true, declared));
        assert_eq!(chosen(Mode::Auto, true, declared), declared);
    }
}
