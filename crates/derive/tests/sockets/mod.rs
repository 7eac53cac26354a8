//! Programs without a library that make sockets, and which families are known of them.

use std::collections::BTreeSet;

use derive::{Argument, Derived, Request};

use crate::machine::{Machine, compile};

pub(crate) const SOCKET: u32 = 41;
pub(crate) const HEAD: &str = r#"
#define APART __attribute__((noinline, noclone))
#define LOST "rcx", "r11", "memory"
volatile long input;
APART long anything(void) { long low; __asm__ volatile("rdtsc" : "=a"(low) : : "rdx"); return low; }
APART long socket(int family, int type, int protocol) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(41), "D"(family), "S"(type), "d"(protocol) : LOST);
    return result;
}
APART void __attribute__((noreturn)) leave(void) {
    for (;;) __asm__ volatile("syscall" : : "a"(60), "D"(0) : LOST);
}
"#;

pub(crate) fn examined(program: &str, files: &Machine) -> Derived {
    let request = Request { program: program.to_owned(), examine_arguments: true, ..Request::default() };
    derive::derive(files, &request).unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub(crate) fn argument(found: &Derived, number: u32, index: u8) -> &Argument {
    let call = found.calls.iter().find(|it| it.number == number).unwrap();
    call.arguments.iter().find(|it| it.index == index).unwrap()
}

/// The families of sockets of a program without a library; nothing if they are not bounded.
pub(crate) fn families(source: &str, options: &[&str]) -> Option<BTreeSet<u32>> {
    let folder = tempfile::tempdir().unwrap();
    let options = [&["-nostdlib", "-ffreestanding", "-fno-stack-protector", "-w"], options].concat();
    let program = compile(folder.path(), "program", &format!("{HEAD}{source}"), &options);
    let found = examined(&program, &Machine::default());
    let family = argument(&found, SOCKET, 0);
    family.is_bounded().then(|| family.values.iter().map(|it| it.value).collect())
}

pub(crate) const WAYS: [&[&str]; 4] =
    [&["-O1", "-static"], &["-O2", "-static-pie"], &["-O2", "-static", "-s"], &["-Os", "-static-pie", "-s"]];

pub(crate) fn exactly(source: &str, values: &[u32]) {
    for options in WAYS {
        assert_eq!(
            families(source, options),
            Some(values.iter().copied().collect()),
            "{options:?}: {source}"
        );
    }
}

pub(crate) fn open(source: &str) {
    open_with(source, &[]);
}

/// The same with more options of the compiler.
pub(crate) fn open_with(source: &str, more: &[&str]) {
    for options in WAYS.map(|it| [it, more].concat()) {
        assert_eq!(families(source, &options), None, "{options:?}: {source}");
    }
}
