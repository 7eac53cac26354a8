//! Verdicts and conditions in words.

use filter::{Condition, Verdict, Witness};
use profile::Comparison;
use syscalls::Syscall;

use super::constants::{Values, values};
use super::errno::errno;

/// What happens to a call, as in "`mount` … fails with EPERM".
pub(super) fn outcome(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow => "is permitted".to_owned(),
        Verdict::Log => "is permitted and logged".to_owned(),
        Verdict::Errno(0) => "does nothing and seems to succeed (errno 0)".to_owned(),
        Verdict::Errno(number) => format!("fails with {}", error(number)),
        Verdict::Trap => "is not made, and the thread gets SIGSYS".to_owned(),
        Verdict::KillThread => "ends the thread".to_owned(),
        Verdict::KillProcess => "ends the process".to_owned(),
        Verdict::Trace(number) => {
            format!(
                "is decided by a tracer (which gets the number {number}), and fails with ENOSYS (38) without one"
            )
        }
        Verdict::Notify => "is decided by the seccomp agent that listens on the profile's socket".to_owned(),
    }
}

/// The same for a heading above names.
pub(super) fn heading(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow => "permitted".to_owned(),
        Verdict::Log => "permitted and logged".to_owned(),
        Verdict::Errno(0) => "seems to succeed, does nothing (errno 0)".to_owned(),
        Verdict::Errno(number) => {
            name(number).map_or(format!("errno {number}"), |name| format!("{name} ({number})"))
        }
        Verdict::Trap => "SIGSYS".to_owned(),
        Verdict::KillThread => "ends the thread".to_owned(),
        Verdict::KillProcess => "ends the process".to_owned(),
        Verdict::Trace(_) => "a tracer decides".to_owned(),
        Verdict::Notify => "the seccomp agent decides".to_owned(),
    }
}

/// An errno with its name and meaning.
fn error(number: u16) -> String {
    match errno(number) {
        Some((name, meaning)) => format!("{name} ({number}, {})", meaning.to_lowercase()),
        None => format!("the errno {number}, which has no name"),
    }
}

fn name(number: u16) -> Option<&'static str> {
    errno(number).map(|(name, _)| name)
}

/// An argument: `the first argument (domain)`.
pub(super) fn argument(call: &str, index: u8) -> String {
    const ORDINALS: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];
    let ordinal = ORDINALS.get(usize::from(index)).copied().unwrap_or_default();
    let parameters = Syscall::from_name(call).map_or(&[][..], Syscall::parameters);
    match parameters.get(usize::from(index)) {
        Some(name) => format!("the {ordinal} argument ({name})"),
        None => format!("the {ordinal} argument"),
    }
}

/// A condition that must hold.
pub(super) fn condition(call: &str, condition: Condition) -> String {
    let subject = argument(call, condition.index());
    let (mask, bits) = (condition.value(), condition.value_two());
    if condition.comparison() != Comparison::MaskedEqual {
        return format!("{subject} {}", predicate(call, condition));
    }
    let known = values(call, condition.index());
    let named = |value: u64| value_named(known, value, true);
    match (mask.count_ones(), bits) {
        (0, _) => "always".to_owned(),
        (64, _) => format!("{subject} is {}", value_named(known, bits, false)),
        (1, 0) => format!("the bit {} of {subject} is not set", named(mask)),
        (1, _) => format!("the bit {} of {subject} is set", named(mask)),
        (_, 0) => format!("none of the bits {} of {subject} is set", named(mask)),
        _ if bits == mask && mask & (mask + 1) != 0 => {
            format!("all of the bits {} of {subject} are set", named(mask))
        }
        (width, _) if mask == (1 << width) - 1 => {
            let value = value_named(known, bits, false);
            format!("the lowest {width} bits of {subject} are {value}")
        }
        _ => format!("of the bits {} of {subject}, exactly {} are set", named(mask), named(bits)),
    }
}

/// What a comparison that is no mask says of its argument.
pub(super) fn predicate(call: &str, condition: Condition) -> String {
    let known = values(call, condition.index());
    let value = value_named(known, condition.value(), matches!(known, Some(Values::Bits(_))));
    match condition.comparison() {
        Comparison::NotEqual => format!("is not {value}"),
        Comparison::Less => format!("is less than {value}"),
        Comparison::LessOrEqual => format!("is at most {value}"),
        Comparison::Equal | Comparison::MaskedEqual => format!("is {value}"),
        Comparison::GreaterOrEqual => format!("is at least {value}"),
        Comparison::Greater => format!("is greater than {value}"),
    }
}

/// The arguments of a call that shows a difference: those that are not 0, or the first one.
pub(super) fn arguments(call: &str, witness: &Witness) -> String {
    let all = (0_u8..).zip(witness.call.arguments);
    let set: Vec<_> = all.filter(|(index, value)| *value != 0 || *index == 0).collect();
    let shown = |(index, value): &(u8, u64)| {
        let known = values(call, *index);
        let value = value_named(known, *value, matches!(known, Some(Values::Bits(_))));
        let parameters = Syscall::from_name(call).map_or(&[][..], Syscall::parameters);
        match parameters.get(usize::from(*index)) {
            Some(name) => format!("{name} {value}"),
            None => format!("argument {index} {value}"),
        }
    };
    set.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// A value, with its name if it has one.
fn value_named(known: Option<Values>, value: u64, hexadecimal: bool) -> String {
    let number =
        if hexadecimal && value > 9 || value >= 0x10000 { format!("{value:#x}") } else { value.to_string() };
    match known.and_then(|known| known.name(value)) {
        Some(name) => format!("{number} ({name})"),
        None => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(call: &str, index: u8, comparison: Comparison, value: u64, value_two: u64) -> String {
        condition(call, Condition::new(index, comparison, value, value_two).unwrap())
    }

    #[test]
    fn conditions_name_the_argument_and_its_value() {
        use Comparison::{Equal, GreaterOrEqual, Less, NotEqual};
        for (text, words) in [
            (shown("socket", 0, NotEqual, 16, 0), "the first argument (domain) is not 16 (AF_NETLINK)"),
            (shown("socket", 0, Less, 38, 0), "the first argument (domain) is less than 38 (AF_ALG)"),
            (
                shown("personality", 0, Equal, 0x20008, 0),
                "the first argument (persona) is 0x20008 (PER_LINUX32 with UNAME26)",
            ),
            // No page names the arguments, and no header the values.
            (shown("rt_sigaction", 3, GreaterOrEqual, 9, 0), "the fourth argument is at least 9"),
            (shown("no_such_call", 5, Equal, 1 << 40, 0), "the sixth argument is 0x10000000000"),
        ] {
            assert_eq!(text, words);
        }
    }

    #[test]
    fn masks_are_bits() {
        let masked = |call, index, mask, bits| shown(call, index, Comparison::MaskedEqual, mask, bits);
        for (text, words) in [
            (
                masked("clone", 0, 0x1000_0000, 0),
                "the bit 0x10000000 (CLONE_NEWUSER) of the first argument (flags) is not set",
            ),
            (
                masked("unshare", 0, 0x80, 0x80),
                "the bit 0x80 (CLONE_NEWTIME) of the first argument (flags) is set",
            ),
            (
                masked("clone", 0, 0x6000_0000, 0),
                "none of the bits 0x60000000 (CLONE_NEWPID, CLONE_NEWNET) of the first argument (flags) is set",
            ),
            (
                masked("mprotect", 2, 6, 6),
                "all of the bits 6 (PROT_WRITE, PROT_EXEC) of the third argument (prot) are set",
            ),
            (
                masked("socket", 0, 0xffff_ffff, 38),
                "the lowest 32 bits of the first argument (domain) are 38 (AF_ALG)",
            ),
            (
                masked("socket", 1, 0xf0, 0x30),
                "of the bits 0xf0 of the second argument (type), exactly 0x30 are set",
            ),
            (masked("socket", 1, 0, 0), "always"),
            (masked("socket", 0, u64::MAX, 1), "the first argument (domain) is 1 (AF_UNIX)"),
        ] {
            assert_eq!(text, words);
        }
    }

    #[test]
    fn every_verdict_has_words() {
        for (verdict, words) in [
            (Verdict::Allow, "is permitted"),
            (Verdict::Errno(1), "fails with EPERM (1, operation not permitted)"),
            (Verdict::Errno(4000), "fails with the errno 4000, which has no name"),
            (Verdict::Errno(0), "does nothing and seems to succeed (errno 0)"),
            (Verdict::KillProcess, "ends the process"),
        ] {
            assert_eq!(outcome(verdict), words);
        }
        assert_eq!(heading(Verdict::Errno(38)), "ENOSYS (38)");
        assert_eq!(heading(Verdict::Errno(999)), "errno 999");
    }
}
