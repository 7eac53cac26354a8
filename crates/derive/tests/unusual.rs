//! Which values arguments of calls are known to have, of code as compilers seldom write it, or as only people do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;
#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod sockets;

use std::fs;
use std::process::Command;

use derive::Derived;
use machine::{Machine, compile, run};
use sockets::{argument, exactly, examined, open, open_with};

const PERSONALITY: u32 = 135;

/// The values of the argument of `personality` in a program with a libc; nothing if it is not bounded.
fn personality(found: &Derived) -> Option<Vec<u32>> {
    let argument = argument(found, PERSONALITY, 0);
    argument.is_bounded().then(|| argument.values.iter().map(|it| it.value).collect())
}

/// The same of a program of C.
fn in_c(source: &str) -> Option<Vec<u32>> {
    let folder = tempfile::tempdir().unwrap();
    let source =
        format!("#include <sys/personality.h>\n#define APART __attribute__((noinline, noclone))\n{source}");
    let program = compile(folder.path(), "program", &source, &["-O2", "-w"]);
    personality(&examined(&program, &Machine::like_an_image()))
}

#[test]
fn an_argument_that_a_function_returns_after_an_exception_is_not_known() {
    let source = r#"unsafe extern "C" { fn personality(it: u64) -> i32; }
        #[inline(never)] fn fail(it: usize) -> ! { panic!("{it}") }
        #[inline(never)] fn get(it: usize) -> u64 {
            match std::panic::catch_unwind(|| { fail(it); }) {
                Ok(_) => 0,
                Err(error) => { std::mem::forget(error); it as u64 + 6 }
            }
        }
        fn main() {
            let count = std::env::args().count();
            let mut it = 2;
            if count > 1 { it = get(count); }
            unsafe { personality(it); }
        }"#;
    let folder = tempfile::tempdir().unwrap();
    let (code, program) = (folder.path().join("program.rs"), folder.path().join("program"));
    fs::write(&code, source).unwrap();
    run(Command::new("rustc").args(["-O", "-Cstrip=symbols", "-o"]).arg(&program).arg(&code));
    assert_eq!(personality(&examined(program.to_str().unwrap(), &Machine::like_an_image())), None);
}

#[test]
fn a_function_that_the_loader_asks_for_another_one_is_not_what_is_called() {
    let chosen = "static void *resolve(void) { return impl; }
        int chosen(void) __attribute__((ifunc(\"resolve\")));";
    let returns = format!(
        "static int impl(void) {{ return 8; }} {chosen} int main(void) {{ return personality(chosen()); }}"
    );
    assert_eq!(in_c(&returns), None);
    // What it stores is called by others.
    let stores = "static void (*hook)(int); APART static void make(int it) { personality(it); }
        static int impl(void) { return 8; } static void *resolve(void) { hook = make; return impl; }
        int chosen(void) __attribute__((ifunc(\"resolve\"))); __attribute__((used)) int unused(void) { return chosen(); }
        int main(void) { make(2); hook(10); return 0; }";
    assert_eq!(in_c(stores), None);
}

#[test]
fn an_address_of_a_function_that_goes_on_on_the_stack_is_not_followed() {
    open(
        "struct s { long a, b; void (*f)(int); }; APART void make(int family) { socket(family, 1, 0); }
         APART void use(struct s it) { it.f(10); __asm__ volatile(\"\"); it.f(it.a + 9); }
         void _start(void) { make(2); struct s it = { 1, 2, make }; use(it); leave(); }",
    );
    open(
        "APART void make(int family) { socket(family, 1, 0); }
         APART void seven(long a, long b, long c, long d, long e, long f, void (*g)(int), long h) { g(10); g(a + f + h); }
         void _start(void) { make(2); seven(1, 2, 3, 4, 5, 6, make, 8); leave(); }",
    );
}

#[test]
fn a_jump_by_a_return_is_not_followed() {
    let source = "APART void with(int it) { socket(it, 1, 0); }
        static APART long one(void) { return 10; } static APART long other(void) { return 16; }
        void _start(void) { long (*which)(void) = input ? one : other; int it = which(); socket(it, 1, 0); leave(); }";
    for ways in ["-mindirect-branch=thunk", "-mindirect-branch=thunk-inline"] {
        open_with(source, &[ways, "-fcf-protection=none"]);
    }
    let direct = "APART void make(int family) { socket(family, 1, 0); }
        void _start(void) { void (*it)(int) = make; __asm__ volatile(\"\" : \"+r\"(it)); it(2); if (input) it(10); leave(); }";
    exactly(direct, &[2, 10]);
    open_with(direct, &["-mindirect-branch=thunk", "-fcf-protection=none"]);
}

#[test]
fn an_address_of_a_function_is_followed_where_an_exception_leads() {
    exactly(
        "void __gcc_personality_v0(void) {} void may_fail(void) {} void user(void);
         APART __attribute__((used)) void make(int family) { socket(family, 1, 0); }
         __asm__(\".type user, @function; user: .cfi_startproc; .cfi_personality 0x1b, __gcc_personality_v0;\"
                 \".cfi_lsda 0x1b, .Ltable; push %rbx; lea make(%rip), %rbx; mov $2, %edi; call *%rbx; .Lfirst: call may_fail;\"
                 \".Llast: pop %rbx; ret; .Lpad: mov $10, %edi; call *%rbx; ud2; .cfi_endproc; .size user, .-user;\"
                 \".section .gcc_except_table, \\\"a\\\", @progbits; .Ltable: .byte 0xff, 0xff, 1; .uleb128 .Lend - .Lbegin;\"
                 \".Lbegin: .uleb128 .Lfirst - user; .uleb128 .Llast - .Lfirst; .uleb128 .Lpad - user; .uleb128 0; .Lend: .text\");
         void _start(void) { user(); leave(); }",
        &[2, 10],
    );
}

#[test]
fn a_handler_returns_to_what_follows_a_breakpoint() {
    let source = |code: &str| format!("void _start(void) {{ long it = anything(); {code} leave(); }}");
    open(&source(
        "int family = 2; if (it) { family = it; __asm__ volatile(\"int3\" : \"+r\"(family)); } socket(family, 1, 0);",
    ));
    let called = "APART void make(int family) { socket(family, 1, 0); }
        void _start(void) { void (*it)(int) = make; __asm__ volatile(\"\" : \"+r\"(it)); it(2);
            if (input) { __asm__ volatile(\"int3\"); it(8); } leave(); }";
    exactly(called, &[2, 8]);
}

#[test]
fn a_function_that_has_its_own_return_address_may_return_again_with_another_value() {
    open(
        "long saved[8]; long set(long *) __attribute__((returns_twice)); void back(long *, long) __attribute__((noreturn));
         __asm__(\".globl set, back; .type set, @function; .type back, @function; set: .cfi_startproc; mov %rbx, (%rdi);\"
                 \"mov %rbp, 8(%rdi); lea 8(%rsp), %rdx; mov %rdx, 16(%rdi); mov (%rsp), %rdx; mov %rdx, 24(%rdi);\"
                 \"xor %eax, %eax; ret; .cfi_endproc; .size set, .-set; back: .cfi_startproc; mov %esi, %eax;\"
                 \"mov (%rdi), %rbx; mov 8(%rdi), %rbp; mov 16(%rdi), %rsp; jmp *24(%rdi); .cfi_endproc; .size back, .-back\");
         void _start(void) { int it = set(saved); socket(it, 1, 0); if (!it) back(saved, 10); leave(); }",
    );
}

#[test]
fn the_processor_takes_a_part_of_what_a_register_is_shifted_by() {
    let shifted = |code: &str| {
        format!(
            "void _start(void) {{ __asm__ volatile(\"mov $1, %%edi; {code}; mov $1, %%esi; xor %%edx, %%edx;\"
             \"mov $41, %%eax; syscall\" : : : \"rax\", \"rdi\", \"rsi\", \"rdx\", LOST); leave(); }}"
        )
    };
    exactly(&shifted("shl $33, %%edi"), &[2]);
    exactly(&shifted("shl $65, %%rdi"), &[2]);
    exactly(&shifted("shl $33, %%rdi; shr $32, %%rdi"), &[2]);
}

#[test]
fn a_function_that_ends_with_a_call_of_the_kernel_goes_on_to_the_next_one() {
    open(
        "void first(int);
         __asm__(\".type first, @function; first: .cfi_startproc; mov $39, %eax; syscall; .cfi_endproc; .size first, .-first;\"
                 \".type second, @function; second: .cfi_startproc; and $15, %eax; mov %eax, %edi; mov $1, %esi;\"
                 \"xor %edx, %edx; mov $41, %eax; syscall; ret; .cfi_endproc; .size second, .-second\");
         void _start(void) { first(2); leave(); }",
    );
}

#[test]
fn a_jump_behind_a_prefix_leads_to_the_same_instruction() {
    exactly(
        "volatile long one; void _start(void) { __asm__ volatile(\"mov $10, %%edi; cmpl $1, %0; jne 1f + 1; mov $2, %%edi;\"
         \"1: lock incq (%%rsp); mov $1, %%esi; xor %%edx, %%edx; mov $41, %%eax; syscall\" : : \"m\"(one)
         : \"rax\", \"rdi\", \"rsi\", \"rdx\", LOST); leave(); }",
        &[2, 10],
    );
}
