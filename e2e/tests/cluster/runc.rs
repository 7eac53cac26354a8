//! Many starts under the fine-grained profile with runc itself: a single start does not show a Go runtime's rare calls.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use profile::Profile;
use serde_json::{Value, json};
use xtask::command::find;
use xtask::command::{output, output_with_input};
use xtask::programs::Programs;
use xtask::workspace::repository;

use crate::support::shared;

/// The script that the profile was measured for: files, pipes, forks and signals of a small shell.
const SCRIPT: &str = "echo making some syscalls; ls -l / | grep bin | wc -l; (cat /proc/self/status | head -3); \
    x=$(id -u); sleep 0.01; for i in 1 2; do true & done; wait; trap : TERM; kill -TERM $$; cd /bin; pwd; \
    [ -e /bin/sh ] && date; mkdir /tmp/a; echo x > /tmp/a/b; rm -r /tmp/a; env >/dev/null; hostname; exit 0";

const STARTS: usize = 100;

/// A bundle with busybox and nothing else, under the profile.
fn bundle(directory: &Path, runc: &Path, cgroup: &str, seccomp: &Value, no_new_privileges: bool) {
    let binaries = directory.join("rootfs/bin");
    fs::create_dir_all(&binaries).unwrap();
    for empty in ["proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(directory.join("rootfs").join(empty)).unwrap();
    }
    let busybox = find("busybox").unwrap();
    fs::copy(&busybox, binaries.join("busybox")).unwrap();
    for applet in
        output(Command::new(&busybox).arg("--list")).unwrap().lines().filter(|name| *name != "busybox")
    {
        symlink("busybox", binaries.join(applet)).unwrap();
    }
    output(Command::new(runc).arg("spec").arg("--bundle").arg(directory)).unwrap();
    let path = directory.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = json!(["sh", "-c", SCRIPT]);
    config["process"]["noNewPrivileges"] = no_new_privileges.into();
    config["root"]["readonly"] = false.into();
    config["linux"]["cgroupsPath"] = cgroup.into();
    config["linux"]["seccomp"] = seccomp.clone();
    fs::write(&path, config.to_string()).unwrap();
}

/// The canonical bytes of the project's profile, as runc reads them.
fn fine_grained() -> Value {
    let text = fs::read_to_string(repository().join("profiles/fine-grained.yaml")).unwrap();
    let object: Value = serde_saphyr::from_str(&text).unwrap();
    let canonical = Profile::from_value(&object["spec"]["contents"]).unwrap().canonical();
    serde_json::from_slice(canonical.bytes()).unwrap()
}

#[test]
fn a_shell_under_the_fine_grained_profile_starts_and_works_a_hundred_times_of_a_hundred() {
    let runc = Programs::in_cache().path("runc");
    // Ends with the cluster, whatever becomes of this test.
    let cgroup = format!("{}runc/{}", shared().instance().prefix(), std::process::id());
    let seccomp = fine_grained();
    for no_new_privileges in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        bundle(directory.path(), &runc, &cgroup, &seccomp, no_new_privileges);
        let state = tempfile::tempdir().unwrap();
        for start in 0..STARTS {
            let name = format!("fine-grained-{}-{start}", std::process::id());
            let mut command = Command::new(&runc);
            command.arg("--root").arg(state.path()).arg("run");
            command.arg("--bundle").arg(directory.path()).arg(&name);
            let said = output_with_input(&mut command, "").unwrap_or_else(|error| {
                panic!("start {start}, noNewPrivileges {no_new_privileges}: {error}")
            });
            let lines: Vec<_> = said.lines().collect();
            assert_eq!(
                (lines.first(), lines.last()),
                (Some(&"making some syscalls"), Some(&"runc")),
                "{said}"
            );
        }
    }
}
