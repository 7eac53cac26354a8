//! Layers that nobody should write: an error each, and nothing outside of the image.

use files::Files;
use image::{ImageError, Layer};
use proptest::prelude::*;
use registry::Digest;
use tar::{Builder, EntryType};

use crate::made::Made::{File, Hard, Link};
use crate::made::{CONFIG, contents, gzip, header, image, layer};

fn refused(layers: &[Vec<u8>]) -> String {
    let error = image(layers).unwrap_err();
    assert!(matches!(error, ImageError::Layer { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_path_with_dots_is_an_error() {
    assert_eq!(refused(&[layer(&[File("../etc/shadow", b"x")])]), "layer 1: ../etc/shadow: its path has ..");
    assert_eq!(refused(&[layer(&[File("a/../../b", b"x")])]), "layer 1: a/../../b: its path has ..");
    let hard = layer(&[File("a", b"x"), Hard("b", "../a")]);
    assert_eq!(refused(&[hard]), "layer 1: b: it is a hard link to a path with ..");
}

#[test]
fn a_hard_link_to_no_file_is_an_error() {
    let message = refused(&[layer(&[]), layer(&[Hard("b", "/etc/shadow")])]);
    assert_eq!(message, "layer 2: b: it is a hard link to no file");
}

#[test]
fn a_whiteout_of_no_name_is_an_error() {
    assert!(refused(&[layer(&[File("a/.wh...", b"")])]).contains("removes what has no name"));
    assert!(refused(&[layer(&[File("a/x", b""), File("a/.wh.", b"")])]).contains("removes what has no name"));
}

#[test]
fn links_lead_nowhere_but_into_the_image() {
    let image = image(&[layer(&[
        File("etc/passwd", b"of the image"),
        Link("out", "/../../../../etc/passwd"),
        Link("self", "self"),
    ])])
    .unwrap();
    assert_eq!(contents(&image, "/out").as_deref(), Some("of the image"));
    assert_eq!(contents(&image, "/self"), None);
}

#[test]
fn files_below_files_and_below_broken_links_are_errors() {
    assert!(refused(&[layer(&[File("a", b"x"), File("a/b", b"y")])]).ends_with("a/b: is below a file"));
    let message = refused(&[layer(&[Link("a", "nowhere"), File("a/b", b"y")])]);
    assert!(message.ends_with("a/b: is below a link that leads to no directory"), "{message}");
}

#[test]
fn contents_that_end_too_early_are_an_error() {
    let mut cut = layer(&[File("a", &[7; 4000])]);
    cut.truncate(512 + 1000);
    refused(&[cut]);
    let packed = gzip(&layer(&[File("a", &[7; 4000])]));
    refused(&[packed[..packed.len() / 2].to_vec()]);
}

#[test]
fn an_extended_header_that_is_too_large_or_malformed_is_an_error() {
    let with = |kind, size: u64, bytes: &[u8]| {
        let mut builder = Builder::new(Vec::new());
        builder.append(&header("x", kind, "", size), bytes).unwrap();
        builder.into_inner().unwrap()
    };
    let large = vec![b'a'; (image::limits::EXTENSION_BYTES + 1) as usize];
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let message = refused(&[with(kind, large.len() as u64, &large)]);
        assert_eq!(message, "layer 1: more than 1048576 bytes of an extended header");
    }
    let message = refused(&[with(EntryType::XHeader, 6, b"no pax")]);
    assert_eq!(message, "layer 1: x: its extended header is malformed");
    let message = refused(&[with(EntryType::XHeader, 11, b"11 size=99\n")]);
    assert_eq!(message, "layer 1: x: its extended header states another size");
    assert!(refused(&[with(EntryType::GNUSparse, 0, b"")]).contains("sparse"));
    assert!(refused(&[with(EntryType::new(b'V'), 0, b"")]).contains("of a kind that is not read"));
}

#[test]
fn a_path_from_an_extended_header_is_a_path_like_any_other() {
    let mut builder = Builder::new(Vec::new());
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(150));
    builder
        .append(
            &header("ignored", EntryType::GNULongName, "", long.len() as u64 + 1),
            &*[long.as_bytes(), b"\0"].concat(),
        )
        .unwrap();
    builder.append(&header("short", EntryType::Regular, "", 1), &b"1"[..]).unwrap();
    let record = b"20 path=../etc/file\n";
    builder.append(&header("ignored", EntryType::XHeader, "", record.len() as u64), &record[..]).unwrap();
    builder.append(&header("short", EntryType::Regular, "", 1), &b"2"[..]).unwrap();
    let bytes = builder.into_inner().unwrap();
    assert_eq!(refused(std::slice::from_ref(&bytes)), "layer 1: ../etc/file: its path has ..");
    // Without the second one.
    let kept = bytes[..512 * 4].to_vec();
    assert_eq!(contents(&image(&[kept]).unwrap(), &format!("/{long}")).as_deref(), Some("1"));
}

#[test]
fn bytes_of_another_digest_are_an_error_also_behind_the_last_entry() {
    let bytes = gzip(&layer(&[File("a", b"x")]));
    let of = |bytes: &[u8], digest: Digest| {
        let bytes = bytes.to_vec();
        let layer = Layer { digest: Some(digest), bytes: Box::new(std::io::Cursor::new(bytes)) };
        image::Image::of(CONFIG, [Ok(layer)], Vec::new()).map(drop)
    };
    let digest = Digest::of(&bytes);
    of(&bytes, digest.clone()).unwrap();
    let longer = [&bytes[..], &gzip(b"more")].concat();
    let error = of(&longer, digest).unwrap_err();
    assert_eq!(error.to_string(), "layer 1: its bytes are not those of its digest");
}

#[test]
fn what_nobody_runs_is_not_kept() {
    let large = &*vec![b'x'; image::limits::OTHER_BYTES as usize + 1].leak();
    let program = &*[b"\x7fELF", large].concat().leak();
    let image = image(&[layer(&[File("data", large), File("program", program)])]).unwrap();
    let error = image.read("/data", usize::MAX).unwrap_err();
    assert_eq!(error, "it is neither a program nor a library, and too large to be looked at");
    assert_eq!(image.read("/program", usize::MAX).unwrap(), program);
    assert!(image.read("/program", 100).is_err());
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), at in 0..1500usize) {
        let _ = image(std::slice::from_ref(&bytes));
        let mut changed = layer(&[File("etc/a", b"x"), Link("b", "etc"), Hard("c", "etc/a")]);
        let end = (at + bytes.len()).min(changed.len());
        changed[at..end].copy_from_slice(&bytes[..end - at]);
        let _ = image(&[changed, gzip(&bytes)]);
    }
}
