//! Layers on top of one another.

use files::{Entry, Files};

use crate::made::Made::{Directory, File, Hard, Link};
use crate::made::{contents, gzip, image, layer};

#[test]
fn a_later_layer_replaces_and_removes_what_an_earlier_one_has() {
    let lower = layer(&[
        Directory("etc/"),
        File("etc/a", b"old"),
        File("etc/b", b"stays"),
        File("./var/log/x", b"gone"),
        File("var/log/deep/y", b"gone"),
        File("srv/data/1", b"hidden"),
        File("srv/data/below/3", b"hidden"),
        File("opt/tool/bin", b"in a directory"),
    ]);
    // The whiteout that empties a directory holds for the layers below, wherever it stands.
    let upper = layer(&[
        File("etc/a", b"new"),
        File("var/.wh.log", b""),
        File("srv/data/2", b"of this layer"),
        File("srv/data/.wh..wh..opq", b""),
        File("opt/tool", b"a file now"),
        File("absent/.wh.x", b""),
    ]);
    let image = image(&[gzip(&lower), upper]).unwrap();
    assert_eq!(contents(&image, "/etc/a").as_deref(), Some("new"));
    assert_eq!(contents(&image, "/etc/b").as_deref(), Some("stays"));
    assert_eq!(image.names("/etc"), ["a", "b"]);
    assert_eq!((image.entry("/var"), image.names("/var")), (Some(Entry::Directory), Vec::new()));
    assert_eq!(image.names("/srv/data"), ["2"]);
    assert_eq!(contents(&image, "/opt/tool").as_deref(), Some("a file now"));
    assert_eq!(image.names(""), ["etc", "opt", "srv", "var"]);
}

#[test]
fn a_whiteout_leaves_what_its_own_layer_has() {
    let lower = layer(&[File("a/old", b"1"), File("a/sub/old", b"2"), File("b", b"3")]);
    let upper = layer(&[File("a/sub/new", b"4"), File("b", b"5"), File(".wh.a", b""), File(".wh.b", b"")]);
    let image = image(&[lower, upper]).unwrap();
    assert_eq!((image.names("/a"), image.names("/a/sub")), (vec!["sub".to_owned()], vec!["new".to_owned()]));
    assert_eq!(contents(&image, "/b").as_deref(), Some("5"));
}

#[test]
fn names_in_a_directory_are_complete_whatever_follows_a_slash_in_order() {
    let all = ["d/a-b", "d/a", "d/a.c", "d/a0"];
    let lower = layer(&[
        File("d/a-b", b""),
        File("d/a/x", b""),
        File("d/a/y/z", b""),
        File("d/a.c", b""),
        File("d/a0", b""),
        File("d0", b""),
        File("d-", b""),
    ]);
    let image = image(&[lower]).unwrap();
    let mut names: Vec<_> = all.iter().map(|it| it.trim_start_matches("d/")).collect();
    names.sort_unstable();
    assert_eq!(image.names("/d"), names);
    assert_eq!(image.names(""), ["d", "d-", "d0"]);
}

#[test]
fn a_file_below_a_link_is_where_the_link_leads_in_the_image() {
    let lower = layer(&[
        Directory("usr"),
        Directory("usr/lib"),
        Link("lib", "usr/lib"),
        Link("up", "../../../../usr"),
    ]);
    let upper = layer(&[File("lib/x.so", b"x"), Hard("up/y.so", "lib/x.so"), Link("usr/z.so", "/lib/x.so")]);
    let image = image(&[lower, upper]).unwrap();
    assert_eq!(image.entry("/lib"), Some(Entry::Link("usr/lib".to_owned())));
    for path in ["/usr/lib/x.so", "/lib/x.so", "/usr/y.so", "/usr/z.so"] {
        assert_eq!(contents(&image, path).as_deref(), Some("x"), "{path}");
    }
}

#[test]
fn a_hard_link_keeps_its_contents_when_the_other_name_goes() {
    let lower = layer(&[File("a", b"both"), Hard("b", "a")]);
    let image = image(&[lower, layer(&[File(".wh.a", b"")])]).unwrap();
    assert_eq!((contents(&image, "/a"), contents(&image, "/b").as_deref()), (None, Some("both")));
}
