//! Profiles that hand calls to a listener, another process: what a runtime sends to its socket, and which of them it refuses.

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use crate::container::{Options, Start};
use crate::installed::Installed;
use crate::several::{All, with, with_flags, with_rule};

/// A socket in a directory of its own. What arrives is closed at once, so that every call that waits for an answer fails.
struct Listener {
    directory: tempfile::TempDir,
    messages: JoinHandle<Vec<Message>>,
}

/// What one connection brought.
#[derive(Debug)]
struct Message {
    text: String,
    descriptors: usize,
}

/// What the test itself sends at last.
const END: &str = "end";

impl Listener {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixListener::bind(Self::path_in(&directory)).unwrap();
        let messages = thread::spawn(move || {
            let mut messages = Vec::new();
            for connection in socket.incoming() {
                let message = Message::receive(&connection.unwrap());
                if message.text == END {
                    break;
                }
                messages.push(message);
            }
            messages
        });
        Self { directory, messages }
    }

    fn path_in(directory: &tempfile::TempDir) -> PathBuf {
        directory.path().join("listener")
    }

    fn path(&self) -> PathBuf {
        Self::path_in(&self.directory)
    }

    /// What has arrived.
    fn end(self) -> Vec<Message> {
        UnixStream::connect(self.path()).unwrap().write_all(END.as_bytes()).unwrap();
        self.messages.join().unwrap()
    }
}

impl Message {
    /// All that is sent before the connection ends.
    fn receive(connection: &UnixStream) -> Self {
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut message = Self { text: String::new(), descriptors: 0 };
        loop {
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                connection,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            for more in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = more {
                    message.descriptors += descriptors.count();
                }
            }
            match received.unwrap().bytes {
                0 => return message,
                count => message.text.push_str(str::from_utf8(&bytes[..count]).unwrap()),
            }
        }
    }
}

/// Hands `getppid` to a listener.
fn notify() -> Value {
    with_rule(json!({ "action": "SCMP_ACT_NOTIFY" }))
}

/// Starts a container with each runtime that makes the call under the profile, with a listener, and gives what became of it and what
/// the listener received.
fn start_with_listener(all: &All, profile: &Value) -> Vec<(&'static str, Start, Vec<Message>)> {
    let start = |runtime: &Installed| {
        let listener = Listener::new();
        let profile = with(profile, "listenerPath", json!(listener.path()));
        let start = all.root.start(runtime, Options::HARMLESS, Some(&profile), &[GETPPID_WORD.to_owned()]);
        (runtime.name, start, listener.end())
    };
    all.runtimes().iter().map(start).collect()
}

/// `getppid`, as the probe takes it.
const GETPPID_WORD: &str = "0:6e";

/// What the probe prints if it fails with ENOSYS, as it does when a listener has closed its descriptor, or if there is none.
const NO_ANSWER: &str = "0 returns -38\ndone\n";

fn is_refused(start: &Start, why: &str) -> bool {
    matches!(start, Start::Refused(message) if message.contains(why))
}

/// How many descriptors each connection brought.
fn descriptors(messages: &[Message]) -> Vec<usize> {
    messages.iter().map(|message| message.descriptors).collect()
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn a_listener_gets_one_descriptor_and_the_state_of_the_container() {
    let all = All::new();
    for (name, start, messages) in
        start_with_listener(&all, &with(&notify(), "listenerMetadata", json!("made up")))
    {
        assert_eq!((start, descriptors(&messages)), (Start::Ran(NO_ANSWER.to_owned()), vec![1]), "{name}");
        let state: Value = serde_json::from_str(&messages[0].text).unwrap();
        assert_eq!((&state["fds"], &state["metadata"]), (&json!(["seccompFd"]), &json!("made up")), "{name}");
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn without_a_listener_runc_refuses_a_rule_that_needs_one_and_under_crun_the_call_fails() {
    let all = All::new();
    for (runtime, start) in all.start(&notify(), &[GETPPID_WORD.to_owned()]) {
        if runtime.is_crun() {
            assert_eq!(start, Start::Ran(NO_ANSWER.to_owned()), "{}", runtime.name);
        } else {
            assert!(is_refused(&start, "listenerPath is not set"), "{}: {start:?}", runtime.name);
        }
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn no_container_starts_where_nobody_listens() {
    let all = All::new();
    let directory = tempfile::tempdir().unwrap();
    let profile = with(&notify(), "listenerPath", json!(directory.path().join("absent")));
    for (runtime, start) in all.start(&profile, &[]) {
        assert!(
            is_refused(&start, "no such file or directory")
                || is_refused(&start, "No such file or directory"),
            "{}: {start:?}",
            runtime.name
        );
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn crun_connects_to_a_listener_that_no_rule_needs() {
    let all = All::new();
    let profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
    for (name, start, messages) in start_with_listener(&all, &profile) {
        let expected = if name.starts_with("crun") { vec![1] } else { vec![] };
        let refused = Start::Ran("0 returns -1\ndone\n".to_owned());
        assert_eq!((start, descriptors(&messages)), (refused, expected), "{name}");
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn runc_alone_refuses_to_hand_over_write_or_what_no_rule_names() {
    let all = All::new();
    let others = syscalls::Syscall::all().map(|call| call.name()).filter(|name| *name != "getppid");
    let by_default = json!({
        "defaultAction": "SCMP_ACT_NOTIFY", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": others.collect::<Vec<_>>(), "action": "SCMP_ACT_ALLOW" }],
    });
    let mut write = notify();
    write["syscalls"][0]["names"] = json!(["write"]);
    // The probe cannot print then.
    for (profile, why, printed) in [
        (by_default, "SCMP_ACT_NOTIFY cannot be used as default action", NO_ANSWER),
        (write, "SCMP_ACT_NOTIFY cannot be used for the write syscall", ""),
    ] {
        for (name, start, messages) in start_with_listener(&all, &profile) {
            if name.starts_with("crun") {
                assert_eq!(
                    (start, descriptors(&messages)),
                    (Start::Ran(printed.to_owned()), vec![1]),
                    "{name}"
                );
            } else {
                assert!(is_refused(&start, why) && messages.is_empty(), "{name}: {start:?}");
            }
        }
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn with_a_listener_crun_cannot_set_tsync_and_runc_does_not_set_it() {
    let all = All::new();
    for (name, start, messages) in start_with_listener(&all, &with_flags(&notify(), &["TSYNC"])) {
        match name {
            "runc-1.1.5" | "runc-1.1.15" => {
                assert!(is_refused(&start, "flags are not yet supported"), "{name}: {start:?}");
            }
            _ if name.starts_with("crun") => {
                assert!(is_refused(&start, "SECCOMP_SET_MODE_FILTER"), "{name}: {start:?}");
                assert!(is_refused(&start, "Invalid argument"), "{name}: {start:?}");
            }
            // The kernel refuses this flag beside a listener, so runc has left it out.
            _ => assert_eq!(
                (start, descriptors(&messages)),
                (Start::Ran(NO_ANSWER.to_owned()), vec![1]),
                "{name}"
            ),
        }
    }
    // Without a listener, nobody refuses it.
    for (runtime, start) in
        all.start(&with_flags(&with_rule(json!({ "action": "SCMP_ACT_ERRNO" })), &["TSYNC"]), &[])
    {
        let is_old = ["runc-1.1.5", "runc-1.1.15"].contains(&runtime.name);
        assert_eq!(matches!(start, Start::Ran(_)), !is_old, "{}: {start:?}", runtime.name);
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn runc_refuses_wait_killable_recv_with_an_old_libseccomp_and_crun_starts() {
    let all = All::new();
    let flagged = with_flags(&notify(), &["WAIT_KILLABLE_RECV"]);
    let with_listener =
        start_with_listener(&all, &flagged).into_iter().map(|(name, start, _)| (name, start, NO_ANSWER));
    let refusing = with_flags(&with_rule(json!({ "action": "SCMP_ACT_ERRNO" })), &["WAIT_KILLABLE_RECV"]);
    let without = all.start(&refusing, &[GETPPID_WORD.to_owned()]);
    let without = without.into_iter().map(|(runtime, start)| (runtime.name, start, "0 returns -1\ndone\n"));
    for (name, start, printed) in with_listener.chain(without) {
        let why = match name {
            "runc-1.1.5" | "runc-1.1.15" => "flags are not yet supported",
            "runc-1.3.6" => "is not known to runc",
            _ if name.starts_with("runc") => "requires libseccomp >= 2.6.0",
            _ => {
                assert_eq!(start, Start::Ran(printed.to_owned()), "{name}");
                continue;
            }
        };
        assert!(is_refused(&start, why), "{name}: {start:?}");
    }
}
