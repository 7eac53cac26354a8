//! The arguments of calls under strace beside those that are known.

use derive::{Argument, Derived};
use syscalls::{Architecture, Syscall};

/// A call, with what is known of its arguments: the values and the bits that are known.
pub(crate) type Made = (String, Vec<(u64, u64)>);

/// A call of a log.
pub(crate) fn made(call: &strace::Call<'_>) -> Made {
    (call.name.to_owned(), call.arguments().iter().map(|it| (it.value, it.known)).collect())
}

/// Whether a call that was made has the arguments that are known; `None` if none of them is bounded.
pub(crate) fn compares(found: &Derived, (name, made): &Made) -> Option<bool> {
    let number = Syscall::from_name(name).and_then(|it| it.number(Architecture::X86_64));
    let call = found.calls.iter().find(|it| Some(it.number) == number)?;
    let bounded: Vec<_> = call.arguments.iter().filter(|it| it.is_bounded()).collect();
    let agrees = |it: &&Argument| {
        let (value, known) = made[usize::from(it.index)];
        let known = known as u32;
        it.values.iter().any(|one| one.value & known == value as u32 & known)
    };
    (!bounded.is_empty()).then(|| bounded.iter().all(agrees))
}
