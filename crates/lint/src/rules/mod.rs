//! The rules, one a file. The documentation of a file is the rule's page in the book.

pub(crate) use flags_without_spec_allow::empty_list;

use crate::rule::Rule;

/// Declares the modules and lists their rules, and the sources of their pages.
macro_rules! rules {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+

        /// Every rule, by its id.
        pub static RULES: &[&Rule] = &[$(&$module::RULE),+];

        /// Every rule with the source that begins with its page.
        pub(crate) fn with_sources() -> impl Iterator<Item = (&'static Rule, &'static str)> {
            let sources = [$(include_str!(concat!(stringify!($module), ".rs"))),+];
            RULES.iter().copied().zip(sources)
        }
    };
}

rules! {
    absent_on_listed_architectures,
    architecture_unknown_to_libseccomp,
    architecture_unknown_to_runtime,
    argument_beyond_call,
    call_no_filter_decides,
    cannot_be_compiled,
    cannot_start,
    clone3_without_enosys,
    compiled_otherwise,
    condition_of_multiplexed_call,
    constant_condition,
    dead_rule,
    errno_zero,
    flag_refused_with_listener,
    flag_without_effect,
    flags_refused_by_old_runc,
    flags_without_spec_allow,
    forgotten_twin,
    int_compared_in_64_bits,
    io_uring_permitted,
    kill_thread_default,
    log_left_in,
    merged_wrongly,
    missing_sub_architecture,
    moves_enosys_boundary,
    not_yet_known_syscall,
    other_byte_order,
    otherwise_under_gvisor,
    pointer_compared,
    program_too_long,
    reaches_past_the_filter,
    redundant_name,
    shadowed_rule,
    unknown_syscall,
    value_two_ignored,
    weaker_than_runtime_default,
}
