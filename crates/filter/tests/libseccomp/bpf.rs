//! Classic BPF, as the kernel runs it on a `struct seccomp_data`: an interpreter for all arguments at once.

use std::collections::HashMap;

use filter::Verdict;
use filter::diagram::{Field, Forest, Node, Relation};

/// One instruction: `struct sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

/// The program in the hexadecimal form that `export.c` prints.
pub(crate) fn parse(hex: &str) -> Vec<Instruction> {
    let bytes: Vec<u8> =
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    let instruction = |it: &[u8]| Instruction {
        code: u16::from_le_bytes([it[0], it[1]]),
        if_true: it[2],
        if_false: it[3],
        k: u32::from_le_bytes([it[4], it[5], it[6], it[7]]),
    };
    bytes.chunks_exact(8).map(instruction).collect()
}

/// The content of the accumulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Word {
    Known(u32),
    /// The bits of an argument's half that are in a mask.
    Half {
        index: u8,
        upper: bool,
        mask: u32,
    },
}

/// A program for calls of one architecture with one number.
pub(crate) struct Run<'a> {
    program: &'a [Instruction],
    architecture: u32,
    number: u32,
    known: HashMap<(usize, Word), Node>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(program: &'a [Instruction], architecture: u32, number: u32) -> Self {
        Self { program, architecture, number, known: HashMap::new() }
    }

    /// The verdicts for all arguments.
    pub(crate) fn diagram(&mut self, forest: &mut Forest) -> Node {
        self.from(0, Word::Known(0), forest)
    }

    fn from(&mut self, at: usize, accumulator: Word, forest: &mut Forest) -> Node {
        if let Some(node) = self.known.get(&(at, accumulator)) {
            return *node;
        }
        let Instruction { code, if_true, if_false, k } = self.program[at];
        let next = at + 1;
        let node = match code {
            // ld [k]
            0x20 => self.from(next, self.load(k), forest),
            // and k
            0x54 => {
                let masked = match accumulator {
                    Word::Known(word) => Word::Known(word & k),
                    Word::Half { index, upper, mask } => Word::Half { index, upper, mask: mask & k },
                };
                self.from(next, masked, forest)
            }
            // ja k
            0x05 => self.from(next + k as usize, accumulator, forest),
            // jeq, jgt, jge
            0x15 | 0x25 | 0x35 => {
                let relation = match code {
                    0x15 => Relation::Equal,
                    0x25 => Relation::Greater,
                    _ => Relation::GreaterOrEqual,
                };
                let (yes, no) = (next + usize::from(if_true), next + usize::from(if_false));
                match accumulator {
                    Word::Known(word) => {
                        let holds = match relation {
                            Relation::Equal => word == k,
                            Relation::Greater => word > k,
                            Relation::GreaterOrEqual => word >= k,
                        };
                        self.from(if holds { yes } else { no }, accumulator, forest)
                    }
                    Word::Half { index, upper, mask } => {
                        let whole = Field::whole(index).unwrap();
                        let field = if upper { whole.high() } else { whole.low() };
                        let condition = forest.field(field, mask.into(), relation, k.into()).unwrap();
                        let yes = self.from(yes, accumulator, forest);
                        let no = self.from(no, accumulator, forest);
                        forest.select(condition, yes, no).unwrap()
                    }
                }
            }
            // ret k
            0x06 => forest.verdict(verdict(k)),
            other => panic!("libseccomp writes no instruction {other:#x}"),
        };
        self.known.insert((at, accumulator), node);
        node
    }

    /// A word of `struct seccomp_data` in little-endian memory: number, architecture, instruction pointer, arguments.
    fn load(&self, offset: u32) -> Word {
        match offset {
            0 => Word::Known(self.number),
            4 => Word::Known(self.architecture),
            16..64 if offset.is_multiple_of(4) => {
                Word::Half { index: ((offset - 16) / 8) as u8, upper: offset % 8 == 4, mask: u32::MAX }
            }
            other => panic!("libseccomp loads nothing at {other}"),
        }
    }
}

/// The verdict that a filter returns as this value (linux/seccomp.h).
pub(crate) fn verdict(value: u32) -> Verdict {
    let data = value as u16;
    match value & 0xffff_0000 {
        0x8000_0000 => Verdict::KillProcess,
        0x0000_0000 => Verdict::KillThread,
        0x0003_0000 => Verdict::Trap,
        0x0005_0000 => Verdict::Errno(data),
        0x7fc0_0000 => Verdict::Notify,
        0x7ff0_0000 => Verdict::Trace(data),
        0x7ffc_0000 => Verdict::Log,
        0x7fff_0000 => Verdict::Allow,
        _ => panic!("{value:#x} is no verdict"),
    }
}

/// The value that a filter returns for this verdict.
pub(crate) fn value(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::KillProcess => 0x8000_0000,
        Verdict::KillThread => 0,
        Verdict::Trap => 0x0003_0000,
        Verdict::Errno(data) => 0x0005_0000 | u32::from(data),
        Verdict::Notify => 0x7fc0_0000,
        Verdict::Trace(data) => 0x7ff0_0000 | u32::from(data),
        Verdict::Log => 0x7ffc_0000,
        Verdict::Allow => 0x7fff_0000,
    }
}
