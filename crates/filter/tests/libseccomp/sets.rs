//! Sets of rules for one syscall: all pairs of conditions, and random ones.

use std::fmt::Write;

use filter::tree::{CallRule, Width};
use filter::{Condition, Verdict};
use profile::Comparison;

use crate::bpf;

/// The rules for `getpid`, which has no arguments and whose rules therefore harm nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) width: Width,
    pub(crate) default: Verdict,
    /// Whether libseccomp writes a binary tree of the syscalls, as runc asks it to.
    pub(crate) optimized: bool,
    pub(crate) rules: Vec<CallRule>,
}

pub(crate) const COMPARISONS: [Comparison; 7] = [
    Comparison::NotEqual,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Equal,
    Comparison::GreaterOrEqual,
    Comparison::Greater,
    Comparison::MaskedEqual,
];

impl Set {
    /// The architecture, and the number of `getpid` there.
    pub(crate) fn target(&self) -> (u32, u32) {
        match self.width {
            Width::Bits64 => (0xc000_003e, 39),
            Width::Bits32 => (0x4000_0003, 20),
        }
    }

    /// The line that `export.c` reads.
    pub(crate) fn line(&self) -> String {
        let (architecture, _) = self.target();
        let mut line =
            format!("{architecture:x} {:x} 27 {}", bpf::value(self.default), 1 + u8::from(self.optimized));
        for rule in &self.rules {
            write!(line, " r {:x}", bpf::value(rule.verdict)).unwrap();
            line += &Self::conditions(rule);
        }
        line
    }

    /// The conditions of a rule in such a line.
    pub(crate) fn conditions(rule: &CallRule) -> String {
        let condition = |it: &Condition| {
            let comparison = 1 + COMPARISONS.iter().position(|known| *known == it.comparison()).unwrap();
            format!(" c {:x} {comparison:x} {:x} {:x}", it.index(), it.value(), it.value_two())
        };
        rule.conditions.iter().map(condition).collect()
    }

    /// The opposite of [`Set::line`].
    pub(crate) fn parse(line: &str) -> Self {
        let mut rules = line.split(" r ");
        let number = |word: &str| u64::from_str_radix(word, 16).unwrap();
        let verdict = |word: &str| bpf::verdict(number(word) as u32);
        let head: Vec<_> = rules.next().unwrap().split(' ').collect();
        let width = if head[0] == "c000003e" { Width::Bits64 } else { Width::Bits32 };
        let condition = |text: &str| {
            let words: Vec<_> = text.split(' ').map(number).collect();
            Condition::new(words[0] as u8, COMPARISONS[words[1] as usize - 1], words[2], words[3]).unwrap()
        };
        let rule = |text: &str| {
            let mut words = text.split(" c ");
            CallRule { verdict: verdict(words.next().unwrap()), conditions: words.map(condition).collect() }
        };
        Self { width, default: verdict(head[1]), optimized: head[3] == "2", rules: rules.map(rule).collect() }
    }
}

/// Numbers whose halves are smaller, the same and greater than those of the others.
pub(crate) const VALUES: [u64; 8] = [0, 1, 5, 0xffff_ffff, 1 << 32, 1 << 32 | 1, 1 << 32 | 5, u64::MAX];
const MASKS: [(u64, u64); 7] =
    [(0, 0), (1, 1), (5, 4), (0xffff_ffff, 1), (1 << 32, 1 << 32), (1 << 32 | 1, 1), (u64::MAX, 1 << 32 | 5)];

/// Every comparison of this argument with every value.
pub(crate) fn conditions(index: u8) -> impl Iterator<Item = Condition> {
    let plain = COMPARISONS[..6].iter().flat_map(|comparison| VALUES.map(|value| (*comparison, value, 0)));
    let masked = MASKS.map(|(mask, value)| (Comparison::MaskedEqual, mask, value));
    plain
        .chain(masked)
        .map(move |(comparison, value, two)| Condition::new(index, comparison, value, two).unwrap())
}

/// Two rules with one condition each, on the arguments 0 and 1, in both orders, with one verdict and with two.
pub(crate) fn pairs() -> impl Iterator<Item = Set> {
    let all = || [0, 1].into_iter().flat_map(conditions);
    let rule = |condition, errno| CallRule { verdict: Verdict::Errno(errno), conditions: vec![condition] };
    [Width::Bits64, Width::Bits32].into_iter().flat_map(move |width| {
        all().flat_map(move |first| {
            all().flat_map(move |second| {
                [1, 2].map(|errno| Set {
                    width,
                    default: Verdict::Allow,
                    optimized: false,
                    rules: vec![rule(first, 1), rule(second, errno)],
                })
            })
        })
    })
}

/// Random numbers that are the same in every run (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn condition(&mut self, index: u8) -> Condition {
        let comparison = self.one(&COMPARISONS);
        let (value, two) = match comparison {
            Comparison::MaskedEqual => self.one(&MASKS),
            _ => (self.one(&VALUES), 0),
        };
        Condition::new(index, comparison, value, two).unwrap()
    }

    /// This many rules with at most three conditions each.
    pub(crate) fn set(&mut self, rules: usize) -> Set {
        const DEFAULTS: [Verdict; 4] =
            [Verdict::Allow, Verdict::Errno(9), Verdict::KillProcess, Verdict::Trap];
        const VERDICTS: [Verdict; 4] =
            [Verdict::Errno(1), Verdict::Errno(2), Verdict::Log, Verdict::Trace(3)];
        let verdicts = 1 + self.below(3);
        let rule = |random: &mut Self| {
            let arguments = 1 + random.below(3);
            let mut conditions = Vec::new();
            for index in 0..3 {
                if random.below(3) < arguments {
                    conditions.push(random.condition(index));
                }
            }
            CallRule { verdict: random.one(&VERDICTS[..=verdicts]), conditions }
        };
        Set {
            width: if self.below(4) == 0 { Width::Bits32 } else { Width::Bits64 },
            default: self.one(&DEFAULTS),
            optimized: self.below(2) == 0,
            rules: (0..rules).map(|_| rule(self)).collect(),
        }
    }

    /// Rules of which the tests of one call are likely to be those of another one: bounds, and sometimes no condition.
    pub(crate) fn alike(&mut self) -> Vec<CallRule> {
        const BOUNDS: [Comparison; 5] = [
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::Equal,
            Comparison::NotEqual,
        ];
        let mut rules = Vec::new();
        for _ in 0..=self.below(3) {
            let mut conditions = Vec::new();
            if self.below(8) != 0 {
                let index = self.below(2) as u8;
                conditions.push(Condition::new(index, self.one(&BOUNDS), self.one(&VALUES), 0).unwrap());
                if self.below(3) == 0 {
                    conditions.push(self.condition(2));
                }
            }
            rules.push(CallRule { verdict: Verdict::Errno(1 + self.below(2) as u16), conditions });
        }
        rules
    }
}
