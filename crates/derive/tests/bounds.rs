//! Which values arguments of calls are known to have, on programs that are nothing but their calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;
#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod sockets;

use derive::Derived;
use machine::{Machine, compile};
use sockets::{HEAD, SOCKET, argument, exactly, examined, open};

#[test]
fn a_constant_is_followed_through_wrappers_and_conditions() {
    exactly("void _start(void) { socket(2, 1, 0); leave(); }", &[2]);
    exactly("void _start(void) { socket(0, 1, 0); leave(); }", &[0]);
    exactly("void _start(void) { if (input) socket(1, 1, 0); else socket(10, 2, 0); leave(); }", &[1, 10]);
    exactly(
        "void _start(void) { int family = 10; if (input) family = 2; socket(family, 1, 0); leave(); }",
        &[2, 10],
    );
    let wrapped = "
        APART long local(int type, int family) { return socket(family, type, 0) + 1; }
        APART long tail(int family) { return local(1, family); }
        void _start(void) { local(1, 1); if (input) tail(10); leave(); }";
    exactly(wrapped, &[1, 10]);
}

#[test]
fn a_negative_number_has_its_lower_half() {
    exactly("void _start(void) { socket(-1, 1, 0); leave(); }", &[u32::MAX]);
    exactly(
        "APART long wide(long family) { return socket(family, 1, 0); } void _start(void) { wide(-2L); leave(); }",
        &[u32::MAX - 1],
    );
    exactly(
        "APART long wide(long family) { return socket(family, 1, 0); } void _start(void) { wide(0x700000002); leave(); }",
        &[2],
    );
}

#[test]
fn a_value_in_memory_that_can_be_written_to_is_not_known() {
    open(
        "static int family = 2; APART void set(int it) { family = it; } void _start(void) { set(anything()); socket(family, 1, 0); leave(); }",
    );
    // Nothing is seen to write to it, but it could be by any pointer.
    open("volatile int family = 2; void _start(void) { socket(family, 1, 0); leave(); }");
    open(
        "struct s { int a, family; }; APART long of(struct s *it) { return socket(it->family, 1, 0); }
          void _start(void) { struct s it = { 1, 2 }; it.a = anything(); of(&it); leave(); }",
    );
    open(
        "void _start(void) { int families[4] = { 2, 2, 2, 2 };
          __asm__ volatile(\"\" : : \"r\"(families) : \"memory\"); socket(families[2], 1, 0); leave(); }",
    );
}

#[test]
fn a_value_that_is_only_partly_set_is_not_known() {
    let with = |code: &str| {
        format!(
            "void _start(void) {{ long family = anything();
              __asm__ volatile(\"{code}; mov $1, %%esi; mov $41, %%eax; syscall\" : \"+D\"(family) : : \"rax\", \"rdx\", \"rsi\", LOST);
              leave(); }}"
        )
    };
    for code in [
        "mov $2, %%dil",
        "mov $2, %%di",
        "test %%edi, %%edi; sete %%dil",
        "and $0xffff00ff, %%edi; or $2, %%edi",
        "movzbl %%dil, %%edi",
        "bswap %%edi",
        "neg %%edi",
        "lea 2(%%rdi), %%edi",
        "xor %%edx, %%edx; lea 2(%%rdi,%%rdx,8), %%edi",
        "mov $2, %%edx; lea (%%rdx,%%rdi,2), %%edi",
        "mov $2, %%edx; test %%edi, %%edi; cmove %%edx, %%edi",
        "mov $2, %%edx; xchg %%rdi, %%rdx; xchg %%rdi, %%rdx",
        "mov %%edi, %%ecx; mov $2, %%edi; shl %%cl, %%edi",
        "movd %%edi, %%xmm0; mov $2, %%edi; movd %%xmm0, %%edi",
        "mov $2, %%edi; push %%rax; cpuid; pop %%rdi",
        "cmp $2, %%edi; jb 1f; mov $2, %%edi; 1:",
        "cmp $2, %%dil; jne 1f; jmp 2f; 1: mov $2, %%edi; 2:",
    ] {
        open(&with(code));
    }
    for (code, values) in [
        ("xor %%edi, %%edi", &[0][..]),
        ("sub %%rdi, %%rdi", &[0]),
        ("test %%edi, %%edi; mov $0, %%edi; sete %%dil", &[0, 1]),
        ("cmp $9, %%edi; mov $2, %%edi; mov $10, %%edx; cmova %%edx, %%edi", &[2, 10]),
        ("mov $2, %%dil; and $0xf, %%dil; mov $3, %%edi", &[3]),
        ("and $1, %%edi; xor %%edi, %%edi; or $2, %%edi", &[2]),
        ("cmp $9, %%edi; mov $0, %%edi; sete %%dil; lea 2(,%%rdi,8), %%edi", &[2, 10]),
        ("mov $3, %%edi; mov $-5, %%edx; lea -1(%%rdi,%%rdx,2), %%edi", &[u32::MAX - 7]),
        ("mov $3, %%edi; mov $4, %%edx; lea -1(%%rdi,%%rdx,2), %%edi", &[10]),
        ("sbb %%edi, %%edi; and $-8, %%edi; add $10, %%edi", &[2, 10]),
        ("cmp $1, %%edi; je 1f; mov $2, %%edi; 1:", &[1, 2]),
        // The upper half goes, whatever is in it.
        ("movabs $0x100000004, %%rdi; mov %%edi, %%edi; shr $1, %%rdi", &[2]),
        ("movabs $0x100000004, %%rdi; shr $1, %%edi", &[2]),
        ("mov $-4, %%edi; movslq %%edi, %%rdi; sar $0, %%edi; mov $1, %%edi", &[1]),
    ] {
        exactly(&with(code), values);
    }
    open(&with("mov $-4, %%edi; movslq %%edi, %%rdi; shr $33, %%rdi"));
}

#[test]
fn a_value_that_a_loop_counts_is_not_known() {
    open("void _start(void) { for (int family = 2; input; family++) socket(family, 1, 0); leave(); }");
    open("void _start(void) { for (int family = 1; input; family <<= 1) socket(family, 1, 0); leave(); }");
    exactly(
        "void _start(void) { int family = 2; while (input) { socket(family, 1, 0); family = input ? 10 : family; } leave(); }",
        &[2, 10],
    );
}

#[test]
fn a_function_whose_address_anything_has_can_be_called_with_everything() {
    open(
        "long (*volatile maker)(int, int, int) = socket; void _start(void) { socket(2, 1, 0); maker(anything(), 1, 0); leave(); }",
    );
    open(
        "APART long with(long (*it)(int, int, int)) { return it(anything(), 1, 0); }
          void _start(void) { socket(2, 1, 0); with(socket); leave(); }",
    );
    // The address goes along with a jump.
    open(
        "APART long with(long (*it)(int, int, int)) { return it(anything(), 1, 0); }
          APART long start(void) { return with(socket); }
          void _start(void) { socket(2, 1, 0); start(); leave(); }",
    );
    open("struct s { long a; long (*make)(int, int, int); }; APART long make(int family, int b, int c) { return socket(family, 1, 0); }
          static const struct s one = { 1, make }, two = { 2, make };
          void _start(void) { const struct s *it = input ? &one : &two; socket(2, 1, 0); it->make(2, 1, 0); leave(); }");
}

#[test]
fn a_call_with_a_number_that_is_chosen_elsewhere_counts_with_its_arguments() {
    let raw = "APART long raw(long number, long one, long two) { long result;
        __asm__ volatile(\"syscall\" : \"=a\"(result) : \"a\"(number), \"D\"(one), \"S\"(two) : LOST); return result; }";
    exactly(&format!("{raw} void _start(void) {{ socket(2, 1, 0); raw(41, 16, 1); leave(); }}"), &[2, 16]);
    open(&format!("{raw} void _start(void) {{ socket(2, 1, 0); raw(41, anything(), 1); leave(); }}"));
    // One instruction makes several calls, and which argument belongs to which number is not told apart.
    open(&format!("{raw} void _start(void) {{ raw(39, anything(), 1); raw(41, 2, 1); leave(); }}"));
}

#[test]
fn a_function_with_a_jump_that_is_not_known_is_not_followed() {
    // A table whose size is not compared.
    open("void _start(void) { long it = anything() & 3;
          __asm__ volatile(\"mov $2, %%edi; lea 9f(%%rip), %%rdx; movslq (%%rdx,%0,4), %%rax; add %%rdx, %%rax; jmp *%%rax;\"
          \"9: .long 1f-9b, 2f-9b, 3f-9b, 4f-9b; 1: nop; 2: mov $3, %%edi; 3: nop; 4: mov $1, %%esi; mov $41, %%eax; syscall\"
          : : \"r\"(it) : \"rax\", \"rdx\", \"rsi\", \"rdi\", LOST); leave(); }");
}

#[test]
fn arguments_are_not_examined_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let source = format!("{HEAD} void _start(void) {{ socket(2, 1, 0); leave(); }}");
    let program = compile(folder.path(), "program", &source, &["-nostdlib", "-static", "-O2"]);
    let found = machine::derived(&Machine::default(), &program);
    assert!(found.calls.iter().all(|it| it.arguments.is_empty()));
    let asked = examined(&program, &Machine::default());
    assert_eq!(asked, examined(&program, &Machine::default()));
    let value = &argument(&asked, SOCKET, 0).values[0];
    assert_eq!(value.place.function.as_deref(), Some("_start"));
    assert_eq!(value.chain.last().unwrap().function.as_deref(), Some("socket"));
    assert_eq!(asked.calls.iter().map(|it| it.number).collect::<Vec<_>>(), [41, 60]);
}

#[test]
fn a_dynamic_and_a_static_program_with_a_libc_have_the_families_that_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let source = "#include <sys/socket.h>\nint main(int count, char **all) {
        return socket(count > 1 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0; }";
    let program = compile(folder.path(), "program", source, &["-O2", "-static", "-s"]);
    let found = examined(&program, &Machine::like_an_image());
    let values = |found: &Derived, index| {
        let argument = argument(found, SOCKET, index);
        (argument.is_bounded(), argument.values.iter().map(|it| it.value).collect::<Vec<_>>())
    };
    assert_eq!(values(&found, 0), (true, vec![2, 10]), "{:#?}", argument(&found, SOCKET, 0).open);
    assert_eq!(values(&found, 1), (true, vec![0x80001]));
    // The library itself makes sockets of other families, some of which it reads from memory.
    let program = compile(folder.path(), "dynamic", source, &["-O2"]);
    let found = examined(&program, &Machine::like_an_image());
    let (is_bounded, known) = values(&found, 0);
    assert!(!is_bounded && known.contains(&2) && known.contains(&10), "{known:?}");
    let open = &argument(&found, SOCKET, 0).open;
    assert!(open.iter().all(|it| it.at.object.contains("libc.so.6")), "{open:#?}");
}

#[test]
fn a_function_that_may_be_looked_up_by_a_name_can_be_called_with_everything() {
    // Outside of libc, which makes sockets of other families, the request of ioctl is the one that is not the library's.
    let source = |name: &str| {
        format!(
            "#include <dlfcn.h>\n#include <sys/personality.h>\nconst char *volatile names[] = {{ \"{name}\", \"close\" }};
             int main(int count, char **all) {{
                 long (*it)(long) = (long (*)(long))dlsym(0, names[count & 1]);
                 return it(count) + personality(count > 1 ? 2 : 8); }}"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let bounded = |name: &str| {
        let program = compile(folder.path(), name, &source(name), &["-O2", "-w"]);
        argument(&examined(&program, &Machine::like_an_image()), 135, 0).is_bounded()
    };
    assert!(bounded("getpid") && !bounded("personality"));
}
