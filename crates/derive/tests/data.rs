//! Which functions count that only data has the addresses of, in programs that are nothing but their calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use std::collections::BTreeSet;

use machine::{Machine, compile, derived};

/// What is `APART` from data behind it is further from it than data is read before an address; what is constant is in another
/// section.
const HEAD: &str = r#"
#define KERNEL(number) ({ long result; \
    __asm__ volatile("syscall" : "=a"(result) : "a"(number) : "rcx", "r11", "memory"); result; })
#define FUNCTION(name, number) static __attribute__((noinline)) void name(void) { KERNEL(number); }
#define APART __attribute__((used, aligned(8192)))
typedef void (*function)(void);
struct thing { function one; function two; struct thing *next; };
volatile long input;
"#;

/// The calls of a program of relocatable addresses, compiled with and without optimisation.
fn each(source: &str, options: &[&str], numbers: &[u32]) {
    let folder = tempfile::tempdir().unwrap();
    for level in ["-O0", "-O2"] {
        let base = ["-nostdlib", "-ffreestanding", "-fno-stack-protector", level];
        let program =
            compile(folder.path(), "program", &format!("{HEAD}{source}"), &[&base, options].concat());
        let found = derived(&Machine::default(), &program);
        assert!(found.is_complete(), "{level}: {:#?}", found.findings);
        let calls: BTreeSet<_> = found.calls.iter().map(|call| call.number).collect();
        assert_eq!(calls, numbers.iter().copied().collect(), "{level} {options:?}");
    }
}

#[test]
fn functions_in_data_that_no_reached_code_refers_to_do_not_count() {
    let source = "
        FUNCTION(read, 39) FUNCTION(unread, 102)
        APART struct thing known = { read, read, 0 };
        APART const struct thing other = { unread, unread, 0 };
        __attribute__((used)) const struct thing *unreached(void) { return &other; }
        __attribute__((noinline)) void call(struct thing *it) { it->two(); }
        void _start(void) { call(&known); KERNEL(60); }";
    each(source, &["-static-pie"], &[39, 60]);
}

#[test]
fn all_functions_in_data_count_in_a_program_of_fixed_addresses() {
    let source = "
        FUNCTION(read, 39) FUNCTION(unread, 102)
        APART struct thing known = { read, read, 0 };
        APART struct thing unknown = { unread, unread, 0 };
        __attribute__((noinline)) void call(struct thing *it) { it->two(); }
        void _start(void) { call(&known); KERNEL(60); }";
    each(source, &["-static"], &[39, 60, 102]);
}

#[test]
fn data_that_data_has_the_address_of_counts() {
    let source = "
        FUNCTION(first, 39) FUNCTION(last, 102)
        APART struct thing end = { 0, last, 0 };
        APART struct thing middle = { 0, 0, &end };
        APART struct thing start = { first, 0, &middle };
        void _start(void) {
            for (struct thing *it = &start; it; it = it->next) if (it->two) it->two();
            KERNEL(60);
        }";
    each(source, &["-static-pie"], &[39, 60, 102]);
}

#[test]
fn a_long_table_counts_to_its_end() {
    let source = "
        FUNCTION(usual, 39) FUNCTION(last, 102)
        APART volatile function table[200] = { [0 ... 198] = usual, [199] = last };
        void _start(void) { table[input](); KERNEL(60); }";
    each(source, &["-static-pie"], &[39, 60, 102]);
}

#[test]
fn a_table_counts_whose_lowest_index_is_not_zero() {
    let source = "
        FUNCTION(first, 39) FUNCTION(last, 102)
        APART volatile function table[2] = { first, last };
        void _start(void) { table[input - 3](); KERNEL(60); }";
    each(source, &["-static-pie"], &[39, 60, 102]);
}

#[test]
fn a_structure_counts_as_a_whole_if_unreached_code_has_the_address_of_a_part() {
    let source = "
        FUNCTION(one, 39) FUNCTION(two, 102)
        APART struct thing it = { one, two, 0 };
        __attribute__((used)) function *unreached(void) { return &it.two; }
        __attribute__((noinline)) void call(struct thing *it) { it->two(); }
        void _start(void) { call(&it); KERNEL(60); }";
    each(source, &["-static-pie"], &[39, 60, 102]);
}

#[test]
fn what_a_thread_begins_with_counts() {
    let source = "
        FUNCTION(own, 39)
        APART _Thread_local volatile function it = own;
        void _start(void) { it(); KERNEL(60); }";
    each(source, &["-static-pie", "-ftls-model=local-exec"], &[39, 60]);
}
