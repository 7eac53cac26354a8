use std::collections::BTreeMap;
use std::io::Read;

use super::*;

fn image(directory: &Path) -> Image {
    let source = directory.join("program");
    std::fs::write(&source, b"\x7fELF and so on").unwrap();
    Image {
        reference: "registry.local/thing:1".into(),
        programs: vec![Program {
            source,
            path: "/bin/thing".into(),
            links: vec!["/bin/other".into()],
            capabilities: vec![],
        }],
        entrypoint: vec!["/bin/thing".into()],
        user: 65532,
        env: vec!["PATH=/bin".into()],
    }
}

fn unpack(bytes: &[u8]) -> BTreeMap<String, (tar::Header, Vec<u8>)> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        assert!(files.insert(path, (entry.header().clone(), contents)).is_none());
    }
    files
}

fn parse(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

fn blob(files: &BTreeMap<String, (tar::Header, Vec<u8>)>, descriptor: &serde_json::Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let bytes = files[&digest.replace("sha256:", "blobs/sha256/")].1.clone();
    assert_eq!(super::digest(&bytes), digest);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let first = image(directory.path()).to_bytes().unwrap();
    let second = tempfile::tempdir().unwrap();
    assert_eq!(first, image(second.path()).to_bytes().unwrap());
}

#[test]
fn every_blob_is_reached_by_a_digest_and_size_that_match() {
    let directory = tempfile::tempdir().unwrap();
    let files = unpack(&image(directory.path()).to_bytes().unwrap());
    let index = parse(&files["index.json"].1);
    let manifest = parse(&blob(&files, &index["manifests"][0]));
    let config = parse(&blob(&files, &manifest["config"]));
    let layer = blob(&files, &manifest["layers"][0]);
    assert_eq!(config["rootfs"]["diff_ids"][0], super::digest(&layer));
    assert_eq!(config["config"]["User"], "65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/bin/thing"]));
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "registry.local/thing:1");
}

#[test]
fn the_layer_holds_the_program_its_links_and_each_directory_once() {
    let directory = tempfile::tempdir().unwrap();
    let layer = unpack(&image(directory.path()).layer().unwrap());
    assert_eq!(layer.keys().collect::<Vec<_>>(), ["bin", "bin/other", "bin/thing"]);
    assert_eq!(layer["bin/thing"].0.mode().unwrap(), 0o755);
    assert_eq!(layer["bin/thing"].1, b"\x7fELF and so on");
    assert_eq!(layer["bin/other"].0.link_name().unwrap().unwrap().to_string_lossy(), "/bin/thing");
}

#[test]
fn a_program_that_is_not_there_is_named_in_the_error() {
    let image = Image {
        programs: vec![Program {
            source: "/nowhere/x".into(),
            path: "/x".into(),
            links: vec![],
            capabilities: vec![],
        }],
        ..Image::default()
    };
    assert!(image.to_bytes().unwrap_err().to_string().starts_with("cannot read /nowhere/x: "));
}

#[test]
fn a_program_that_needs_libraries_is_refused() {
    let source = std::env::current_exe().unwrap();
    let image = Image {
        programs: vec![Program { source, path: "/x".into(), links: vec![], capabilities: vec![] }],
        ..Image::default()
    };
    assert!(matches!(image.to_bytes(), Err(ImageError::Dynamic(_))));
}

#[test]
fn a_capability_is_an_attribute_of_the_file_and_of_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut image = image(directory.path());
    image.programs[0].capabilities = vec![37];
    let files = unpack(&image.to_bytes().unwrap());
    let index = parse(&files["index.json"].1);
    let manifest = parse(&blob(&files, &index["manifests"][0]));
    let layer = blob(&files, &manifest["layers"][0]);
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(&layer[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        for attribute in entry.pax_extensions().unwrap().into_iter().flatten() {
            let attribute = attribute.unwrap();
            let value = attribute.value_bytes().to_vec();
            found.insert((path.clone(), attribute.key().unwrap().to_owned()), value);
        }
    }
    // As `setcap cap_audit_read=p` writes it.
    let mut value = vec![0, 0, 0, 2];
    value.extend([0; 8]);
    value.extend([0x20, 0, 0, 0, 0, 0, 0, 0]);
    let file = ("bin/thing".to_owned(), "SCHILY.xattr.security.capability".to_owned());
    assert_eq!(found, BTreeMap::from([(file, value)]));
}
