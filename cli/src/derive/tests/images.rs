//! Images in a layout, in an archive and in a registry.

use std::fs;
use std::path::Path;

use registry::Digest;
use registry::testing::TestRegistry;
use serde_json::Value;

use super::{args, derive};
use crate::derive::testing::{CONFIG, layer, layers, registry};
use crate::derive::{DerivedText, Place, derive_image};
use crate::error::CliError;

fn write_blob(layout: &Path, bytes: &[u8]) -> String {
    let digest = Digest::of(bytes);
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    format!(r#"{{"digest":"{digest}","size":{}}}"#, bytes.len())
}

/// A directory with a layout.
fn layout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("My_App");
    let config = write_blob(&layout, CONFIG.as_bytes());
    let layers: Vec<_> = layers().iter().map(|it| write_blob(&layout, it)).collect();
    let manifest = format!(r#"{{"config":{config},"layers":[{}]}}"#, layers.join(","));
    let manifest = write_blob(&layout, manifest.as_bytes());
    fs::write(layout.join("oci-layout"), "{}").unwrap();
    fs::write(layout.join("index.json"), format!(r#"{{"manifests":[{manifest}]}}"#)).unwrap();
    folder
}

/// An archive as `docker save` wrote it before it wrote layouts.
fn archive(folder: &Path) -> String {
    let [lower, upper] = layers();
    let list = r#"[{"Config":"c.json","RepoTags":["app:1"],"Layers":["1/layer.tar","2/layer.tar"]}]"#;
    let bytes = layer(&[
        ("1/layer.tar", &lower),
        ("2/layer.tar", &upper),
        ("c.json", CONFIG.as_bytes()),
        ("manifest.json", list.as_bytes()),
    ]);
    let path = folder.join("app.tar");
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

const PROFILE: &str = "metadata:\n  name: NAME\nspec:\n  contents:\n    defaultAction: SCMP_ACT_ERRNO\n    architectures: \
     [SCMP_ARCH_X86_64]\n    syscalls:\n      - action: SCMP_ACT_ALLOW\n        names: [exit, getpid, getuid]\n";

fn is_whole(text: &DerivedText, name: &str) {
    assert!(text.text.ends_with(&PROFILE.replace("NAME", name)), "{}", text.text);
    assert_eq!(text.remarks.len(), 1, "{:?}", text.remarks);
    assert!(text.remarks[0].starts_with("/entry.sh: a script for /bin/sh"), "{:?}", text.remarks);
}

#[test]
fn what_an_image_starts_is_derived_out_of_a_layout_and_out_of_an_archive() {
    let folder = layout();
    let path = folder.path().join("My_App");
    let path = path.to_str().unwrap();
    let mut told = Vec::new();
    let all = args(&[path, "--runtime", "none", "--evidence", "it"]);
    let Place::Here(here) = all.place().unwrap() else { panic!("here") };
    let found = crate::derive::derive(&all, here, None, &mut |line| told.push(line.to_owned())).unwrap();
    is_whole(&found, "my-app");
    assert_eq!(
        told,
        ["layer 1 of 2, 3.1 kB", "layer 2 of 2, 3.1 kB", "derives /usr/sbin/server", "derives /bin/sh"]
    );
    let evidence: Value = serde_json::from_str(&found.evidence.unwrap()).unwrap();
    assert_eq!(evidence["programs"][0]["because"], "the image starts it");
    assert_eq!(evidence["programs"][1]["because"], "interprets /entry.sh");

    let path = archive(folder.path());
    is_whole(&derive(&args(&[&path, "--runtime", "none"]), None).unwrap(), "app");
    is_whole(&derive(&args(&[&path, "--runtime", "none", "--image", "app:1"]), None).unwrap(), "app");
    let error = derive(&args(&[&path, "--image", "app:2"]), None).unwrap_err();
    assert!(error.to_string().ends_with("app.tar: it has no image app:2; it has app:1"), "{error}");
}

#[test]
fn of_an_image_programs_can_be_named_beside_the_entry_point_or_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = archive(folder.path());
    let of =
        |more: &[&str]| derive(&args(&[&[&*path, "--runtime", "none"], more].concat()), None).unwrap().text;
    assert!(of(&["--program", "/bin/sh"]).contains("[exit, getpid, getuid]"));
    let alone = of(&["--program", "/bin/sh", "--only-named"]);
    assert!(alone.contains("name: sh\n") && alone.contains("[getuid]"), "{alone}");
}

#[test]
fn the_environment_of_the_image_says_which_libraries_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG.replace(
        "\"Cmd\"",
        "\"Env\":[\"LD_PRELOAD=/opt/a.so b.so:c.so\",\"LD_LIBRARY_PATH=/one;/two\"],\"Cmd\"",
    );
    let [lower, upper] = layers();
    let list = r#"[{"Config":"c.json","Layers":["1","2"]}]"#;
    let bytes = layer(&[
        ("1", &lower),
        ("2", &upper),
        ("c.json", config.as_bytes()),
        ("manifest.json", list.as_bytes()),
    ]);
    let path = folder.path().join("app.tar");
    fs::write(&path, bytes).unwrap();
    let all = args(&[path.to_str().unwrap()]);
    let Place::Here(here) = all.place().unwrap() else { panic!("here") };
    let opened = all.open(here, &mut |_| {}).unwrap();
    assert_eq!(opened.following.preload, ["/opt/a.so", "b.so", "c.so"]);
    assert_eq!(opened.following.directories, ["/one", "/two"]);
}

#[test]
fn a_target_that_is_neither_a_file_nor_an_image_is_an_error() {
    for target in ["/none", "./none", "../none", "No Image"] {
        assert_eq!(args(&[target]).place().unwrap_err().reason(), "Unreadable", "{target}");
    }
    let Place::Registry(image) = args(&["registry.example/team/app:1"]).place().unwrap() else {
        panic!("image")
    };
    assert_eq!(image.to_string(), "registry.example/team/app:1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    fs::write(&path, layer(&[("etc/hosts", b"")])).unwrap();
    let error = derive(&args(&[path.to_str().unwrap()]), None).unwrap_err();
    assert!(error.to_string().contains("so that it is no image"), "{error}");
}

async fn of_registry(registry: TestRegistry, image: &str) -> Result<(DerivedText, Vec<String>), String> {
    let running = registry.start().await;
    let host = format!("127.0.0.1:{}", running.port());
    let all = args(&[&format!("{host}/{image}"), "--plain-http", &host, "--runtime", "none"]);
    let Place::Registry(image) = all.place().unwrap() else { panic!("image") };
    let mut told = Vec::new();
    let found =
        derive_image(&all, &image, None, &mut |line| told.push(line.replace(&host, "registry"))).await;
    found.map(|text| (text, told)).map_err(|error: CliError| error.to_string().replace(&host, "registry"))
}

#[tokio::test]
async fn an_image_is_derived_out_of_a_registry() {
    let (text, told) = of_registry(registry("amd64").0, "team/app:1").await.unwrap();
    is_whole(&text, "app");
    assert_eq!(
        told,
        [
            "reads registry/team/app:1 for linux/amd64",
            "layer 1 of 2, 3.1 kB",
            "layer 2 of 2, 3.1 kB",
            "derives /usr/sbin/server",
            "derives /bin/sh"
        ]
    );
}

#[tokio::test]
async fn an_image_that_is_not_there_or_for_another_architecture_or_changed_is_an_error() {
    let error = of_registry(registry("amd64").0, "team/app:2").await.unwrap_err();
    assert!(error.starts_with("registry/team/app:2: the registry has no such manifest"), "{error}");
    let error = of_registry(registry("arm64").0, "team/app:1").await.unwrap_err();
    assert!(error.contains("no manifest for linux/amd64"), "{error}");
    let (mut changed, layers) = registry("amd64");
    let descriptor: Value = serde_json::from_str(&layers[1]).unwrap();
    let (digest, size) = (descriptor["digest"].as_str().unwrap(), descriptor["size"].as_u64().unwrap());
    changed.replace_blob(digest, &"x".repeat(size as usize));
    let error = of_registry(changed, "team/app:1").await.unwrap_err();
    assert_eq!(error, "registry/team/app:1: the blob has other bytes than those of its digest");
}
