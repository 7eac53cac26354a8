//! Others change, remove or occupy the files.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use e2e::view::disk;

use super::support::{LIMIT, REPAIR_LIMIT, allow_all, bytes_of, print_line, shared, until, until_repaired};

pub(crate) type Damage = (&'static str, fn(&Path, &Path));

/// Each damages the file at the first path; the second path is another program's file.
pub(crate) const DAMAGES: [Damage; 10] = [
    ("changed in place", |path, _| fs::write(path, "{}").unwrap()),
    ("emptied", |path, _| fs::write(path, "").unwrap()),
    ("removed", |path, _| fs::remove_file(path).unwrap()),
    ("replaced by another file", |path, elsewhere| {
        fs::copy(elsewhere, path.with_extension("new")).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }),
    ("replaced by a link", |path, elsewhere| {
        symlink(elsewhere, path.with_extension("new")).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }),
    ("replaced by an empty directory", |path, _| {
        // A directory cannot be renamed over a file, and the agent may put the file back in between.
        until("a directory in its place", LIMIT, || {
            fs::remove_file(path).ok()?;
            fs::create_dir(path).ok()
        });
    }),
    ("made unreadable", |path, _| fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap()),
    ("opened to all", |path, _| fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap()),
    ("given to another user", |path, _| chown(path, Some(1000), None).unwrap()),
    ("changed with its size and time kept", |path, _| {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let mut file = File::options().write(true).open(path).unwrap();
        file.write_all(b"[").unwrap();
        file.set_modified(modified).unwrap();
    }),
];

#[test]
fn a_file_changed_by_hand_is_repaired_and_the_status_stays_right() {
    let cluster = shared();
    let applied = cluster.profile("drifting", &allow_all(0));
    let before = applied.wait_ready();
    let node = &cluster.node_list()[0];
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), "not a profile").unwrap();
    for (what, damage) in DAMAGES {
        damage(&applied.path(node), elsewhere.path());
        let took = until_repaired(node, "drifting", &bytes_of(&allow_all(0)));
        print_line(&format!("{what}: mended after {:.2} s", took.as_secs_f64()));
        let view = applied.wait_ready();
        assert_eq!(view.content_hash(), before.content_hash(), "{what}");
        assert_eq!(fs::read_to_string(elsewhere.path()).unwrap(), "not a profile", "{what}");
    }
}

#[test]
fn another_programs_file_with_a_profiles_name_is_reported_and_never_removed() {
    let cluster = shared();
    let disks = cluster.node_list();
    let path = disk::path(&disks[0], "claimed");
    fs::write(&path, "somebody's").unwrap();
    let applied = cluster.profile("claimed", &allow_all(0));
    let view = applied.until("being Failed", LIMIT, |view| view.state() == "Failed");
    let failure = &view.json()["status"]["failures"][0];
    assert_eq!(failure["node"], disks[0].name());
    assert_eq!(failure["reason"], "NotOurs");
    assert_eq!(
        failure["message"],
        "a file that is not the agent's has this name; remove it or rename the profile"
    );
    assert_eq!(view.count("failed"), Some(1));
    assert_eq!(view.condition("Ready").unwrap()["reason"], "NodesFailed");
    let report = cluster.json(["get", "nodeprofilestatus", &disks[0].name()]);
    let problems = report["status"]["report"]["problems"].as_array().unwrap();
    assert!(problems.iter().any(|problem| problem["name"] == "claimed" && problem["state"] == "Conflict"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");

    // Deleting the profile keeps it.
    drop(applied);
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");

    let applied = cluster.profile("claimed", &allow_all(1));
    applied.until("being Failed again", LIMIT, |view| view.state() == "Failed");
    fs::remove_file(&path).unwrap();
    applied.until("being Ready without that file", REPAIR_LIMIT, |view| view.is_ready());
    applied.wait_ready();
}
