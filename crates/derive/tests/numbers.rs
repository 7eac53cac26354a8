//! How numbers are followed, on programs that are nothing but their calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use std::collections::BTreeSet;

use derive::{Derived, FindingKind};
use machine::{Machine, compile, derived};

const HEAD: &str = r#"
#define KERNEL(number) ({ long result; \
    __asm__ volatile("syscall" : "=a"(result) : "a"(number) : "rcx", "r11", "memory"); result; })
#define APART __attribute__((noinline, noclone))
volatile long input;
APART long anything(void) { long low; __asm__ volatile("rdtsc" : "=a"(low) : : "rdx"); return low; }
"#;

/// The calls of a program without a library, compiled with and without optimisation.
fn each(source: &str, check: impl Fn(&Derived, BTreeSet<u32>)) {
    let folder = tempfile::tempdir().unwrap();
    for level in ["-O0", "-O2"] {
        for link in ["-static", "-static-pie"] {
            let options = ["-nostdlib", "-ffreestanding", "-fno-stack-protector", level, link];
            let program = compile(folder.path(), "program", &format!("{HEAD}{source}"), &options);
            let found = derived(&Machine::default(), &program);
            check(&found, found.calls.iter().map(|call| call.number).collect());
        }
    }
}

fn exactly(source: &str, numbers: &[u32]) {
    each(source, |found, calls| {
        assert!(found.is_complete(), "{:#?}", found.findings);
        assert_eq!(calls, numbers.iter().copied().collect());
    });
}

#[test]
fn a_number_at_the_call_is_found_and_code_that_nothing_reaches_is_not() {
    let source = "
        APART void never(void) { KERNEL(57); }
        void _start(void) { KERNEL(39); KERNEL(60); }";
    exactly(source, &[39, 60]);
}

#[test]
fn a_number_is_followed_through_wrappers_and_what_they_keep_on_the_stack() {
    let source = "
        APART long inner(long a, long number) { return KERNEL(number); }
        APART long outer(long number, long b) { long r = inner(b, number); return r + inner(r, number); }
        void _start(void) { outer(39, 1); if (input) outer(102, 2); inner(3, 60); }";
    exactly(source, &[39, 60, 102]);
}

#[test]
fn both_sides_of_a_condition_count() {
    let source = "
        void _start(void) { long number = input ? 39 : 102; KERNEL(number); KERNEL(60 + (input > 3)); }";
    exactly(source, &[39, 60, 61, 102]);
}

/// A program that does this with a number that nobody knows, in `eax`, and then exits.
fn with_any_number(code: &str) -> String {
    format!(
        "void _start(void) {{
            long number = anything();
            __asm__ volatile(\"{code}\" : \"+a\"(number) : : \"rcx\", \"rdx\", \"r11\", \"memory\");
            KERNEL(60);
        }}"
    )
}

#[test]
fn a_number_that_was_compared_with_a_constant_is_this_constant_where_it_is_equal() {
    for (code, number) in [
        ("test %%eax, %%eax; jne 1f; syscall; 1:", 0),
        ("test %%rax, %%rax; je 2f; jmp 1f; 2: nop; syscall; 1:", 0),
        ("cmp $39, %%eax; mov %%eax, %%edx; jne 1f; syscall; 1:", 39),
    ] {
        exactly(&with_any_number(code), &[number, 60]);
    }
}

#[test]
fn a_number_is_open_where_a_comparison_does_not_bound_it() {
    for code in [
        // Where it is not equal.
        "test %%eax, %%eax; je 1f; syscall; 1:",
        "cmp $39, %%eax; jae 1f; syscall; 1:",
        // A part of it.
        "test %%al, %%al; jne 1f; syscall; 1:",
        // Changed afterwards.
        "test %%eax, %%eax; bswap %%eax; jne 1f; syscall; 1:",
        // Another one.
        "test %%edx, %%edx; jne 1f; syscall; 1:",
        "test %%edx, %%eax; jne 1f; syscall; 1:",
        "test %%eax, %%eax; cmp $1, %%edx; jne 1f; syscall; 1:",
        // Another way to the jump.
        "cmp $1, %%edx; je 2f; test %%eax, %%eax; 2: jne 1f; syscall; 1:",
        // Another way behind the jump.
        "cmp $1, %%edx; je 2f; test %%eax, %%eax; jne 1f; 2: syscall; 1:",
    ] {
        each(&with_any_number(code), |found, calls| assert!(!found.is_complete(), "{code}: {calls:?}"));
    }
}

#[test]
fn a_number_in_a_structure_of_the_caller_is_followed() {
    let source = "
        struct command { int number; long argument; };
        APART long perform(struct command *it) { return KERNEL(it->number); }
        APART void one(void) { struct command it = { .number = 105, .argument = 1 }; perform(&it); }
        APART void other(void) { struct command it; it.argument = 2; it.number = 106; perform(&it); }
        void _start(void) { one(); other(); KERNEL(60); }";
    exactly(source, &[60, 105, 106]);
}

#[test]
fn a_number_in_a_variable_is_everything_that_is_written_to_it() {
    let source = "
        static long number = 39;
        APART void change(void) { number = 102; }
        void _start(void) { if (input) change(); KERNEL(number); KERNEL(60); }";
    exactly(source, &[39, 60, 102]);
}

#[test]
fn code_behind_pointers_in_data_and_behind_tables_is_reached() {
    let source = "
        APART void one(void) { KERNEL(39); }
        APART void two(void) { KERNEL(102); }
        void (*const volatile functions[])(void) = { one, two };
        APART void choose(long which) {
            switch (which) {
            case 0: KERNEL(104); break; case 1: KERNEL(107); break; case 2: KERNEL(108); break;
            case 3: KERNEL(110); break; case 4: KERNEL(111); break; case 5: KERNEL(112); break;
            case 6: KERNEL(186); break; default: KERNEL(24);
            }
        }
        void _start(void) { functions[input & 1](); choose(input); KERNEL(60); }";
    exactly(source, &[24, 39, 60, 102, 104, 107, 108, 110, 111, 112, 186]);
}

#[test]
fn a_call_that_does_not_return_ends_the_way_to_a_number() {
    let source = "
        APART void __attribute__((noreturn)) fail(void) { for (;;) KERNEL(231); }
        void _start(void) {
            long number = 39;
            while (input) { if (input == 2) fail(); KERNEL(number); }
            KERNEL(60);
        }";
    exactly(source, &[39, 60, 231]);
}

#[test]
fn a_call_that_does_not_return_ends_the_way_in_all_functions_without_borders_that_share_it() {
    // As in musl without symbols: one function begins in the other one, and a third one follows them.
    let source = r#"
        APART void __attribute__((noreturn)) stop(void) { for (;;) KERNEL(231); }
        void one(void), two(void);
        long wrapper(long number);
        __asm__(".text; one: nop; two: push %rax; call stop; wrapper: mov %rdi, %rax; syscall; ret");
        void _start(void) { if (input) one(); if (input) two(); wrapper(39); KERNEL(60); }"#;
    exactly(source, &[39, 60, 231]);
}

#[test]
fn a_number_is_followed_through_a_structure_of_functions() {
    let source = "
        struct calls { long (*plain)(long); long (*other)(long, long); };
        APART long plain(long number) { return KERNEL(number); }
        APART long other(long argument, long number) { return KERNEL(number); }
        static struct calls one = { plain, other }, two = { plain, other };
        APART void perform(struct calls *it) { it->plain(39); it->other(1, 102); }
        void _start(void) { perform(input ? &one : &two); KERNEL(60); }";
    exactly(source, &[39, 60, 102]);
}

#[test]
fn a_number_from_elsewhere_is_open_and_its_place_is_named() {
    let sources = [
        // Whatever it reads.
        "void _start(void) { KERNEL(anything()); KERNEL(60); }",
        // Counted.
        "void _start(void) { for (long number = 0; number < anything(); number++) KERNEL(number); KERNEL(60); }",
        // From an array, by an index.
        "static const int numbers[] = { 39, 102, 104, 107 };
         void _start(void) { KERNEL(numbers[anything() & 3]); KERNEL(60); }",
        // Of a wrapper that anyone may call.
        "APART long wrapper(long number) { return KERNEL(number); }
         long (*volatile pointer)(long) = wrapper;
         void _start(void) { pointer(anything()); KERNEL(60); }",
        // In memory to which others write.
        "static long number = 39;
         APART void change(long *where) { *where = anything(); }
         void _start(void) { change(&number); KERNEL(number); KERNEL(60); }",
    ];
    for source in sources {
        each(source, |found, calls| {
            assert!(!found.is_complete(), "{source}: {calls:?}");
            let open = found.findings.iter().find(|it| it.is_open()).unwrap();
            assert!(matches!(open.kind, FindingKind::OpenNumber { .. }), "{open}");
            assert!(open.place.address > 0 && open.place.object.ends_with("program"), "{open:?}");
            assert!(calls.contains(&60), "{source}: {calls:?}");
        });
    }
}

#[test]
fn the_entries_of_32_bit_programs_are_findings() {
    for entry in ["int $0x80", "sysenter"] {
        let source = format!(
            "void _start(void) {{ __asm__ volatile(\"{entry}\" : : \"a\"(1) : \"memory\"); KERNEL(60); }}"
        );
        each(&source, |found, _| {
            assert!(!found.is_complete());
            assert!(found.findings.iter().any(|it| it.kind == FindingKind::OtherEntry), "{entry}");
        });
    }
}

#[test]
fn a_call_has_the_chain_from_the_entry_to_the_instruction() {
    let source = "
        APART long inner(long number) { return KERNEL(number); }
        APART long outer(void) { return inner(39) + 1; }
        void _start(void) { outer(); KERNEL(60); }";
    each(source, |found, _| {
        let call = found.calls.iter().find(|call| call.number == 39).unwrap();
        let steps: Vec<_> = call.chain.iter().map(|link| link.step.name()).collect();
        assert_eq!(steps, ["entry", "call", "call", "kernel"]);
        let functions: Vec<_> = call.chain.iter().filter_map(|link| link.function.as_deref()).collect();
        assert_eq!(functions, ["_start", "_start", "outer", "inner"]);
    });
}

#[test]
fn the_same_files_give_the_same_result() {
    let once = derived(&Machine::default(), "/bin/sh");
    assert_eq!(derived(&Machine::default(), "/bin/sh"), once);
}
