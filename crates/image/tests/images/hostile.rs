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
fn files_below_files_and_below_links_in_a_circle_are_errors() {
    assert_eq!(refused(&[layer(&[File("a", b"x"), File("a/b", b"y")])]), "layer 1: /a: it is below a file");
    let message = refused(&[layer(&[Link("a", "b"), Link("b", "a"), File("a/c", b"y")])]);
    assert_eq!(message, "layer 1: /a: it is below links that lead to one another");
}

#[test]
fn a_directory_is_made_where_a_link_leads_to() {
    let image = image(&[layer(&[Link("var/run", "../run/deep"), File("var/run/x", b"y")])]).unwrap();
    assert_eq!(contents(&image, "/run/deep/x").as_deref(), Some("y"));
    assert_eq!(contents(&image, "/var/run/x").as_deref(), Some("y"));
}

#[test]
fn entries_that_are_small_and_take_long_are_bounded() {
    let deep = layer(&[File("d/.wh..wh..opq", b"")]);
    let mut many = deep[..deep.len() - 1024].repeat(12_000);
    let files: Vec<_> = (0..1000).map(|it| &*format!("d/{it}").leak()).map(|it| File(it, b"")).collect();
    many.splice(0..0, layer(&files)[..files.len() * 512].to_vec());
    assert_eq!(refused(&[many]), "layer 1: more than 10000000 lookups of paths");
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
fn a_value_of_an_extended_header_may_have_newlines() {
    let record = b"14 a.b=x\n=y\nz\n";
    let mut builder = Builder::new(Vec::new());
    builder.append(&header("x", EntryType::XHeader, "", record.len() as u64), &record[..]).unwrap();
    builder.append(&header("file", EntryType::Regular, "", 1), &b"1"[..]).unwrap();
    let image = image(&[builder.into_inner().unwrap()]).unwrap();
    assert_eq!(contents(&image, "/file").as_deref(), Some("1"));
}

#[test]
fn a_layer_that_ends_too_early_between_two_entries_is_an_error_if_the_image_states_its_digest() {
    let whole = layer(&[File("a", b"x"), File("b", b"y")]);
    let config = format!(r#"{{"rootfs":{{"diff_ids":["{}"]}}}}"#, Digest::of(&whole));
    let of = |bytes: &[u8]| {
        let layer = Layer { digest: None, bytes: Box::new(std::io::Cursor::new(gzip(bytes))) };
        image::Image::of(config.as_bytes(), [Ok(layer)], Vec::new()).map(drop)
    };
    of(&whole).unwrap();
    assert_eq!(of(&whole[..1024]).unwrap_err().reason(), "Digest");
    let none: [Result<Layer<'_>, ImageError>; 0] = [];
    let error = image::Image::of(config.as_bytes(), none, Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the configuration: it states 1 layers, and there are 0");
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
