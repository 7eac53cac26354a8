//! What is known of an argument holds when the program runs, for programs that are put together at random.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use derive::Request;
use machine::{Machine, compile};
use strace::{Event, Reader};
use syscalls::Architecture;

const SOCKET: u32 = 41;
const PROGRAMS: u64 = 60;
/// The functions that a program has beside its first one; each calls only later ones.
const FUNCTIONS: u64 = 4;
/// Registers that functions need not keep.
const REGISTERS: [[&str; 3]; 5] = [
    ["dil", "edi", "rdi"],
    ["sil", "esi", "rsi"],
    ["dl", "edx", "rdx"],
    ["cl", "ecx", "rcx"],
    ["r8b", "r8d", "r8"],
];
const CONDITIONS: [&str; 8] = ["e", "ne", "b", "a", "s", "ns", "l", "ge"];

/// Numbers as splitmix64 makes them.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn number(&mut self) -> i64 {
        self.one(&[0, 1, 2, 3, 10, 16, 17, 0x7fff_ffff, -1, -2, -100])
    }
}

/// An instruction, or a few.
fn instruction(random: &mut Random, function: u64, label: &mut u64, saved: bool) -> String {
    let ([byte, half, whole], [other_byte, other, other_whole]) =
        (random.one(&REGISTERS), random.one(&REGISTERS));
    let (number, shift) = (random.number(), random.below(8));
    let condition = random.one(&CONDITIONS);
    match random.below(30) {
        0..=4 => format!("mov ${number}, %{half}"),
        5 => format!("mov ${number}, %{whole}"),
        6 => format!("mov %{other}, %{half}"),
        7 => format!("mov %{other_whole}, %{whole}"),
        8 => format!("xor %{half}, %{half}"),
        9 => format!("add ${number}, %{half}"),
        10 => format!("sub %{other}, %{half}"),
        11 => format!("and ${number}, %{whole}"),
        12 => format!("or %{other_whole}, %{whole}"),
        13 => format!("shl ${shift}, %{half}"),
        14 => format!("shr ${shift}, %{whole}"),
        15 => format!("lea {shift}(%{other_whole},%{whole},2), %{half}"),
        16 => format!("cmp ${number}, %{other}; cmov{condition} %{other}, %{half}"),
        17 => format!("cmp %{other}, %{half}; set{condition} %{byte}"),
        18 => format!("movzbl %{other_byte}, %{half}"),
        19 => format!("movslq %{other}, %{whole}"),
        20 => format!("neg %{half}; not %{other_whole}"),
        21 => format!("mov ${}, %{byte}", random.below(128)),
        22 => format!("push %{whole}; pop %{other_whole}"),
        23 => format!("mov %{whole}, -8(%rsp); movb ${shift}, -7(%rsp); mov -8(%rsp), %{other}"),
        24 => format!("cmp %{other}, %{half}; sbb %{whole}, %{whole}"),
        25 => "mov %rdx, %r9; rdtsc; mov %r9, %rdx; mov %eax, %esi".to_owned(),
        26 if saved => format!("mov %{whole}, %rbx"),
        27 if saved => format!("mov %ebx, %{half}"),
        26 | 27 if function < FUNCTIONS => {
            format!("call f{}", function + 1 + random.below(FUNCTIONS - function))
        }
        _ => {
            *label += 1;
            let inner = instruction(random, FUNCTIONS, label, saved);
            *label += 1;
            let compared = random.one(&["test", "cmp"]);
            format!(
                "{compared} %{other}, %{half}; j{condition} .L{label}; {inner}; .L{label}:",
                label = *label
            )
        }
    }
}

/// A program of functions of some instructions each, that makes a socket of the family that is in `edi` then.
fn program(seed: u64) -> String {
    let (mut random, mut label) = (Random(seed), seed * 1000);
    let mut code = String::new();
    for function in 0..=FUNCTIONS {
        let mut body = Vec::new();
        for _ in 0..2 + random.below(5) {
            body.push(instruction(&mut random, function, &mut label, function == 0));
        }
        let (name, first, last) = match function {
            0 => (
                "_start".to_owned(),
                REGISTERS.map(|[_, half, _]| format!("mov ${}, %{half};", random.number())).concat(),
                "call f1; mov $1, %esi; mov $41, %eax; syscall; xor %edi, %edi; mov $60, %eax; syscall; hlt",
            ),
            _ => (format!("f{function}"), String::new(), "ret"),
        };
        let body = body.join("; ");
        writeln!(
            code,
            "__asm__(\".globl {name}; .type {name}, @function; {name}: .cfi_startproc; {first} {body}; {last}; .cfi_endproc; .size {name}, .-{name}\");"
        )
        .unwrap();
    }
    code
}

/// The family of the socket that a program makes.
fn family(program: &str, folder: &Path) -> u32 {
    let log = folder.join("log");
    let output =
        Command::new("strace").args(["-qq", "-X", "raw", "-o"]).arg(&log).arg(program).output().unwrap();
    let text = fs::read(&log).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let mut reader = Reader::new(Architecture::X86_64);
    for line in text.split(|byte| *byte == b'\n') {
        if let Event::Call(call) = reader.line(line)
            && call.name == "socket"
        {
            let family = call.arguments()[0];
            assert_eq!(family.known as u32, u32::MAX, "{}", String::from_utf8_lossy(line));
            return family.value as u32;
        }
    }
    panic!("no socket: {}", String::from_utf8_lossy(&text));
}

#[test]
fn no_program_uses_a_family_that_it_is_known_not_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let mut bounded = 0;
    for seed in 1..=PROGRAMS {
        let source = program(seed);
        let path = compile(folder.path(), "program", &source, &["-nostdlib", "-static-pie", "-s"]);
        let request = Request { program: path.clone(), examine_arguments: true, ..Request::default() };
        let found = derive::derive(&Machine::default(), &request).unwrap();
        let call = found.calls.iter().find(|it| it.number == SOCKET).unwrap();
        let known = call.arguments.iter().find(|it| it.index == 0).unwrap();
        let used = family(&path, folder.path());
        if known.is_bounded() {
            bounded += 1;
            let values: Vec<_> = known.values.iter().map(|it| it.value).collect();
            assert!(values.contains(&used), "seed {seed}: {used:#x} is none of {values:x?}:\n{source}");
        }
    }
    assert!(bounded * 4 > PROGRAMS, "only {bounded} of {PROGRAMS} are bounded: this says little");
}
