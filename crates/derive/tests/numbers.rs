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
    each_with(source, &[], check);
}

/// The same with more options of the compiler.
fn each_with(source: &str, more: &[&str], check: impl Fn(&Derived, BTreeSet<u32>)) {
    let folder = tempfile::tempdir().unwrap();
    for level in ["-O0", "-O2"] {
        for link in ["-static", "-static-pie"] {
            let options = ["-nostdlib", "-ffreestanding", "-fno-stack-protector", level, link];
            let options = [&options, more].concat();
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
fn a_call_that_does_not_return_ends_the_way_to_a_number_in_a_register_that_functions_keep() {
    // As in musl's `posix_spawn`: the register has something else on the way to the call that does not return.
    let source = r#"
        APART void __attribute__((noreturn)) stop(void) { for (;;) KERNEL(231); }
        void _start(void) {
            __asm__ volatile("lea (%%rsp), %%r12; cmp $1, %0; jne 2f; call stop; 1: mov %%r12, %%rax; syscall; jmp 3f;"
                "2: mov $39, %%r12d; jmp 1b; 3:" : : "r"(input) : "rax", "rcx", "r11", "r12", "memory");
            KERNEL(60);
        }"#;
    exactly(source, &[39, 60, 231]);
}

#[test]
fn a_function_is_followed_in_a_register_that_has_something_else_behind_a_call_that_does_not_return() {
    // As Rust's compiler keeps the address of `syscall`.
    let source = r#"
        APART void __attribute__((noreturn)) stop(void) { for (;;) KERNEL(231); }
        APART long wrapper(long number) { return KERNEL(number); }
        void _start(void) {
            __asm__ volatile("lea input(%%rip), %%r12; cmp $2, %0; je 2f; lea wrapper(%%rip), %%r12; cmp $1, %0; je 1f;"
                "mov $39, %%edi; call *%%r12; jmp 3f; 1: call stop; 2: mov (%%r12), %%rdx; 3:"
                : : "r"(input) : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "memory");
            KERNEL(60);
        }"#;
    exactly(source, &[39, 60, 231]);
}

#[test]
fn a_number_of_32_bits_between_others_in_a_structure_of_the_caller_is_followed() {
    let source = "
        struct command { int argument, more; int number; int result; };
        APART long perform(struct command *it) { return KERNEL((long) it->number); }
        APART void ask(int number, int argument) {
            struct command it = { .number = number, .argument = argument, .result = 1 }; perform(&it); input = it.result;
        }
        void _start(void) { ask(105, 1); ask(106, 2); KERNEL(60); }";
    exactly(source, &[60, 105, 106]);
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
fn a_table_is_found_whose_address_only_code_behind_another_table_has() {
    // Of a function without borders, which is decoded along its jumps.
    let source = r#"
        void choose(long which, long first);
        __asm__(".text; choose: test %rsi, %rsi; jne .Lother;"
                ".Lone: movslq (%rdx,%rdi,4), %rax; add %rdx, %rax; jmp *%rax;"
                ".Lother: lea .Lothers(%rip), %rcx; movslq (%rcx,%rdi,4), %rax; add %rcx, %rax; jmp *%rax;"
                ".Lback: lea .Lones(%rip), %rdx; jmp .Lone;"
                ".Lleft: mov $39, %eax; syscall; ret;"
                ".Lright: mov $102, %eax; syscall; ret;"
                ".section .rodata; .p2align 2; .Lones: .long .Lleft - .Lones, .Lright - .Lones;"
                ".Lothers: .long .Lback - .Lothers, .Lback - .Lothers; .long 0; .text");
        void _start(void) { choose(input & 1, 1); KERNEL(60); }"#;
    exactly(source, &[39, 60, 102]);
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
fn a_variable_with_a_function_can_have_another_one_when_it_is_called() {
    let functions = "
        APART long first(void) { return 39; }
        APART long second(void) { return 102; }
        APART long never(void) { for (;;) KERNEL(231); }";
    let sources = [
        // What the other one returns is a number.
        "static long (*picker)(void) = first;
         APART void choose(void) { if (input) picker = second; }
         void _start(void) { choose(); KERNEL(picker()); KERNEL(60); }",
        // A function that only calls the variable.
        "static long (*picker)(void) = first;
         APART void choose(void) { if (input) picker = second; }
         APART long pick(void) { return picker(); }
         void _start(void) { choose(); KERNEL(pick()); KERNEL(60); }",
        // The first one does not return, but the other one does.
        "static long (*picker)(void) = never;
         APART void choose(void) { picker = second; }
         APART long pick(void) { return picker(); }
         void _start(void) { choose(); long number = input ? 39 : pick(); KERNEL(number); KERNEL(60); }",
    ];
    for source in sources {
        each(&format!("{functions}{source}"), |found, calls| {
            assert!(!found.is_complete() || calls.contains(&102), "{source}: {calls:?}");
            assert!(calls.contains(&60), "{source}: {calls:?}");
        });
    }
}

#[test]
fn a_number_is_followed_to_every_call_that_can_read_the_function_from_a_structure() {
    let functions = "
        APART long plain(long number) { return KERNEL(number); }
        APART long next(long number) { return KERNEL(number + 1); }
        struct calls { long unused[6]; long (*next)(long); long more[4]; };
        static struct calls one = { .next = next };";
    let sources = [
        // An array that is gone through by a pointer.
        "struct entry { long key; long (*run)(long); };
         static struct entry entries[] = { { 1, plain }, { 2, plain }, { 3, next } };
         void _start(void) {
             for (struct entry *it = entries; it != entries + 3; it++) if (it->key != input) it->run(101);
             KERNEL(60);
         }",
        // A copy on the stack.
        "APART void later(struct calls *it) {
             long (*volatile kept)(long) = it->next;
             input = anything();
             kept(101);
         }
         void _start(void) { later(&one); KERNEL(60); }",
        // From behind the pointer to it.
        "APART void behind(long (**it)(long)) { it[-2](101); }
         void _start(void) { behind(&one.next + 2); KERNEL(60); }",
        // One of two, by another way to the call.
        "long choose(struct calls *it, void *other);
         __asm__(\".text; choose: mov 48(%rdi), %rax; test %rsi, %rsi; je 1f; mov $101, %edi; jmp 2f;\"
                 \"1: mov 8(%rdi), %rax; 2: jmp *%rax\");
         void _start(void) { choose(&one, (void *)(input + 1)); KERNEL(60); }",
        // Read again after a call.
        "__attribute__((used)) APART long (*chosen(struct calls *it))(long) { return it->next; }
         long call(struct calls *it);
         __asm__(\".text; call: mov 8(%rdi), %rax; call chosen; mov $101, %edi; jmp *%rax\");
         void _start(void) { call(&one); KERNEL(60); }",
    ];
    for source in sources {
        each(&format!("{functions}{source}"), |found, calls| {
            assert!(!found.is_complete() || calls.contains(&102), "{source}: {calls:?}");
            assert!(calls.contains(&60), "{source}: {calls:?}");
        });
    }
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

#[test]
fn a_function_whose_address_goes_along_with_a_jump_can_be_called_with_any_number() {
    let source = "
        APART long plain(long number) { return KERNEL(number); }
        APART long with(long (*it)(long)) { return it(anything()); }
        APART long start(void) { return with(plain); }
        void _start(void) { plain(39); start(); KERNEL(60); }";
    each(source, |found, calls| assert!(!found.is_complete(), "{calls:?}"));
}

#[test]
fn a_number_is_followed_to_a_function_to_which_a_table_of_jumps_leads() {
    let source = r#"
        void _start(void) {
            long it = input;
            __asm__ volatile("mov $39, %%edi; cmp $1, %0; ja 1f; lea 9f(%%rip), %%rdx; movslq (%%rdx,%0,4), %%rax;"
                "add %%rdx, %%rax; jmp *%%rax; .pushsection .rodata; 9: .long 1f-9b, away-9b; .popsection; 1:"
                : : "r"(it) : "rax", "rdx", "rdi", "memory");
            KERNEL(60);
        }
        __asm__(".type away, @function; away: .cfi_startproc; mov %rdi, %rax; syscall; hlt; .cfi_endproc; .size away, .-away");"#;
    exactly(source, &[39, 60]);
}

#[test]
fn a_number_that_a_function_returns_after_an_exception_is_found() {
    let source = "
        void __gcc_personality_v0(void) {} APART void leave(void) { for (;;) KERNEL(60); }
        void fail(void) { leave(); } long get(void);
        __asm__(\".type get, @function; get: .cfi_startproc; .cfi_personality 0x1b, __gcc_personality_v0;\"
                \".cfi_lsda 0x1b, .Ltable; push %rbx; .Lfirst: call fail; .Llast: .Lpad: mov $135, %eax; pop %rbx; ret;\"
                \".cfi_endproc; .size get, .-get; .section .gcc_except_table, \\\"a\\\", @progbits; .Ltable: .byte 0xff, 0xff, 1;\"
                \".uleb128 .Lend - .Lbegin; .Lbegin: .uleb128 .Lfirst - get; .uleb128 .Llast - .Lfirst;\"
                \".uleb128 .Lpad - get; .uleb128 0; .Lend: .text\");
        void _start(void) { long it = 39; if (input) it = get(); KERNEL(it); leave(); }";
    exactly(source, &[39, 60, 135]);
}

#[test]
fn a_number_is_found_if_the_address_of_its_wrapper_is_passed_on_the_stack_or_jumped_to_by_a_return() {
    let source = "
        APART long raw(long number) { return KERNEL(number); }
        APART void seven(long a, long b, long c, long d, long e, long f, long (*g)(long), long h) { g(135); g(a + h); }
        void _start(void) { raw(39); seven(1, 2, 3, 4, 5, 6, raw, 54); raw(60); }";
    each(source, |found, calls| assert!(!found.is_complete() || calls.contains(&135), "{calls:?}"));
    let source = "
        __attribute__((noinline, noclone, indirect_branch(\"thunk\"))) void through(void) {
            long (*it)(long) = raw; __asm__ volatile(\"\" : \"+r\"(it)); it(135); it(39); }
        void _start(void) { through(); raw(60); }";
    let raw = "__asm__(\".cfi_sections .eh_frame\"); APART long raw(long number) { return KERNEL(number); }";
    let source = format!("{raw}{source}");
    each(&source, |found, calls| assert!(!found.is_complete() || calls.contains(&135), "{calls:?}"));
}

#[test]
fn a_number_in_a_variable_that_a_pointer_to_the_variable_beside_it_can_write_is_open() {
    for source in [
        // An array, by the address of its beginning.
        "static long numbers[4] = { 39, 39, 39, 39 };
         APART void fill(long *at, long count) { for (long i = 0; i < count; i++) at[i] = 102; }
         void _start(void) { fill(numbers, input); KERNEL(numbers[2]); KERNEL(60); }",
        // A structure whose address another variable has.
        "static struct { long count, number; } it = { 1, 39 };
         static long *volatile all = &it.count;
         APART void change(long *at) { at[1] = 102; }
         void _start(void) { if (input) change(all); KERNEL(it.number); KERNEL(60); }",
        // An array that is written with a lower index than its first.
        "static long numbers[4] = { 39, 39, 39, 39 };
         void _start(void) { numbers[input - 7] = 102; KERNEL(numbers[0]); KERNEL(60); }",
    ] {
        each(source, |found, calls| assert!(!found.is_complete(), "{source}: {calls:?}"));
    }
}

/// An array, called `table`, of the distances to a function with the number that is moved so, and to one with 102.
fn array_of_distances(moved: &str) -> String {
    format!(
        r#"__asm__(".type one, @function; one: mov {moved}; syscall; ret; .size one, .-one;"
            ".type two, @function; two: mov $102, %eax; syscall; ret; .size two, .-two;"
            ".section .rodata; .balign 4; table: .long one - table, two - table, 7; .text");
        extern const int table[] __attribute__((visibility("hidden")));"#
    )
}

#[test]
fn functions_are_reached_whose_addresses_stand_in_data_as_distances() {
    let assembler = array_of_distances("$39, %eax");
    let source = format!(
        "{assembler} APART void call(void) {{ ((void (*)(void)) ((char *) table + table[input & 1]))(); }}
         void _start(void) {{ call(); KERNEL(60); }}"
    );
    for position in [["-fPIE"].as_slice(), &["-fno-pie", "-no-pie"]] {
        each_with(&source, position, |found, calls| {
            assert!(found.is_complete(), "{:#?}", found.findings);
            assert_eq!(calls, BTreeSet::from([39, 60, 102]), "{position:?}");
        });
    }
}

#[test]
fn a_number_that_is_an_argument_of_a_function_in_an_array_of_distances_is_not_missing() {
    let assembler = array_of_distances("%rdi, %rax");
    for after in ["", "KERNEL(60);"] {
        let source = format!(
            "{assembler}
             APART void call(void) {{
                 ((void (*)(long)) ((char *) table + table[input & 1]))(104); {after}
             }}
             void _start(void) {{ call(); KERNEL(60); }}"
        );
        each_with(&source, &["-fPIE"], |found, calls| {
            assert!(calls.contains(&104) || !found.is_complete(), "{after}: {calls:?}");
        });
    }
}

#[test]
fn a_number_in_a_variable_that_is_written_together_with_the_one_beside_it_is_not_missing() {
    let source = "
        static struct { long one, two; } it = { 39, 39 };
        APART void change(void) { it.one = 102; it.two = 104; }
        void _start(void) { if (input) change(); KERNEL(it.two); KERNEL(60); }";
    each(source, |found, calls| {
        assert!(calls.contains(&104) || !found.is_complete(), "{calls:?}");
    });
}

#[test]
fn functions_are_reached_that_code_of_the_large_model_names_by_distances() {
    let source = "
        APART void one(void) { KERNEL(39); }
        APART void two(void) { KERNEL(102); }
        static void (*functions[])(void) = { one, two };
        APART void three(long number) { KERNEL(number); }
        void _start(void) { functions[input & 1](); three(104); KERNEL(60); }";
    each_with(source, &["-mcmodel=large", "-fPIC"], |found, calls| {
        assert!(calls.is_superset(&BTreeSet::from([39, 60, 102])), "{calls:?}");
        // How `three` is called is not followed: its number is known or open, and not missing.
        assert!(calls.contains(&104) || !found.is_complete(), "{calls:?}");
    });
}
