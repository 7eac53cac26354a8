//! Pods and controllers whose images bring profiles and lie in a registry with a login: each container runs under the
//! profile of its own image, and a profile goes when no pod's image brings it any more.

use std::fs;
use std::path::PathBuf;
use std::slice;
use std::time::Duration;

use api::names::FROM;
use cluster::NAMESPACE;
use e2e::view::{ProfileView, disk};
use serde_json::{Value, json};
use xtask::command;

use super::image_registry::ImageRegistry;
use super::removal::Reinstall;
use super::support::{LIMIT, Session, alone, expect_cleanup, until};
use super::webhook::{self, IncludedNamespace};

/// The namespace in which pods get what their images bring.
const SHOP: &str = "private";
/// The pull secret.
const LOGIN: &str = "login";
/// Longer than the webhook uses what a tag meant.
const MOVED: Duration = Duration::from_mins(2);
/// Longer than a CronJob of every minute takes for its first pod.
const SCHEDULED: Duration = Duration::from_secs(150);

/// Makes a directory and changes permissions, and says how each ended.
const TRIES: &str = "exec 2>&1; /bin/busybox mkdir /made; echo mkdir ends with $?; /bin/busybox chmod 700 /tmp; echo chmod ends with $?";
/// Keeps the container there.
const STAYS: &str = "trap exit TERM; /bin/busybox sleep infinity & wait";

/// A profile that permits every call but those of one command, and what a container under it prints.
struct Forbidding {
    calls: &'static [&'static str],
    says: [&'static str; 2],
}

const MKDIR: Forbidding = Forbidding {
    calls: &["mkdir", "mkdirat"],
    says: [
        "mkdir: can't create directory '/made': Operation not permitted\nmkdir ends with 1\n",
        "chmod ends with 0\n",
    ],
};
const CHMOD: Forbidding = Forbidding {
    calls: &["chmod", "fchmod", "fchmodat", "fchmodat2"],
    says: ["mkdir ends with 0\n", "chmod: /tmp: Operation not permitted\nchmod ends with 1\n"],
};

impl Forbidding {
    fn profile(&self) -> Value {
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": self.calls, "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }],
        })
    }

    /// What a container that tries both prints.
    fn log(&self) -> String {
        self.says.concat()
    }
}

/// A namespace whose pods get what their images bring, with a pull secret for a registry. All of it is removed when this
/// is dropped, and the chart is as before.
struct Shop<'a> {
    cluster: &'a Session,
    folder: tempfile::TempDir,
    // In this order: the profiles when no pod uses them any more, and the chart while the registry is there.
    _namespace: IncludedNamespace<'a>,
    _profiles: ProfilesOfImages<'a>,
    _reinstall: Reinstall<'a>,
    registry: ImageRegistry<'a>,
}

impl<'a> Shop<'a> {
    fn open(cluster: &'a Session, values: &[&str]) -> Self {
        let registry = ImageRegistry::start_private(cluster);
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("tmp")).unwrap();
        fs::copy(command::find("busybox").unwrap(), root.join("bin/busybox")).unwrap();
        let reinstall = Reinstall(cluster);
        let profiles = ProfilesOfImages(cluster);
        // Before the chart, which lets the webhook read the pull secrets in it.
        let namespace = IncludedNamespace::create(cluster, SHOP);
        let shop = Self {
            cluster,
            folder,
            _namespace: namespace,
            _profiles: profiles,
            _reinstall: reinstall,
            registry,
        };
        shop.create(&json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": { "name": LOGIN, "namespace": SHOP },
            "stringData": { ".dockerconfigjson": shop.registry.logins() },
        }));
        let secrets = format!("images.secrets.namespaces={{{SHOP}}}");
        let always = [
            // With one, each pod gets what the one before got.
            "replicas=1",
            "images.enabled=true",
            "images.architectures={amd64}",
            "images.timeoutSeconds=30",
            &secrets,
        ];
        webhook::install(cluster, Some(&shop.registry), &[&always, values].concat());
        shop
    }

    /// Runs kubectl in the namespace.
    fn ok(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(["--namespace", SHOP].iter().chain(arguments)).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Objects in the namespace.
    fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let mut list: Value =
            serde_json::from_str(&self.ok(&[&["get", "--output=json"], arguments].concat())).unwrap();
        serde_json::from_value(list["items"].take()).unwrap()
    }

    fn create_with(&self, dry_run: &str, object: &Value) -> Value {
        let create = ["create", dry_run, "--output=json", "--filename=-"];
        let created =
            self.cluster.kubectl_input(create, &object.to_string()).unwrap_or_else(|e| panic!("{e}"));
        serde_json::from_str(&created).unwrap()
    }

    fn create(&self, object: &Value) -> Value {
        self.create_with("--dry-run=none", object)
    }

    /// Pushes an image, and attaches a profile to it.
    fn push(&self, name: &str, forbidding: &Forbidding) -> String {
        let label = forbidding.calls.join(",");
        let dockerfile = format!(
            "FROM scratch\nLABEL forbids={label} of={name}\nCOPY . /\nENTRYPOINT [\"/bin/busybox\"]\n"
        );
        let image = self.registry.push(name, &dockerfile, &self.folder.path().join("root"));
        let file = self.file();
        fs::write(&file, forbidding.profile().to_string()).unwrap();
        let attached = self.registry.seccomp(&["attach", &image, &file.display().to_string()]);
        assert!(attached.contains("attached"), "{attached}");
        image
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("profile.json")
    }

    /// The profile that a new pod of the image gets, once that is so and it is not this one. Before, the webhook of the chart
    /// is not asked, or uses what the tag meant.
    fn profile_of(&self, image: &str, other_than: Option<&str>) -> String {
        let pod = pod(
            "tried",
            json!([container("main", image, STAYS)]),
            json!({ "imagePullSecrets": [{ "name": LOGIN }] }),
        );
        until(&format!("the webhook giving {image} its profile"), MOVED, || {
            let tried = self.create_with("--dry-run=server", &pod);
            profile(&tried["spec"]["containers"][0]).filter(|it| Some(&**it) != other_than)
        })
    }

    /// The names of all profiles that images brought.
    fn profiles(&self) -> Vec<String> {
        let listed = self.list(&["seccompprofiles", &format!("--selector={FROM}=image")]);
        listed.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What a container has printed, once it has tried both.
    fn log(&self, pod: &str, container: &str) -> String {
        until(&format!("the log of {container} in {pod}"), LIMIT, || {
            let log = self.ok(&["logs", pod, "--container", container]);
            log.contains("chmod ends with").then_some(log)
        })
    }
}

/// The profiles that images bring, which are deleted when this is dropped.
struct ProfilesOfImages<'a>(&'a Session);

impl Drop for ProfilesOfImages<'_> {
    fn drop(&mut self) {
        let ours = format!("--selector={FROM}=image");
        expect_cleanup(self.0.kubectl(["delete", "seccompprofiles", &ours, "--timeout=60s"]).map(drop));
    }
}

/// A container that tries both calls and goes on with `script`.
fn container(name: &str, image: &str, script: &str) -> Value {
    json!({ "name": name, "image": image, "args": ["sh", "-c", format!("{TRIES}; {script}")] })
}

fn pod(name: &str, containers: Value, mut spec: Value) -> Value {
    spec["containers"] = containers;
    spec["terminationGracePeriodSeconds"] = json!(1);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": SHOP }, "spec": spec })
}

/// The profile that a container names.
fn profile(container: &Value) -> Option<String> {
    let profile = container["securityContext"]["seccompProfile"]["localhostProfile"].as_str()?;
    Some(profile.strip_prefix("profiles/")?.strip_suffix(".json")?.to_owned())
}

#[test]
#[ignore = "long: builds a registry"]
fn two_containers_of_a_pod_each_run_under_the_profile_of_their_own_private_image() {
    let cluster = alone();
    let shop = Shop::open(&cluster, &[]);
    let images = [shop.push("team/no-mkdir:1", &MKDIR), shop.push("team/no-chmod:1", &CHMOD)];
    let wanted = images.each_ref().map(|image| shop.profile_of(image, None));
    assert_ne!(wanted[0], wanted[1]);
    let containers = json!([container("first", &images[0], STAYS), container("second", &images[1], STAYS)]);

    // Without the login nobody gets the image, nor what it brings.
    let stranger = shop.create(&pod("stranger", json!([container("main", &images[0], STAYS)]), json!({})));
    let main = &stranger["spec"]["containers"][0];
    assert_eq!((profile(main), main["image"].as_str()), (None, Some(&*images[0])));
    until("the kubelet not getting the image", LIMIT, || {
        let pods = shop.list(&["pods", "--field-selector=metadata.name=stranger"]);
        let reason = pods[0].pointer("/status/containerStatuses/0/state/waiting/reason")?;
        ["ErrImagePull", "ImagePullBackOff"].contains(&reason.as_str()?).then_some(())
    });

    // The secret of the pod's account.
    shop.create(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "customer", "namespace": SHOP },
        "imagePullSecrets": [{ "name": LOGIN }],
    }));
    let created = shop.create(&pod("both", containers, json!({ "serviceAccountName": "customer" })));
    shop.ok(&["wait", "--for=condition=Ready", "pod/both", "--timeout=60s"]);
    let shown = &shop.list(&["pods", "--field-selector=metadata.name=both"])[0];
    for (at, (name, forbidding)) in [("first", &MKDIR), ("second", &CHMOD)].into_iter().enumerate() {
        let container = &created["spec"]["containers"][at];
        assert_eq!(profile(container).as_ref(), Some(&wanted[at]), "{container}");
        let (_, digest) = container["image"].as_str().unwrap().split_once('@').unwrap();
        let statuses = shown["status"]["containerStatuses"].as_array().unwrap();
        let status = statuses.iter().find(|it| it["name"] == name).unwrap();
        assert!(status["imageID"].as_str().unwrap().ends_with(digest), "{status}");
        assert_eq!(shop.log("both", name), forbidding.log(), "{name}");
    }
}

impl Shop<'_> {
    /// Has the operator remove profiles of images a moment after their last pod. The chart's value is in hours.
    fn remove_unused_soon(&self) {
        const OPERATOR: &str = "deployment/seccomp-profile-operator";
        const OPTION: &str = "--remove-unused-image-profiles-after=";
        let operator = self.cluster.json(["--namespace", NAMESPACE, "get", OPERATOR]);
        let place = "/spec/template/spec/containers/0/args";
        let arguments = operator.pointer(place).unwrap().as_array().unwrap();
        let at = arguments.iter().position(|it| it.as_str().unwrap().starts_with(OPTION)).unwrap();
        let change =
            json!([{ "op": "replace", "path": format!("{place}/{at}"), "value": format!("{OPTION}5s") }]);
        let change = change.to_string();
        self.cluster.ok(["--namespace", NAMESPACE, "patch", OPERATOR, "--type=json", "--patch", &change]);
        self.cluster.wait_rolled_out();
    }

    /// Waits until a controller has so many pods and no others, all under this profile, and checks what they could do.
    fn wait_pods(&self, app: &str, count: usize, wanted: &str, forbidding: &Forbidding) {
        let pods = until(&format!("{count} pods of {app} under {wanted}"), SCHEDULED, || {
            let pods = self.list(&["pods", &format!("--selector=app={app}")]);
            let is_so = |pod: &Value| {
                profile(&pod["spec"]["containers"][0]).is_some_and(|it| it == wanted)
                    && ["Running", "Succeeded"].contains(&pod["status"]["phase"].as_str().unwrap_or_default())
            };
            (pods.len() == count && pods.iter().all(is_so)).then_some(pods)
        });
        for pod in pods {
            let name = pod["metadata"]["name"].as_str().unwrap();
            assert_eq!(self.log(name, "main"), forbidding.log(), "{name}");
        }
    }

    /// How many pods use a profile, once there are so many.
    fn wait_users(&self, name: &str, count: i64) {
        until(&format!("{count} pods using {name}"), LIMIT, || {
            let view = ProfileView::get(self.cluster.client(), name).unwrap()?;
            (view.json()["status"]["pods"]["using"] == count).then_some(())
        });
    }
}

/// A template of one container, which gets its image with the pull secret.
fn template(app: &str, image: &str, script: &str, restart: &str) -> Value {
    let made = pod(
        "",
        json!([container("main", image, script)]),
        json!({
            "imagePullSecrets": [{ "name": LOGIN }], "restartPolicy": restart,
        }),
    );
    json!({ "metadata": { "labels": { "app": app } }, "spec": made["spec"] })
}

fn controller(kind: &str, app: &str, spec: &Value) -> Value {
    let api = if kind.ends_with("Job") { "batch/v1" } else { "apps/v1" };
    json!({ "apiVersion": api, "kind": kind, "metadata": { "name": app, "namespace": SHOP }, "spec": spec })
}

/// What runs until it is stopped.
fn staying(kind: &str, app: &str, image: &str, more: Value) -> Value {
    let mut spec = more;
    spec["selector"] = json!({ "matchLabels": { "app": app } });
    spec["template"] = template(app, image, STAYS, "Always");
    controller(kind, app, &spec)
}

#[test]
#[ignore = "long: builds a registry"]
fn two_deployments_share_a_profile_and_it_goes_when_both_have_images_with_another_one() {
    let cluster = alone();
    let shop = Shop::open(&cluster, &[]);
    let images = [("one", shop.push("team/one:1", &MKDIR)), ("two", shop.push("team/two:1", &MKDIR))];
    let old = shop.profile_of(&images[0].1, None);
    for (app, image) in &images {
        shop.create(&staying("Deployment", app, image, json!({})));
        shop.wait_pods(app, 1, &old, &MKDIR);
    }
    shop.wait_users(&old, 2);
    assert_eq!(shop.profiles(), slice::from_ref(&old));
    shop.remove_unused_soon();

    // The image behind the tag changes.
    let moved = shop.push("team/one:1", &CHMOD);
    assert_eq!(moved, images[0].1);
    let new = shop.profile_of(&moved, Some(&old));
    shop.ok(&["rollout", "restart", "deployment/one"]);
    shop.wait_pods("one", 1, &new, &CHMOD);
    shop.wait_users(&old, 1);
    shop.wait_users(&new, 1);
    // The other one goes on as before, with the file that it would need at a restart.
    shop.wait_pods("two", 1, &old, &MKDIR);
    let nodes = cluster.node_list();
    let files = || nodes.iter().filter(|node| disk::path(node, &old).exists()).count();
    assert_eq!(files(), nodes.len());

    // The Deployment's image changes.
    shop.ok(&["set", "image", "deployment/two", &format!("main={moved}")]);
    shop.wait_pods("two", 1, &new, &CHMOD);
    until("the old profile being gone", 2 * LIMIT, || {
        (shop.profiles() == slice::from_ref(&new)).then_some(())
    });
    assert_eq!(files(), 0);
    shop.wait_users(&new, 2);
}

#[test]
#[ignore = "long: builds a registry, and waits for a CronJob"]
fn five_kinds_of_controllers_run_private_images_under_the_profiles_that_these_bring() {
    let cluster = alone();
    let shop = Shop::open(&cluster, &["images.templates=true"]);
    let image = shop.push("team/app:1", &MKDIR);
    let wanted = shop.profile_of(&image, None);
    let job = json!({ "template": template("job", &image, "true", "Never") });
    let scheduled = json!({
        // A second pod does not begin before the first ends.
        "schedule": "* * * * *", "concurrencyPolicy": "Forbid",
        "jobTemplate": { "spec": { "template": template("cron", &image, STAYS, "Never") } },
    });
    let nodes = cluster.node_list().len();
    let kinds = [
        (staying("Deployment", "deployment", &image, json!({ "replicas": 2 })), 2),
        (staying("StatefulSet", "stateful", &image, json!({ "replicas": 2, "serviceName": "stateful" })), 2),
        (staying("DaemonSet", "daemon", &image, json!({})), nodes),
        (controller("Job", "job", &job), 1),
        (controller("CronJob", "cron", &scheduled), 1),
    ];
    for (object, _) in &kinds {
        let created = shop.create(object);
        let spec = &created["spec"];
        let template = spec.pointer("/jobTemplate/spec/template").unwrap_or(&spec["template"]);
        let container = &template["spec"]["containers"][0];
        let pinned = container["image"].as_str().unwrap();
        assert!(pinned.starts_with(&format!("{image}@sha256:")), "{created}");
        assert_eq!(profile(container), None, "each pod gets it when it is created");
    }
    for (object, count) in &kinds {
        shop.wait_pods(object["metadata"]["name"].as_str().unwrap(), *count, &wanted, &MKDIR);
    }
    shop.ok(&["wait", "--for=condition=Complete", "job/job", "--timeout=30s"]);
    // A ReplicaSet whose template a webhook had changed would not be the Deployment's, which would count collisions.
    let deployment = &shop.list(&["deployments"])[0];
    assert_eq!(deployment["status"]["collisionCount"], Value::Null, "{deployment}");
    assert_eq!(shop.profiles(), [wanted]);
}
