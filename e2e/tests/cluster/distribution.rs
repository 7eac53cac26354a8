//! From `kubectl apply` to the bytes on every node.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use e2e::view::disk;
use profile::ContentHash;
use serde_json::{Value, json};

use super::support::{allow_all, alone, bytes_of, shared, text};

/// The pause between two looks at a file that must never be torn.
const READ_PAUSE: Duration = Duration::from_micros(50);

/// From the examples and the stored objects of the project that this one continues. Its webhook stored an
/// empty `name` beside `names`.
fn originals() -> [(&'static str, Value); 5] {
    let names = json!([
        "accept4",
        "epoll_wait",
        "pselect6",
        "futex",
        "madvise",
        "epoll_ctl",
        "getsockname",
        "setsockopt",
        "vfork",
        "mmap",
        "read",
        "write",
        "close",
        "arch_prctl",
        "sched_getaffinity",
        "munmap",
        "brk",
        "rt_sigaction",
        "rt_sigprocmask",
        "sigaltstack",
        "gettid",
        "clone",
        "bind",
        "socket",
        "openat",
        "readlinkat",
        "exit_group",
        "epoll_create1",
        "listen",
        "rt_sigreturn",
        "sched_yield",
        "clock_gettime",
        "connect",
        "dup2",
        "epoll_pwait",
        "execve",
        "exit",
        "fcntl",
        "getpid",
        "getuid",
        "ioctl",
        "mprotect",
        "nanosleep",
        "open",
        "poll",
        "recvfrom",
        "sendto",
        "set_tid_address",
        "setitimer",
        "writev",
        "fstatfs",
        "getdents64",
        "pipe2",
        "getrlimit"
    ]);
    let architectures = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    [
        ("original-audit", json!({ "defaultAction": "SCMP_ACT_LOG" })),
        ("original-violation", json!({ "defaultAction": "SCMP_ACT_ERRNO" })),
        (
            "original-fine-grained",
            json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": architectures,
                "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
            }),
        ),
        (
            "original-stored",
            json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": architectures,
                "syscalls": [{ "name": "", "names": ["read", "write"], "action": "SCMP_ACT_ALLOW" }],
            }),
        ),
        (
            "original-single",
            json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "syscalls": [
                    { "name": "read", "action": "SCMP_ACT_ALLOW" },
                    { "name": "write", "action": "SCMP_ACT_LOG" },
                ],
            }),
        ),
    ]
}

#[test]
fn original_objects_apply_unchanged_and_their_canonical_bytes_lie_on_every_node() {
    let cluster = shared();
    for (name, contents) in originals() {
        let applied = cluster.profile(name, &contents);
        let view = applied.wait_ready();
        assert_eq!(view.json()["spec"]["contents"], contents, "the API server keeps what was applied");
        for (node, found) in applied.on_disks() {
            assert_eq!(text(&found), text(&Some(bytes_of(&contents))), "{name} on {node}");
        }
        assert_eq!(view.text("/status/localhostProfile"), format!("profiles/{name}.json"));
    }
}

#[test]
fn numbers_above_the_signed_range_reach_the_file_whole() {
    let cluster = shared();
    let argument = |index: u8, value: Value, two: Value| json!({ "index": index, "op": "SCMP_CMP_MASKED_EQ", "value": value, "valueTwo": two });
    let applied = cluster.profile(
        "large-numbers",
        &json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": [
                argument(0, json!("18446744073709551615"), json!("9223372036854775808")),
                argument(1, json!(9_223_372_036_854_775_807_u64), json!("0xFFFFFFFFFFFFFFFE")),
            ] }],
        }),
    );
    applied.wait_ready();
    for (node, found) in applied.on_disks() {
        let found = text(&found).unwrap();
        assert!(
            found.contains(
                r#"[{"index":0,"value":18446744073709551615,"valueTwo":9223372036854775808,"op":"SCMP_CMP_MASKED_EQ"},{"index":1,"value":9223372036854775807,"valueTwo":18446744073709551614,"op":"SCMP_CMP_MASKED_EQ"}]"#
            ),
            "{node}: {found}"
        );
    }
}

#[test]
fn waiting_for_all_to_be_ready_right_after_apply_never_returns_early() {
    const ROUNDS: usize = 50;
    const PROFILES: usize = 5;
    let cluster = alone();
    let mut applied = Vec::new();
    for round in 0..ROUNDS {
        let contents = allow_all(round);
        // The first rounds create profiles, the others update them.
        match applied.get(round % PROFILES) {
            None => applied.push(cluster.profile(&format!("honest-{round}"), &contents)),
            Some(profile) => profile.update(&contents),
        }
        cluster.ok(["wait", "--for=condition=Ready", "seccompprofile", "--all", "--timeout=30s"]);
        let profile = &applied[round % PROFILES];
        let found = profile.on_disks();
        let shown = profile.view();
        for (node, found) in found {
            assert_eq!(text(&found), text(&Some(bytes_of(&contents))), "round {round}, {node}");
            assert_eq!(
                ContentHash::of(&found.unwrap()).to_string(),
                shown.content_hash(),
                "round {round}, {node}"
            );
        }
    }
}

#[test]
fn during_fifty_updates_the_file_is_never_missing_or_torn() {
    const UPDATES: usize = 50;
    let cluster = shared();
    // Some kilobytes, so that a partial write would be detected.
    let contents = |number: usize| {
        let names: Vec<_> = (0..300).map(|name| format!("never_called_{number}_{name}")).collect();
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": names, "action": "SCMP_ACT_LOG" }] })
    };
    let applied = cluster.profile("updated", &contents(0));
    let mut hash = applied.wait_ready().content_hash().to_owned();
    let wanted = Mutex::new(BTreeSet::from([bytes_of(&contents(0))]));
    let known = |bytes: &[u8]| wanted.lock().unwrap_or_else(PoisonError::into_inner).contains(bytes);
    let over = AtomicBool::new(false);
    let readings = thread::scope(|scope| {
        let readers: Vec<_> = cluster
            .node_list()
            .into_iter()
            .map(|node| {
                let (over, known) = (&over, &known);
                scope.spawn(move || {
                    let path = disk::path(&node, "updated");
                    let mut readings = 0;
                    while !over.load(Ordering::Relaxed) {
                        match fs::read(&path) {
                            Ok(bytes) if known(&bytes) => readings += 1,
                            Ok(bytes) => {
                                return Err(format!("{}: torn at {} bytes", node.name(), bytes.len()));
                            }
                            Err(error) => return Err(format!("{}: {error}", node.name())),
                        }
                        // So that the programs have a processor, too.
                        thread::sleep(READ_PAUSE);
                    }
                    Ok(readings)
                })
            })
            .collect();
        for number in 1..=UPDATES {
            wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(bytes_of(&contents(number)));
            applied.update(&contents(number));
            if number % 5 == 0 {
                let shown = applied.wait_ready().content_hash().to_owned();
                assert_ne!(shown, hash, "the hash changes with the contents");
                hash = shown;
            }
        }
        over.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    for readings in readings {
        assert!(readings.unwrap_or_else(|error| panic!("{error}")) > UPDATES);
    }
}
