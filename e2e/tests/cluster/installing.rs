//! Every way to install and remove the chart other than `helm install` and `helm uninstall` alone
//! (`removal.rs`): rendered manifests, a release under another name and in another namespace, a parent chart.

use std::fs;
use std::path::{Path, PathBuf};

use cluster::NAMESPACE;
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::build_images::VERSION;
use xtask::workspace::repository;

use super::audit::Log;
use super::documented::Reader;
use super::pages::Page;
use super::removal::{Reinstall, UNINSTALLATION, finalizers};
use super::support::{
    AppliedProfile, DEFINITIONS, LIMIT, Session, allow_all, alone, bytes_of, expect_cleanup, object, until,
};

/// The chart in the work tree.
fn chart() -> String {
    repository().join("charts").join(NAMESPACE).display().to_string()
}

fn helm(cluster: &Session, arguments: &[&str]) -> String {
    cluster.helm(arguments).unwrap_or_else(|error| panic!("{error}"))
}

/// Ends the release that every cluster starts with.
fn without_the_release(cluster: &Session) -> Reinstall<'_> {
    let reinstall = Reinstall(cluster);
    helm(cluster, &["uninstall", NAMESPACE, "--namespace", NAMESPACE]);
    reinstall
}

/// How many profiles have the operator's finalizer.
fn count_finalizers(cluster: &Session) -> usize {
    let ours = |(_, all): &(String, Vec<String>)| all.iter().any(|one| one == api::names::FINALIZER);
    finalizers(cluster).iter().filter(|found| ours(found)).count()
}

/// Objects applied from a text; they are deleted when this is dropped.
struct Manifests<'a>(&'a Session, String);

impl<'a> Manifests<'a> {
    fn apply(cluster: &'a Session, text: String) -> Self {
        let manifests = Manifests(cluster, text);
        manifests.apply_again();
        manifests
    }

    fn apply_again(&self) {
        let apply = ["apply", "--server-side", "--filename=-"];
        self.0.kubectl_input(apply, &self.1).unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for Manifests<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "--ignore-not-found", "--timeout=60s", "--filename=-"];
        expect_cleanup(self.0.kubectl_input(delete, &self.1).map(drop));
    }
}

/// A namespace for a test; it is deleted when this is dropped.
struct Namespace<'a>(&'a Session, &'static str);

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", self.1, "--ignore-not-found", "--timeout=120s"];
        expect_cleanup(self.0.kubectl(delete).map(drop));
    }
}

/// A Helm release; it is uninstalled when this is dropped.
struct Release<'a> {
    cluster: &'a Session,
    name: &'static str,
    _namespace: Namespace<'a>,
}

impl<'a> Release<'a> {
    fn install(cluster: &'a Session, name: &'static str, chart: &str, more: &[&str]) -> Result<Self, String> {
        let release = Release { cluster, name, _namespace: Namespace(cluster, name) };
        release.helm("install", chart, more).map(|()| release)
    }

    /// `helm install` or `helm upgrade`, which wait until all is rolled out.
    fn helm(&self, verb: &str, chart: &str, more: &[&str]) -> Result<(), String> {
        let mut all = vec![verb, self.name, chart, "--namespace", self.name, "--wait", "--timeout", "2m"];
        if verb == "install" {
            all.push("--create-namespace");
        }
        let all = all.iter().chain(more);
        self.cluster.helm(all).map(drop).map_err(|error| error.to_string())
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let uninstall = ["uninstall", self.name, "--namespace", self.name, "--ignore-not-found"];
        expect_cleanup(self.cluster.helm(uninstall).map(drop));
    }
}

/// Checks that a profile can be created, changed and deleted.
fn check_lifecycle(cluster: &Session, name: &str) {
    let profile = cluster.profile(name, &allow_all(1));
    profile.wait_ready();
    profile.update(&allow_all(2));
    profile.wait_ready();
    profile.begin_deletion();
    profile.wait_gone(LIMIT);
    until(&format!("{name} being off every disk"), LIMIT, || {
        profile.on_disks().iter().all(|(_, found)| found.is_none()).then_some(())
    });
}

/// As with a tool that does not support Helm's hooks.
#[test]
fn applying_what_helm_renders_keeps_the_finalizers_and_the_lease() {
    let cluster = alone();
    let profiles: Vec<_> =
        (0..5).map(|number| cluster.profile(&format!("kept-{number}"), &allow_all(number))).collect();
    profiles.iter().for_each(|profile| drop(profile.wait_ready()));
    let _reinstall = without_the_release(&cluster);
    assert_eq!(count_finalizers(&cluster), 0);

    let log = Log::from_now(&cluster);
    // The definitions stay when this is dropped: deleting them would delete every profile.
    let without = ["--set", "crds.install=false"];
    let template = ["template", NAMESPACE, &chart(), "--namespace", NAMESPACE];
    let text = helm(&cluster, &template.iter().chain(&without).copied().collect::<Vec<_>>());
    let manifests = Manifests::apply(&cluster, text);
    cluster.wait_rolled_out();
    profiles.iter().for_each(|profile| drop(profile.wait_ready()));
    let lease = |cluster: &Session| {
        let lease = cluster.json(["-n", NAMESPACE, "get", "lease", "seccomp-profile-operator"]);
        lease["metadata"]["uid"].clone()
    };
    let job = "job/seccomp-profile-uninstall";
    cluster.ok(["-n", NAMESPACE, "wait", "--for=condition=Complete", "--timeout=60s", job]);
    until("the finalizers being on again", LIMIT, || {
        (count_finalizers(&cluster) == profiles.len()).then_some(())
    });
    let first = lease(&cluster);

    // The Job without concurrent changes, so that a removed finalizer would be noticed.
    cluster.ok(["-n", NAMESPACE, "delete", job, "--timeout=60s"]);
    manifests.apply_again();
    cluster.ok(["-n", NAMESPACE, "wait", "--for=condition=Complete", "--timeout=60s", job]);
    let said = cluster.ok(["-n", NAMESPACE, "logs", job]);
    assert!(said.contains("Deployment seccomp-profile-operator"), "{said}");
    assert!(said.contains("--no-hooks"), "{said}");
    assert_eq!((count_finalizers(&cluster), lease(&cluster)), (profiles.len(), first));
    let theirs: Vec<_> = log.writes().into_iter().filter(|write| write.account == UNINSTALLATION).collect();
    assert_eq!(theirs, []);
    check_lifecycle(&cluster, "of-the-rendered");
    profiles.iter().for_each(|profile| drop(profile.wait_ready()));

    // As documented: without the operator, the Job removes the finalizers.
    drop(manifests);
    let end = [&template[..], &["--show-only", "templates/uninstall/*.yaml"]].concat();
    let end = Manifests::apply(&cluster, helm(&cluster, &end));
    cluster.ok(["-n", NAMESPACE, "wait", "--for=condition=Complete", "--timeout=120s", job]);
    assert_eq!(count_finalizers(&cluster), 0);
    drop(end);
    for (number, profile) in profiles.iter().enumerate() {
        assert!(
            profile.on_disks().iter().all(|(_, found)| *found == Some(bytes_of(&allow_all(number)))),
            "{}",
            profile.name
        );
    }
}

#[test]
fn rendered_manifests_are_applied_and_deleted_as_documented() {
    let cluster = alone();
    let kept = cluster.profile("kept", &allow_all(0));
    kept.wait_ready();
    let _reinstall = without_the_release(&cluster);
    let reader = Reader::of(&cluster);
    let mut page = Page::read("docs/how-to/gitops.md");
    let begins = |with: &'static str| move |script: &str| script.starts_with(with);
    let ends = begins("kubectl delete");
    reader.check_page(&mut page, |block| !ends(&block.script));
    kept.wait_ready();
    assert_eq!(count_finalizers(&cluster), 1);
    let jobs = cluster.ok(["-n", NAMESPACE, "get", "jobs", "-o", "name"]);
    assert_eq!(jobs, "", "the hook was left out");
    reader.check_page(&mut page, |block| ends(&block.script));
    assert_eq!(count_finalizers(&cluster), 0);
    assert!(kept.on_disks().iter().all(|(_, found)| *found == Some(bytes_of(&allow_all(0)))));
}

/// The definitions, which an uninstallation keeps, belong to the release that installed them.
#[test]
fn a_release_under_another_name_is_refused_until_it_takes_the_definitions_over_or_leaves_them_out() {
    let cluster = alone();
    let kept = cluster.profile("kept", &allow_all(0));
    kept.wait_ready();
    let _reinstall = without_the_release(&cluster);

    let refused = Release::install(&cluster, "another", &chart(), &[]).err();
    let refused = refused.unwrap_or_default();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    assert!(refused.contains(".seccomp.imjasonh.dev"), "{refused}");
    for (name, way) in [("another", "--take-ownership"), ("a-third", "--set=crds.install=false")] {
        let release = Release::install(&cluster, name, &chart(), &[way]);
        let release = release.unwrap_or_else(|error| panic!("{name} {way}: {error}"));
        kept.wait_ready();
        check_lifecycle(&cluster, "of-the-other");
        let owner = cluster.json(["get", "crd", "seccompprofiles.seccomp.imjasonh.dev"]);
        let owner = owner["metadata"]["annotations"]["meta.helm.sh/release-name"].clone();
        assert_eq!(owner, "another", "{way}");
        // The release that took them over works as usual.
        if name == "another" {
            let upgraded = release.helm("upgrade", &chart(), &["--set=operator.podAnnotations.round=second"]);
            upgraded.unwrap_or_else(|error| panic!("{error}"));
            kept.wait_ready();
        }
        drop(release);
        assert_eq!(count_finalizers(&cluster), 0, "{name}");
    }
    assert!(kept.on_disks().iter().all(|(_, found)| *found == Some(bytes_of(&allow_all(0)))));
}

/// A parent chart with this one as a dependency, and with a profile.
struct Parent {
    directory: TempDir,
}

impl Parent {
    fn new(profile: &Value) -> Self {
        let parent = Parent { directory: tempfile::tempdir().unwrap() };
        let version = json!({
            "apiVersion": "v2", "name": "platform", "version": "1.0.0",
            "dependencies": [{ "name": NAMESPACE, "version": VERSION }],
        });
        parent.write("Chart.yaml", &version);
        parent.set_profile(profile);
        copy(Path::new(&chart()), &parent.dependency_path());
        parent
    }

    /// Replaces its profile.
    fn set_profile(&self, profile: &Value) {
        self.write("templates/profile.yaml", profile);
    }

    fn dependency_path(&self) -> PathBuf {
        self.directory.path().join("charts").join(NAMESPACE)
    }

    /// As documented in `docs/how-to/gitops.md`.
    fn copy_definitions_into_its_crds(&self) {
        copy(&self.dependency_path().join("charts/crds/templates"), &self.directory.path().join("crds"));
    }

    fn write(&self, path: &str, contents: &Value) {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents.to_string()).unwrap();
    }

    fn path(&self) -> String {
        self.directory.path().display().to_string()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

#[test]
fn a_parent_chart_contains_this_one_and_a_profile_once_it_has_the_definitions_in_its_own_directory() {
    let cluster = alone();
    let bundled = |number| object("bundled", &allow_all(number));
    let parent = Parent::new(&bundled(0));
    let _reinstall = without_the_release(&cluster);
    cluster.ok(["delete", "seccompprofiles.seccomp.imjasonh.dev", "--all", "--timeout=60s"]);
    let [profiles, statuses, observations] = DEFINITIONS;
    cluster.ok(["delete", "crd", "--timeout=60s", profiles, statuses, observations]);
    until("the API server serving the kinds no more", LIMIT, || {
        (!cluster.ok(["get", "--raw", "/apis"]).contains(api::names::GROUP)).then_some(())
    });

    // Helm looks up every kind of a release before it creates the first object of it.
    let refused = Release::install(&cluster, "platform", &parent.path(), &[]).err().unwrap_or_default();
    assert!(refused.contains("no matches for kind \"SeccompProfile\""), "{refused}");

    parent.copy_definitions_into_its_crds();
    let without = ["--set", "seccomp-profile.crds.install=false"];
    let release = Release::install(&cluster, "platform", &parent.path(), &without);
    let release = release.unwrap_or_else(|error| panic!("{error}"));
    let profile: AppliedProfile<'_> = cluster.existing("bundled");
    profile.wait_ready();
    parent.set_profile(&bundled(1));
    release.helm("upgrade", &parent.path(), &without).unwrap_or_else(|error| panic!("{error}"));
    profile
        .until("having the parent's new contents", LIMIT, |view| view.json()["spec"] == bundled(1)["spec"]);
    profile.wait_ready();
    check_lifecycle(&cluster, "beside-it");
    // Helm deletes the profile after the operator; the Job removes its finalizer.
    drop(release);
    profile.wait_gone(LIMIT);
    let kept = cluster.ok(["get", "crds", "-o", "name"]);
    assert!(DEFINITIONS.iter().all(|name| kept.contains(name)), "{kept}");
}
