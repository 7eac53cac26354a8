//! Logs of real runs, by the version of strace and what was asked of it.
//!
//! They were written on 64-bit x86 by `sh -c 'true | cat'` and by a program that makes calls of the tables of 32-bit x86 and
//! x32 and calls that no kernel has. From the middle of the longer ones, lines were taken out.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use strace::{Bits, Call, Event, Reader};
use syscalls::Architecture;

/// The logs, with the number of calls in each.
const LOGS: [(&str, &str, usize); 8] = [
    ("6.1-processes", include_str!("logs/6.1-processes.log"), 50),
    ("6.1-times", include_str!("logs/6.1-times.log"), 50),
    ("6.1-stderr", include_str!("logs/6.1-stderr.log"), 51),
    ("6.1-tables", include_str!("logs/6.1-tables.log"), 15),
    ("6.13-verbose", include_str!("logs/6.13-verbose.log"), 49),
    ("7.2-raw", include_str!("logs/7.2-raw.log"), 45),
    ("7.2-stack", include_str!("logs/7.2-stack.log"), 5),
    ("7.2-numbers", include_str!("logs/7.2-numbers.log"), 19),
];

fn events(log: &str) -> Vec<Event<'_>> {
    let mut reader = Reader::new(Architecture::X86_64);
    log.lines().map(|line| reader.line(line.as_bytes())).collect()
}

fn calls(log: &str) -> Vec<Call<'_>> {
    let call = |event| if let Event::Call(call) = event { Some(call) } else { None };
    events(log).into_iter().filter_map(call).collect()
}

fn log(name: &str) -> &'static str {
    LOGS.iter().find(|(known, ..)| *known == name).unwrap().1
}

#[test]
fn every_line_is_read_and_every_call_counted_once() {
    let mut counts = Vec::new();
    for (name, text, _) in LOGS {
        let unread: Vec<_> =
            text.lines().zip(events(text)).filter(|(_, event)| *event == Event::Unread).collect();
        assert!(unread.is_empty(), "{name}: {unread:?}");
        let begun = calls(text);
        counts.push((name, begun.len()));
        for call in begun {
            assert!(call.number.is_some(), "{name}: {}", call.name);
        }
    }
    assert_eq!(counts, LOGS.map(|(name, _, expected)| (name, expected)));
}

#[test]
fn calls_of_other_tables_are_known_by_the_messages_of_strace() {
    let found: Vec<_> =
        calls(log("6.1-tables")).iter().map(|it| (it.architecture, it.name, it.number)).collect();
    for expected in [
        (Architecture::X32, "getpid", Some(0x4000_0027)),
        (Architecture::I386, "getpid", Some(20)),
        (Architecture::I386, "socketcall", Some(102)),
        (Architecture::X86_64, "getpid", Some(39)),
    ] {
        assert!(found.contains(&expected), "{expected:?}: {found:?}");
    }
}

#[test]
fn a_number_tells_the_table_without_a_message() {
    let text = "7 [  20] getpid() = 7\n7 [1073741863] getpid() = 7\n7 [  39] getpid() = 7\n\
                7 [ 102] socket(AF_UNIX, SOCK_STREAM, 0) = 3\n7 [ 500] new_call(1) = 0\n";
    let tables: Vec<_> = calls(text).iter().map(|call| (call.architecture, call.number.unwrap())).collect();
    assert_eq!(
        tables,
        [
            (Architecture::I386, 20),
            (Architecture::X32, 0x4000_0027),
            (Architecture::X86_64, 39),
            (Architecture::I386, 102),
            (Architecture::X86_64, 500),
        ]
    );
}

#[test]
fn a_name_that_only_another_table_has_is_of_that_table() {
    let found = calls("socketcall(SYS_SOCKET, NULL) = -1\nunheard_of(1) = 0\n");
    assert_eq!((found[0].architecture, found[0].number), (Architecture::I386, Some(102)));
    assert_eq!(found[1].number, None);
}

#[test]
fn of_a_multiplexer_the_code_of_the_other_call_is_known() {
    for text in [
        "[ Process PID=7 runs in 32 bit mode. ]\nsocketcall(0x1, 0xff8a1b20) = 3\n",
        "ipc(0x1, 0x7, 0) = 0\n",
    ] {
        let call = calls(text)[0];
        assert_eq!(call.architecture, Architecture::I386);
        let first = Bits { value: 1, known: 0xffff_ffff };
        assert_eq!(
            call.arguments(),
            [first, Bits::UNKNOWN, Bits::UNKNOWN, Bits::UNKNOWN, Bits::UNKNOWN, Bits::UNKNOWN]
        );
    }
}

#[test]
fn registers_of_calls_without_a_name_are_known() {
    let found = calls(log("7.2-numbers")).into_iter().find(|call| call.name == "syscall_0x258").unwrap();
    assert_eq!(found.number, Some(600));
    assert_eq!(found.arguments()[0], Bits::exact(u64::MAX));
}

#[test]
fn printed_arguments_are_registers_where_their_order_is_certain() {
    let one = |text: &str| calls(text)[0].arguments();
    let clone = one("clone(child_stack=NULL, flags=CLONE_NEWUSER|SIGCHLD, child_tidptr=0x7f) = 2");
    assert_eq!(clone[..3], [Bits::exact(0x1000_0011), Bits::exact(0), Bits::UNKNOWN]);
    // strace writes a message into its standard error between the two parts of a call.
    let split = one("clone(child_stack=NULL, flags=CLONE_VM|SIGCHLDstrace: Process 12 attached");
    assert_eq!(split[0], Bits::exact(0x111));
    assert_eq!(one("rt_sigreturn({mask=[]}) = 0"), [Bits::UNKNOWN; 6]);
    let socket = one("socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 3");
    assert_eq!(socket[..3], [Bits::exact(16), Bits::exact(0x80003), Bits::exact(0)]);
    let openat = one("openat(AT_FDCWD, \"/etc/a, b\", O_RDONLY) = 3");
    assert_eq!(openat[..3], [Bits { value: 0xffff_ff9c, known: 0xffff_ffff }, Bits::UNKNOWN, Bits::UNKNOWN]);
}

#[test]
fn registers_that_strace_leaves_out_are_unknown() {
    let known = |text: &str| {
        let registers = calls(text)[0].arguments();
        let exact = (0..).zip(registers).filter(|(_, bits)| bits.known == u64::MAX);
        exact.map(|(index, bits)| (index, bits.value)).collect::<Vec<(usize, u64)>>()
    };
    // What is printed as 0 here was 0x77 in register 4.
    assert_eq!(
        known("preadv2(3, [{iov_base=\"\", iov_len=8}], 1, 0, 0x8) = 8"),
        [(0, 3), (2, 1), (3, 0), (5, 8)]
    );
    assert_eq!(known("pwritev2(3, 0x7f00, 0x1, 0, 0x77, 0x8) = 8")[3..], [(3, 0), (4, 0x77), (5, 8)]);
    for operation in ["FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME", "0x189 /* FUTEX_… */", "265"] {
        let found = known(&format!("futex(0x7f00, {operation}, 4, NULL, 0x55) = -1"));
        assert!(found.contains(&(3, 0)) && found.contains(&(5, 0x55)), "{operation}: {found:?}");
        assert!(!found.iter().any(|(index, _)| *index == 4), "{operation}: {found:?}");
    }
    assert_eq!(known("futex(0x7f00, FUTEX_WAKE_BITSET, 4, 0x55) = 1"), [(0, 0x7f00), (2, 4), (5, 0x55)]);
    assert_eq!(known("futex(0x7f00, FUTEX_LOCK_PI, NULL) = 0"), [(0, 0x7f00), (3, 0)]);
    assert_eq!(known("futex(0x7f00, FUTEX_WAKE_PRIVATE, 1) = 0"), [(0, 0x7f00), (2, 1)]);
    assert_eq!(known("futex(0x7f00, FUTEX_OF_NEXT_YEAR, 1) = 0"), [(0, 0x7f00)]);
    assert_eq!(known("ptrace(PTRACE_GETREGS, 7, 0x10) = 0"), [(1, 7), (3, 0x10)]);
    assert_eq!(known("ptrace(PTRACE_CONT, 7, NULL, 9) = 0"), [(1, 7), (2, 0), (3, 9)]);
    assert_eq!(known("quotactl(QCMD(Q_GETINFO, USRQUOTA), \"/dev/a\", 0x10) = 0"), []);
    let of_32_bits = |offset: &str| {
        let log = format!("[ Process PID=7 runs in 32 bit mode. ]\nmmap2(NULL, 1, 1, 2, 3, {offset}) = 0");
        calls(&log)[0].arguments()[5]
    };
    assert_eq!(of_32_bits("0x2000"), Bits::UNKNOWN);
    assert_eq!(of_32_bits("0"), Bits { value: 0, known: 0xffff_ffff });
}

#[test]
fn the_rest_of_a_call_that_a_message_has_split_is_read() {
    let text = "clone3({flags=CLONE_VM}strace: Process 13294 attached\n => {parent_tid=[13294]}, 88) = 13294\n\
                read(3, strace: Process 13295 attached\n\"\", 4096) = 0\n => no rest\n";
    let unread: Vec<_> = events(text).iter().map(|event| *event == Event::Unread).collect();
    assert_eq!(unread, [false, false, false, false, true]);
}

#[test]
fn arguments_that_32_bit_programs_split_are_unknown() {
    let text =
        "[ Process PID=7 runs in 32 bit mode. ]\n_llseek(3, 0, [0], SEEK_CUR) = 0\npersonality(-1) = 0\n";
    let found = calls(text);
    assert_eq!(found[0].arguments(), [Bits::UNKNOWN; 6]);
    assert_eq!(found[1].arguments()[0].value, 0xffff_ffff);
}

#[test]
fn what_s390x_reads_from_a_structure_is_unknown() {
    let mut reader = Reader::new(Architecture::S390x);
    let mut arguments = |line: &'static str| match reader.line(line.as_bytes()) {
        Event::Call(call) => call.arguments(),
        other => panic!("{other:?}"),
    };
    assert_eq!(arguments("mmap(NULL, 4096, 3, 0x22, -1, 0) = 0x3ff"), [Bits::UNKNOWN; 6]);
    assert_eq!(arguments("munmap(0x1000, 4096) = 0")[1], Bits::exact(4096));
}

#[test]
fn a_call_that_began_before_the_log_counts_and_one_that_is_resumed_does_not_again() {
    let text = "7 <... read resumed>\"a\", 1) = 1\n7 read(3,  <unfinished ...>\n8 close(3) = 0\n\
                7 <... read resumed>\"a\", 1) = 1\n7 <... read resumed>\"a\", 1) = 1\n";
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    calls(text).iter().for_each(|call| *counts.entry(call.name).or_default() += 1);
    assert_eq!(counts, BTreeMap::from([("close", 1), ("read", 3)]));
}

#[test]
fn a_call_that_strace_could_not_read_because_the_process_was_ended_is_none() {
    let text = "8 exit_group(0 <unfinished ...>\n9 ???( <unfinished ...>\n8 <... exit_group resumed>) = ?\n\
                9 <... ??? resumed>) = ?\n";
    assert_eq!(calls(text).iter().map(|call| call.name).collect::<Vec<_>>(), ["exit_group"]);
    assert!(!events(text).contains(&Event::Unread));
}

#[test]
fn what_a_program_writes_between_the_lines_is_not_read() {
    for line in ["Hello, world", "% time     seconds  usecs/call", "(", "<html>", "[1, 2]", "é(", "12 34 56"]
    {
        assert_eq!(events(line), [Event::Unread], "{line}");
    }
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(lines in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
        let mut reader = Reader::new(Architecture::X86_64);
        for line in &lines {
            if let Event::Call(call) = reader.line(line) {
                let _ = call.arguments();
            }
        }
    }

    #[test]
    fn of_a_changed_line_no_bit_is_both_unknown_and_set(
        log in 0..LOGS.len(),
        line in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let lines: Vec<_> = LOGS[log].1.lines().collect();
        let mut line = line.get(&lines).as_bytes().to_vec();
        let at = at.index(line.len() + 1);
        if cut { line.truncate(at) } else { line.insert(at, byte) }
        let mut reader = Reader::new(Architecture::X86_64);
        if let Event::Call(call) = reader.line(&line) {
            for bits in call.arguments() {
                prop_assert_eq!(bits.value & !bits.known, 0);
            }
        }
    }
}
