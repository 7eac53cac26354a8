//! Layouts and archives.

use image::{Archive, Image, ImageError};

use crate::made::Made::File;
use crate::made::{CONFIG, Parts, contents, gzip, header, layer};
use tar::{Builder, EntryType};

const ARM: &[u8] = br#"{"architecture":"arm64","os":"linux"}"#;

fn one_file(contents: &'static [u8]) -> Vec<u8> {
    gzip(&layer(&[File("bin/app", contents)]))
}

fn app(image: &Image<Vec<u8>>) -> Option<String> {
    contents(image, "/bin/app")
}

#[test]
fn the_only_image_of_a_layout_is_read() {
    let mut parts = Parts::default();
    let descriptor = parts.image(CONFIG, &[one_file(b"first"), one_file(b"second")]) + "}";
    parts.layout(&[descriptor]);
    let mut told = Vec::new();
    let image = Image::open(&parts, None, Vec::new(), &mut |number, of, _| told.push((number, of))).unwrap();
    assert_eq!(app(&image).as_deref(), Some("second"));
    assert_eq!(
        (image.start().arguments.as_slice(), &*image.start().directory),
        (&["/bin/app".to_owned()][..], "/srv")
    );
    assert_eq!(told, [(1, 2), (2, 2)]);
}

#[test]
fn of_several_images_one_is_named() {
    let mut parts = Parts::default();
    let named = |descriptor: String, name: &str| {
        format!(r#"{descriptor},"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}"#)
    };
    let one = named(parts.image(CONFIG, &[one_file(b"one")]), "registry.example/team/one:1");
    let two = named(parts.image(CONFIG, &[one_file(b"two")]), "two");
    parts.layout(&[one, two]);
    assert_eq!(app(&parts.open_image(Some("two")).unwrap()).as_deref(), Some("two"));
    assert_eq!(app(&parts.open_image(Some("team/one:1")).unwrap()).as_deref(), Some("one"));
    let error = parts.open_image(None).unwrap_err();
    assert_eq!(error.to_string(), "it has several images; choose one of registry.example/team/one:1, two");
    let error = parts.open_image(Some("three")).unwrap_err();
    assert_eq!(error.to_string(), "it has no image three; it has registry.example/team/one:1, two");
}

#[test]
fn of_an_index_the_manifest_of_the_platform_is_read() {
    let mut parts = Parts::default();
    let on = |descriptor: String, architecture: &str| {
        format!(r#"{descriptor},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#)
    };
    let arm = on(parts.image(ARM, &[one_file(b"arm")]), "arm64");
    let amd = on(parts.image(CONFIG, &[one_file(b"amd")]), "amd64");
    let attestation = on(parts.image(CONFIG, &[one_file(b"no image")]), "unknown");
    let index = format!(r#"{{"manifests":[{arm},{amd},{attestation}]}}"#);
    let nested = parts.blob(index.as_bytes()) + "}";
    parts.layout(&[nested]);
    assert_eq!(app(&parts.open_image(None).unwrap()).as_deref(), Some("amd"));
    parts.layout(&[arm.clone(), amd]);
    assert_eq!(app(&parts.open_image(None).unwrap()).as_deref(), Some("amd"));
    parts.layout(&[arm]);
    assert_eq!(parts.open_image(None).unwrap_err().reason(), "Platform");
}

#[test]
fn a_blob_that_is_not_that_of_its_digest_is_an_error() {
    let mut parts = Parts::default();
    let descriptor = parts.image(CONFIG, &[one_file(b"x")]) + "}";
    parts.layout(&[descriptor]);
    for path in parts.0.keys().filter(|it| it.starts_with("blobs/")) {
        let mut changed = parts.clone();
        let blob = changed.0.get_mut(path).unwrap();
        let last = blob.len() - 1;
        blob[last] ^= 1;
        let error = changed.open_image(None).unwrap_err();
        assert_eq!(error.reason(), "Digest", "{error}");
        changed.0.remove(path);
        assert_eq!(changed.open_image(None).unwrap_err().reason(), "Missing");
    }
}

#[test]
fn an_archive_of_docker_is_read_compressed_or_not() {
    let mut parts = Parts::default();
    parts.add("abc.json", CONFIG);
    parts.add("one/layer.tar", layer(&[File("bin/app", b"app")]));
    parts.add("manifest.json", r#"[{"Config":"abc.json","RepoTags":["app:1"],"Layers":["one/layer.tar"]}]"#);
    for archive in [parts.archive(), gzip(&parts.archive())] {
        let archive = Archive::new(archive, Vec::new()).unwrap();
        for wanted in [None, Some("app:1")] {
            let image = Image::open(&archive, wanted, Vec::new(), &mut |_, _, _| {}).unwrap();
            assert_eq!(app(&image).as_deref(), Some("app"));
        }
        let error = Image::open(&archive, Some("app:2"), Vec::new(), &mut |_, _, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "it has no image app:2; it has app:1");
    }
}

#[test]
fn a_layer_of_an_archive_may_be_a_link_to_another_one() {
    let mut parts = Parts::default();
    parts.add("abc.json", CONFIG);
    parts.add("one/layer.tar", layer(&[File("bin/app", b"app")]));
    parts.add("manifest.json", r#"[{"Config":"abc.json","Layers":["two/layer.tar"]}]"#);
    let with_link = |target: &str| {
        let mut builder = Builder::new(parts.archive());
        builder.append(&header("two/layer.tar", EntryType::Symlink, target, 0), &b""[..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        // The first archive ends with two empty blocks, which nothing may follow.
        let end = parts.archive().len() - 1024;
        let archive = [&bytes[..end], &bytes[end + 1024..]].concat();
        let archive = Archive::new(archive, Vec::new()).unwrap();
        Image::open(&archive, None, Vec::new(), &mut |_, _, _| {})
    };
    assert_eq!(app(&with_link("../one/layer.tar").unwrap()).as_deref(), Some("app"));
    assert_eq!(with_link("../../../etc/passwd").unwrap_err().reason(), "Missing");
    assert_eq!(with_link("layer.tar").unwrap_err().reason(), "Unreadable");
}

#[test]
fn what_is_no_image_is_an_error_that_says_so() {
    let mut parts = Parts::default();
    assert_eq!(
        parts.open_image(None).unwrap_err().to_string(),
        "it has neither oci-layout nor manifest.json, so that it is no image"
    );
    parts.add("manifest.json", r#"{"no":"list"}"#);
    assert_eq!(parts.open_image(None).unwrap_err().reason(), "Malformed");
    parts.layout(&[]);
    assert!(matches!(parts.open_image(None), Err(ImageError::NoImage)));
    assert_eq!(Archive::new(vec![b'x'; 5000], Vec::new()).unwrap_err().reason(), "Malformed");
}
